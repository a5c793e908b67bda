"""The peak of memory: what this process held for a moment, and what its workers held."""

import subprocess
import sys
from pathlib import Path

import pytest

from refrain.heap import give_back
from refrain.memory import PeakMeter, reset_peak

MIB = 1 << 20
HOLD = """
import sys
held = bytearray(200 << 20)
held[::4096] = b"x" * len(held[::4096])
print(flush=True)
sys.stdin.read()
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
    give_back()  # where a stage that ran before keeps what is freed
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
