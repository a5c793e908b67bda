"""One hundred kills at random instants, with other dice than the tests have (`make bench`)."""

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from arena import Arena
from crashing import Nursery

KILLS = int(os.environ.get("REFRAIN_KILLS", "100"))
SEED = int(os.environ.get("REFRAIN_KILL_SEED", "2026"))


@pytest.mark.bench
@pytest.mark.timeout(7200)
def test_many_kills(tmp_path: Path) -> None:
    encoders = Path(os.environ.get("REFRAIN_ENCODERS", tmp_path / "encoders"))
    start = time.perf_counter()
    fell: Counter[str] = Counter()
    with Nursery(encoders) as nursery:
        arena = Arena(tmp_path, nursery)
        for scenario in arena.scenarios:
            whole = scenario.whole
            print(f"{scenario.name}: {whole.changes} changes to names in {whole.seconds:.1f} s undisturbed")
        for number in range(KILLS):
            scenario = arena.scenarios[number % len(arena.scenarios)]
            dice = random.Random(f"{SEED} {number}")
            (death,) = arena.attempt(scenario, number, dice, by_time=number // len(arena.scenarios) % 2 == 1)
            fell["killed" if death.killed else "ended before its time came"] += 1
    told = ", ".join(f"{count} {how}" for how, count in sorted(fell.items()))
    print(f"{KILLS} kills in {time.perf_counter() - start:.0f} s: {told}; all completed to the same bytes")
    assert fell["killed"] >= KILLS // 2
