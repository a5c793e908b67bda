"""Mutual reachability and its spanning forest the plain way, all edges at once: what the stage is held against."""

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import minimum_spanning_tree

from refrain.counting import group_starts, stable_order
from refrain.spanning import Edges, Floats, Rows


def reachability_edges(indices: Rows, distances: Floats, core: Floats, max_distance: float) -> Edges:
    """The neighbour graph's edges, each once, weighted by mutual reachability; none above `max_distance`."""
    rows, columns = np.nonzero((indices >= 0) & (distances <= max_distance) & (core <= max_distance)[:, None])
    near = indices[rows, columns]
    weights = np.maximum(distances[rows, columns], np.maximum(core[rows], core[near]))
    edges = Edges(np.minimum(rows, near), np.maximum(rows, near), weights)
    edges = edges.take(weights <= max_distance)
    keys = edges.left * len(indices) + edges.right
    order = stable_order(keys)
    return edges.take(order[group_starts(keys[order])])


def spanning_forest(edges: Edges, points: int) -> Edges:
    """The minimum spanning forest of a graph on `points` points, by ascending (weight, left, right).

    Loops are left out; of several edges between two points the lightest counts; weights may be zero and infinite.
    """
    edges = edges.take(edges.left != edges.right)
    keys = edges.left * points + edges.right
    if (keys[1:] > keys[:-1]).all():  # by (left, right) and once each, as the neighbour graph has them
        ordered = edges.take(stable_order(edges.weights))
    else:
        ordered = edges.take(np.lexsort((keys, edges.weights)))
        _, first = np.unique(ordered.left * points + ordered.right, return_index=True)
        ordered = ordered.take(np.sort(first))
    # Ranks in place of weights: distinct, so that the forest is unique, and above zero, which scipy reads as "no edge".
    ranks = np.arange(1, len(ordered) + 1, dtype=np.float64)
    graph = csr_array((ranks, (ordered.left, ordered.right)), shape=(points, points))
    chosen = minimum_spanning_tree(graph).data.astype(np.int64) - 1
    return ordered.take(np.sort(chosen))
