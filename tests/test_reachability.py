"""The spanning forest of mutual reachability: that of all its edges at once, whatever the cores and portions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plain_forest import reachability_edges, spanning_forest

from refrain import reachability
from refrain.density import core_distances, cosine_distances
from refrain.reachability import Graph, reachability_forest


def random_graph(seed: int, n: int, k: int) -> Graph:
    """Neighbours with many equal distances, of which the two directions differ here and there, as by rounding."""
    rng = np.random.default_rng(seed)
    indices = np.stack([rng.permutation(n)[:k] for _ in range(n)]) if n else np.empty((0, k), np.int64)
    below, above = np.minimum(indices, np.arange(n)[:, None]), np.maximum(indices, np.arange(n)[:, None])
    similarities = (1 - (below * 7 + above * 13) % 11 / 16).astype(np.float32)
    similarities -= (rng.random(indices.shape) < 0.3).astype(np.float32) / 64
    order = np.argsort(-similarities, axis=1, kind="stable")
    indices, similarities = np.take_along_axis(indices, order, 1), np.take_along_axis(similarities, order, 1)
    indices[:, -1][rng.random(n) < 0.3] = -1
    return Graph(indices.astype(np.int64), similarities, rng.integers(1, 4, n))


@given(st.integers(0, 1000), st.integers(0, 60), st.integers(1, 6), st.sampled_from([0.1, 0.3, 0.5]))
def test_it_is_the_forest_of_all_edges(seed: int, n: int, k: int, cap: float) -> None:
    graph = random_graph(seed, n, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reachability, "_ROWS", 7)
        patch.setattr(reachability, "_SAMPLED", 2)
        core, forest = reachability_forest(graph, 4, cap)
    distances = cosine_distances(graph.similarities)
    whole = core_distances(graph.indices, distances, graph.weights, 4)
    wanted = spanning_forest(reachability_edges(graph.indices, distances, whole, cap), n)
    assert core.tolist() == whole.tolist()
    assert forest.left.tolist() == wanted.left.tolist()
    assert forest.right.tolist() == wanted.right.tolist()
    assert forest.weights.tolist() == wanted.weights.tolist()
