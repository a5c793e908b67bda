"""The speed benchmarks' own laws, on a few points: recall, agreement, growth, and a process that is ended in time."""

from pathlib import Path

import numpy as np
import pytest
from clustering import agreement
from end_to_end import exponents
from measuring import Vectors, alone, open_source, write_subset
from neighbours import recall

from refrain.stages import NOUNS

pytestmark = pytest.mark.bench


def circle(n: int) -> Vectors:
    """Unit vectors (n, 2) around a circle: the nearest of each are the ones beside it."""
    angles = 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_recall_counts_what_is_as_near_as_the_last_true_neighbour(tmp_path: Path) -> None:
    n, k = 100, 2
    rows = np.arange(n)
    beside = np.stack([(rows - 1) % n, (rows + 1) % n], axis=1)
    vectors, queries, true, found_file = (tmp_path / f"{name}.npy" for name in ("vectors", "queries", "true", "found"))
    np.save(vectors, circle(n))
    np.save(queries, rows)
    np.save(true, np.concatenate([rows[:, None], beside], axis=1))
    for found, share in (
        (beside, 1.0),
        (beside[:, ::-1], 1.0),
        (np.stack([beside[:, 0], (rows + 50) % n], axis=1), 0.5),
        (np.stack([beside[:, 0], beside[:, 0]], axis=1), 0.5),  # named twice is found once
        (np.stack([beside[:, 0], rows], axis=1), 0.5),  # itself is no neighbour
        (np.full((n, k), -1), 0.0),
    ):
        np.save(found_file, found)
        told = recall(vectors, queries, true, found_file, k, 0.35)
        assert (told["recall"], told["recall_in_reach"], told["in_reach"]) == (share, share, n * k)
    assert recall(vectors, queries, true, found_file, k, 1e-9)["recall_in_reach"] is None


def test_agreement_knows_no_names_of_clusters_and_leaves_out_what_one_side_calls_noise() -> None:
    left = np.array([0, 0, 1, 1, -1, -1])
    assert agreement(left, left) == {"ari": 1.0, "in_both": 4, "ari_all": 1.0}
    assert agreement(left, np.array([5, 5, 3, 3, -1, 3]))["ari"] == 1.0
    assert agreement(left, np.full(6, -1)) == {"ari": None, "in_both": 0, "ari_all": 0.0}


def test_growth_is_the_exponent_of_a_power_law() -> None:
    def row(requests: int) -> dict[str, object]:
        stages = {verb: {"seconds": requests**1.5} for verb in NOUNS}
        return {"requests": requests, "seconds": 3.0 * requests, "stages_peak_mib": 7, "stages": stages}

    grown = exponents([row(10), row(100), row(1000)])
    assert grown == {"stages": dict.fromkeys(NOUNS, 1.5), "seconds": 1.0, "peak_memory": 0.0}
    assert exponents([row(10)])["seconds"] is None


def test_a_subset_is_drawn_without_repeats_and_in_order(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", np.arange(50, dtype=np.float32)[:, None])
    assert write_subset(tmp_path / "all.npy", 20, 0, tmp_path / "some.npy") == 20
    some = np.load(tmp_path / "some.npy")[:, 0]
    assert (np.diff(some) > 0).all()
    assert write_subset(tmp_path / "all.npy", 70, 0, tmp_path / "whole.npy") == open_source(tmp_path / "all.npy")[0]


def test_a_process_is_told_of_and_ended_at_its_limit() -> None:
    assert alone("math", "sqrt", {}).failure == "failed with TypeError"
    assert alone("no_such_module", "f", {}).failure == "no_such_module is not installed"
    assert alone("measuring", "machine", {}).value["machine"]
    assert alone("subprocess", "run", {"args": ["sleep", "60"]}, limit=1).failure == "did not end in 1 s"
