"""`refrain --help` in seconds: what everybody waits for first."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

REFRAIN = Path(sys.executable).with_name("refrain")
REPEATS = 5
LIMIT_SECONDS = 0.5


@pytest.mark.bench
def test_help_answers_within_half_a_second() -> None:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        subprocess.run([REFRAIN, "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"\nrefrain --help: best {min(seconds):.2f} s, median {sorted(seconds)[REPEATS // 2]:.2f} s")
    assert min(seconds) < LIMIT_SECONDS
