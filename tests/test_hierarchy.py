"""Merges of a spanning tree: the hdbscan package's function as oracle, on random trees and on long chains."""

from random import Random

import numpy as np
import pytest
from hdbscan._hdbscan_linkage import label
from hypothesis import given
from hypothesis import strategies as st

from refrain.hierarchy import merges
from refrain.spanning import Edges


def as_edges(left: list[int], right: list[int]) -> Edges:
    return Edges(np.array(left, np.int64), np.array(right, np.int64), np.arange(len(left), dtype=float))


def by_hdbscan(edges: Edges) -> list[list[int]]:
    rows = np.stack([edges.left, edges.right, edges.weights], axis=1).astype(float)
    found: list[list[int]] = label(np.ascontiguousarray(rows))[:, [0, 1, 3]].astype(int).T.tolist()
    return found


@given(st.integers(2, 60), st.randoms(use_true_random=False))
def test_merges_are_those_of_hdbscan(points: int, chance: Random) -> None:
    order = list(range(points))
    chance.shuffle(order)
    ties = [(point, order[chance.randrange(at)]) for at, point in enumerate(order) if at]
    chance.shuffle(ties)
    edges = as_edges([a for a, _ in ties], [b for _, b in ties])
    assert [some.tolist() for some in merges(edges, points)] == by_hdbscan(edges)


@pytest.mark.parametrize("backwards", [False, True])
def test_merges_along_a_chain(backwards: bool) -> None:
    ties = [(point, point + 1) for point in range(499)][:: -1 if backwards else 1]
    edges = as_edges([a for a, _ in ties], [b for _, b in ties])
    assert [some.tolist() for some in merges(edges, 500)] == by_hdbscan(edges)


def test_a_single_point_merges_with_none() -> None:
    assert [some.tolist() for some in merges(as_edges([], []), 1)] == [[], [], []]
