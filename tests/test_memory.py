"""The peak of memory: what this process held for a moment, and what its workers held."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from refrain.memory import PeakMeter, reset_peak

MIB = 1 << 20
HOLD = """
import sys
held = bytearray(200 << 20)
held[::4096] = b"x" * len(held[::4096])
print(flush=True)
sys.stdin.read()
"""

# Bytes that the system clears for ten arrays of 64 MiB, one after another, by default and while freed memory is kept;
# bytes held before and after the end of that.
REUSE = """
import resource
from refrain.memory import freed_memory_kept

def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        bytearray(b"x") * (64 << 20)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) * resource.getpagesize()

def held():
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))

plain = cleared()
with freed_memory_kept():
    bytearray(b"x") * (64 << 20)
    kept, inside = cleared(), held()
print(plain, kept, inside, held())
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system has no /proc")


def test_what_was_held_for_a_moment_counts_and_what_was_before_does_not() -> None:
    if not reset_peak():
        pytest.skip("the system does not set the peak back")
    with PeakMeter() as quiet:
        pass
    with PeakMeter() as meter:
        held = bytearray(300 * MIB)
        held[::4096] = b"x" * len(held[::4096])
        del held
    with PeakMeter() as after:
        pass
    assert meter.peak - quiet.peak > 250 * MIB
    assert abs(after.peak - quiet.peak) < 100 * MIB


def test_a_worker_counts_while_it_lives() -> None:
    with PeakMeter() as before:
        pass
    command = [sys.executable, "-c", HOLD]
    with PeakMeter() as meter, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()  # it holds them now
        for _ in range(100):
            meter._ended.wait(0.1)
            if meter.peak - before.peak > 150 * MIB:
                break
        worker.communicate()
    assert meter.peak - before.peak > 150 * MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_used_again_and_given_back_in_the_end() -> None:
    run = subprocess.run([sys.executable, "-c", REUSE], capture_output=True, text=True, check=True)
    cleared, cleared_kept, held, left = map(int, run.stdout.split())
    assert cleared > 10 * MIB  # by default each array is cleared anew
    assert cleared_kept < cleared / 10
    assert held - left > 40 * MIB
