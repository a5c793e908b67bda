"""Minimum spanning forests of weighted graphs, whole or partition by partition.

Edges are compared by (weight, left, right): no two are equal, so the forest is unique, and the forest of the union of
the forests of some edge partitions is the forest of all edges (an edge that is the heaviest of a cycle within its
partition is the heaviest of that cycle anywhere; Tarjan, "Data Structures and Network Algorithms", 1983, chapter 6).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

from refrain.counting import group_starts, stable_order

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Edges:
    """Undirected edges: `left` < `right` (m,) positions of points, `weights` (m,) float64."""

    left: Rows
    right: Rows
    weights: Floats

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, chosen: NDArray[np.bool_] | Rows) -> "Edges":
        """The chosen edges, by mask or by position."""
        return Edges(self.left[chosen], self.right[chosen], self.weights[chosen])


def union(partitions: Iterable[Edges]) -> Edges:
    """The edges of all partitions, one after another."""
    parts = [Edges(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)), *partitions]
    return Edges(
        np.concatenate([part.left for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def joining(edges: Edges, component: NDArray[np.int32], count: int) -> Edges:
    """What the minimum spanning forest takes of distinct edges, by ascending (weight, left, right), where lighter ones
    have left `count` components apart; `component` is each point's (points,). No edge lies within one."""
    order = stable_order(edges.left * len(component) + edges.right)
    edges = edges.take(order[stable_order(edges.weights[order])])
    ends = component[edges.left].astype(np.int64), component[edges.right].astype(np.int64)
    between = np.minimum(*ends) * count + np.maximum(*ends)
    order = stable_order(between)
    first = order[group_starts(between[order])]  # of those between two components the lightest
    rows, columns = np.divmod(between[first], max(count, 1))
    bounds = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])
    graph = csr_array((first + 1.0, columns, bounds), shape=(count, count))
    chosen = minimum_spanning_tree(graph).data.astype(np.int64) - 1
    return edges.take(np.sort(chosen))


def components(edges: Edges, points: int) -> Rows:
    """The component of each point (points,), numbered by their smallest points."""
    count, labels = unordered_components(edges, points)
    first = np.empty(count, np.int64)
    first[labels[::-1]] = np.arange(points - 1, -1, -1)  # of several values for one place the last stays
    rank = np.empty(count, np.int64)
    rank[stable_order(first)] = np.arange(count)
    found: Rows = rank[labels]
    return found


def unordered_components(edges: Edges, points: int) -> tuple[int, NDArray[np.int32]]:
    """How many components there are and the component of each point (points,), numbered in no order that means
    anything."""
    graph = csr_array((np.ones(len(edges)), (edges.left, edges.right)), shape=(points, points))
    count, labels = connected_components(graph, directed=False)
    return count, labels
