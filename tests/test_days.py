"""Days searched apart and put together: as good as all at once, the same bytes whatever was kept."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from embeddings.days import Day, Found, Kept, Window, search_window
from embeddings.edges import NONE, distances_of, numbers_of
from refrain.config import IndexConfig
from refrain.settings import load_settings

Floats = NDArray[np.float32]
CONFIG = replace(load_settings().config.index, neighbours=6, spare_neighbours=4, block_rows=256)


@pytest.fixture(scope="module")
def vectors() -> Floats:
    """2,400 vectors near a surface of few dimensions, as texts' are."""
    rng = np.random.default_rng(6)
    flat = rng.normal(size=(2400, 6)) @ rng.normal(size=(6, 32)) + rng.normal(scale=0.2, size=(2400, 32))
    found: Floats = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    return found


def days(size: int, seed: int = 0) -> tuple[Day, ...]:
    """Three days in orders of their own, which share some vectors and together have all."""
    rng = np.random.default_rng(seed)
    home = rng.integers(0, 3, size)
    every = rng.random(size) < 0.1
    return tuple(Day(rng.permutation(np.flatnonzero((home == day) | every)), f"day {day}") for day in range(3))


def search(vectors: Floats, parts: tuple[Day, ...], config: IndexConfig, folder: Path | None = None) -> Found:
    told: list[int] = []
    window = Window(lambda rows: vectors[rows], len(vectors), parts, config, Kept(folder, "code"), told.append)
    found = search_window(window)
    assert sum(told) == window.work
    return found


def truth(vectors: Floats, k: int) -> NDArray[np.int64]:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def recall(found: Found, vectors: Floats, k: int) -> float:
    pairs = zip(truth(vectors, k).tolist(), numbers_of(found.edges)[:, :k].tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in pairs]))


def test_exact_days_give_the_exact_neighbours_of_the_window(vectors: Floats) -> None:
    found = search(vectors, days(len(vectors)), CONFIG)
    assert recall(found, vectors, CONFIG.neighbours) > 0.9999  # what differs are ties by rounding
    near, far = numbers_of(found.edges)[:, :6], distances_of(found.edges)[:, :6]
    cosines = np.einsum("id,ijd->ij", vectors, vectors[near])
    assert np.allclose(1 - far, cosines, atol=1e-5)
    assert (np.diff(far, axis=1) >= 0).all()
    assert not (near == np.arange(len(vectors))[:, None]).any()


def test_guessed_days_find_nearly_all(vectors: Floats) -> None:
    config = replace(CONFIG, exact_below=1, fetched=80, crossing_rounds=2)
    assert recall(search(vectors, days(len(vectors)), config), vectors, config.neighbours) > 0.95
    poor = replace(config, window_rounds=0, crossing_probes_per_root=0.01, crossing_rounds=0)
    worse = recall(search(vectors, days(len(vectors)), poor), vectors, config.neighbours)
    followed = recall(search(vectors, days(len(vectors)), replace(poor, crossing_rounds=2)), vectors, config.neighbours)
    joined = recall(search(vectors, days(len(vectors)), replace(poor, window_rounds=1)), vectors, config.neighbours)
    assert worse < followed - 0.05
    assert worse < joined - 0.05


@pytest.mark.parametrize("exact_below", [1, 10_000])
def test_what_was_kept_changes_no_byte(vectors: Floats, tmp_path: Path, exact_below: int) -> None:
    config, parts = replace(CONFIG, exact_below=exact_below), days(len(vectors))
    fresh = search(vectors, parts, config)
    first = search(vectors, parts[:2], config, tmp_path)
    assert first.reused == 0
    grown = search(vectors, parts, config, tmp_path)
    again = search(vectors, parts, config, tmp_path)
    # Two days and their pair were there; of three days and three pairs all are.
    assert (grown.reused, again.reused) == (3, 6)
    for found in (grown, again):
        assert np.array_equal(found.edges, fresh.edges)
        assert found.parameters == fresh.parameters


def test_what_is_damaged_is_computed_again(vectors: Floats, tmp_path: Path) -> None:
    config, parts = replace(CONFIG, exact_below=1), days(len(vectors))
    fresh = search(vectors, parts, config, tmp_path)
    files = sorted(path for path in tmp_path.rglob("*.npy")) + sorted(tmp_path.rglob("*.json"))
    for path in (files[0], files[-1]):
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(bytes(data))
    mended = search(vectors, parts, config, tmp_path)
    assert mended.reused < 6
    assert np.array_equal(mended.edges, fresh.edges)
    assert search(vectors, parts, config, tmp_path).reused == 6


def test_another_code_or_day_is_not_taken_for_it(vectors: Floats, tmp_path: Path) -> None:
    parts = days(len(vectors))
    search(vectors, parts, CONFIG, tmp_path)
    other = Window(lambda rows: vectors[rows], len(vectors), parts, CONFIG, Kept(tmp_path, "other"), lambda n: None)
    assert search_window(other).reused == 0
    shutil.rmtree(tmp_path)
    assert search(vectors, parts, CONFIG, tmp_path).reused == 0


def test_a_day_of_few_vectors_and_one_that_another_holds(vectors: Floats) -> None:
    some = vectors[:40]
    parts = (Day(np.arange(40), "all"), Day(np.array([7]), "one"), Day(np.array([3, 1]), "two"))
    found = search(some, parts, replace(CONFIG, exact_below=10))
    assert recall(found, some, CONFIG.neighbours) > 0.9
    alone = search(some[:1], (Day(np.array([0]), "one"),), CONFIG)
    assert (alone.edges == NONE).all()
