"""The heap: memory that was freed is taken again without the kernel."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
from refrain.heap import keep_freed
{first}
import numpy as np
import pyarrow as pa

def work(times):
    for _ in range(times):
        np.ones(6 << 20)
        pa.array(np.arange(1 << 20)).cast(pa.float64())

work(5)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work(10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, pa.default_memory_pool().backend_name)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="another C library")
def test_what_is_freed_is_taken_again() -> None:
    faults = {}
    for first in ("keep_freed()", ""):
        told = subprocess.run(
            [sys.executable, "-c", FAULTS.format(first=first)], capture_output=True, text=True, check=True
        )
        faults[first], pool = told.stdout.split()
        assert pool == "system" or not first
    assert int(faults["keep_freed()"]) < 100 < int(faults[""])
