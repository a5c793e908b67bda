"""Spanning forests: scipy's weight, one forest whatever the order, and partitions that add up to the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_forest import spanning_forest
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from refrain.spanning import Edges, Rows, components, union

POINTS = 24


@st.composite
def graphs(draw: st.DrawFn) -> Edges:
    """Random graphs with many equal and zero weights, some loops and some edges twice."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    m = draw(st.integers(0, 120))
    ends = np.sort(rng.integers(0, POINTS, (m, 2)), axis=1)
    return Edges(ends[:, 0], ends[:, 1], rng.integers(0, draw(st.sampled_from([1, 4, 1000])), m) / 4)


def rows(edges: Edges) -> list[tuple[float, int, int]]:
    return list(zip(edges.weights.tolist(), edges.left.tolist(), edges.right.tolist(), strict=True))


@given(graphs())
def test_weight_and_components_are_scipys(graph: Edges) -> None:
    forest = spanning_forest(graph, POINTS)
    dense = np.full((POINTS, POINTS), np.inf)
    np.minimum.at(dense, (graph.left, graph.right), graph.weights + 1)  # scipy takes zero for no edge
    held = np.isfinite(dense) & ~np.eye(POINTS, dtype=bool)
    oracle = csr_array((dense[held], np.nonzero(held)), shape=(POINTS, POINTS))
    tree = minimum_spanning_tree(oracle)
    assert len(forest) == tree.nnz
    assert forest.weights.sum() + len(forest) == pytest.approx(tree.sum())
    theirs = connected_components(oracle, directed=False)[1]
    ours = components(forest, POINTS)
    assert (
        len(set(zip(theirs.tolist(), ours.tolist(), strict=True)))
        == len(set(ours.tolist()))
        == len(set(theirs.tolist()))
    )


@given(graphs(), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_the_forest_of_the_partitions_forests_is_the_forest(graph: Edges, parts: int, seed: int) -> None:
    part = np.random.default_rng(seed).integers(0, parts, len(graph))
    forests = [spanning_forest(graph.take(part == at), POINTS) for at in range(parts)]
    assert rows(spanning_forest(union(forests), POINTS)) == rows(spanning_forest(graph, POINTS))


@given(graphs(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_edges_means_nothing(graph: Edges, seed: int) -> None:
    order: Rows = np.random.default_rng(seed).permutation(len(graph))
    assert rows(spanning_forest(graph.take(order), POINTS)) == rows(spanning_forest(graph, POINTS))


def test_edges_of_no_length_and_of_infinite_length_stay() -> None:
    ends = np.array([0, 1, 2]), np.array([1, 2, 3])
    forest = spanning_forest(Edges(*ends, np.array([0.0, 0.0, np.inf])), 5)
    assert rows(forest) == [(0.0, 0, 1), (0.0, 1, 2), (np.inf, 2, 3)]
    assert components(forest, 5).tolist() == [0, 0, 0, 0, 1]


def test_no_edges_and_no_points() -> None:
    assert rows(spanning_forest(union([]), 0)) == []
    assert components(union([]), 3).tolist() == [0, 1, 2]
