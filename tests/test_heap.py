"""The heap: what was freed stays with the process until it is given back."""

import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1 << 20
HELD = """
from refrain.heap import give_back, keep_freed
{first}
import numpy as np
import pyarrow as pa

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

before = resident()
array = np.ones(25 << 20)
column = pa.array(array[: 5 << 20]).cast(pa.string())
del array, column
print(resident() - before)
give_back()
print(resident() - before)
print(pa.default_memory_pool().backend_name)
"""


def freed(first: str) -> tuple[int, int, str]:
    """The bytes that a process holds after 200 MiB of an array and Arrow's were freed, and after they were given back,
    and Arrow's pool."""
    command = [sys.executable, "-c", HELD.format(first=first)]
    kept, left, pool = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(kept), int(left), pool


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system has no /proc")
def test_what_is_freed_stays_until_it_is_given_back() -> None:
    kept, left, pool = freed("keep_freed()")
    assert kept > 200 * MIB
    assert left < 100 * MIB
    assert pool == "system"
    assert freed("")[0] < kept - 100 * MIB
