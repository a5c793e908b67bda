"""Guessed neighbours: what every part of a round does, against the plain way, and what rounds are worth."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from embeddings.edges import numbers_of
from embeddings.guessing import guess_graph
from refrain.config import IndexConfig
from refrain.settings import load_settings

CONFIG = replace(load_settings().config.index, neighbours=5)
K = 8


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """3,000 vectors near a surface of few dimensions, as texts' are."""
    rng = np.random.default_rng(4)
    flat = rng.normal(size=(3000, 6)) @ rng.normal(size=(6, 48)) + rng.normal(scale=0.2, size=(3000, 48))
    found: NDArray[np.float32] = (flat / np.linalg.norm(flat, axis=1, keepdims=True)).astype(np.float32)
    return found


def recall(found: NDArray[np.int32], vectors: NDArray[np.float32]) -> float:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : found.shape[1]]
    return float(np.mean([len(set(a) & set(b)) / len(a) for a, b in zip(best.tolist(), found.tolist(), strict=True)]))


def near(vectors: NDArray[np.float32], config: IndexConfig) -> NDArray[np.int32]:
    return numbers_of(guess_graph(vectors, K, config, lambda n: None).edges)


def poor(rounds: int) -> IndexConfig:
    """Settings whose first guess is bad: few cells, few of which are looked at closely."""
    return replace(CONFIG, probes=2, fetched=12, rounds=rounds)


def test_rounds_find_what_few_cells_miss(vectors: NDArray[np.float32]) -> None:
    shares = [recall(near(vectors, poor(rounds)), vectors) for rounds in (0, 1, 3)]
    assert shares[0] < 0.8
    assert shares[0] < shares[1] < shares[2]
    assert shares[2] > 0.95


def test_neighbours_are_distinct_others_nearest_first(vectors: NDArray[np.float32]) -> None:
    found = near(vectors, poor(2))
    assert found.shape == (len(vectors), K)
    for row, others in enumerate(found.tolist()):
        held = [other for other in others if other >= 0]
        assert row not in held
        assert len(set(held)) == len(held)
        cosines = vectors[held] @ vectors[row]
        assert (np.diff(cosines) <= 1e-6).all()


def test_progress_adds_up_to_the_vectors(vectors: NDArray[np.float32]) -> None:
    for rounds in (0, 2):
        told: list[int] = []
        guess_graph(vectors, K, replace(CONFIG, rounds=rounds, block_rows=700), told.append)
        assert sum(told) == len(vectors)


def test_which_rows_are_worked_on_together_changes_nothing(vectors: NDArray[np.float32]) -> None:
    copies = np.concatenate([vectors, np.repeat(vectors[:40], 30, axis=0) + np.float32(1e-4)])  # more than are fetched
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    small, large = (
        guess_graph(copies, K, replace(poor(1), block_rows=rows), lambda n: None).edges for rows in (16, 1024)
    )
    np.testing.assert_array_equal(small, large)
