"""The single-linkage hierarchy of a spanning forest, in which equal distances merge at once.

Mutual reachability makes many edges equally long (all that hang on one core distance). A tree of two-way merges orders
them by chance, and what is cut from it would depend on the order of the rows; here a merge takes in all that join at
its distance, and the answer does not.
"""

from dataclasses import dataclass

import numpy as np
from hdbscan._hdbscan_linkage import label

from refrain.spanning import Edges, Floats, Rows, components


@dataclass(frozen=True)
class Hierarchy:
    """Nodes 0..n-1 are points, the others merges; the last one is the root, above all components.

    `children[v - n]` are the parts of merge v, `distances` (nodes,) where they join (0 for points, infinity for the
    root), `weights` and `sizes` (nodes,) the sums over points; the points of v are `order[starts[v]:][:sizes[v]]`.
    """

    children: list[list[int]]
    distances: Floats
    weights: Rows
    sizes: Rows
    starts: Rows
    order: Rows

    def points_of(self, node: int) -> Rows:
        """The points below a node, or the point itself."""
        return self.order[self.starts[node] : self.starts[node] + self.sizes[node]]


def build_hierarchy(forest: Edges, weights: Rows) -> Hierarchy:
    """The hierarchy over `weights` (n,) points, n at least 1, of a forest's edges."""
    n = len(weights)
    linkage = _linkage(forest, n)
    nodes = n + len(linkage) + 1
    root = nodes - 1
    parts = linkage[:, :2].astype(np.int64)
    distances = np.concatenate([np.zeros(n), linkage[:, 2], [np.inf]])
    total = [*weights.tolist(), *[0] * (nodes - n)]
    sizes = [*[1] * n, *[0] * (nodes - n)]
    for node, (left, right) in enumerate(parts.tolist(), start=n):
        total[node] = total[left] + total[right]
        sizes[node] = sizes[left] + sizes[right]
    total[root], sizes[root] = total[root - 1], sizes[root - 1]

    # From the root down: a merge at its parent's distance dissolves into its parent.
    children: list[list[int]] = [[] for _ in range(nodes - n)]
    starts = [0] * nodes
    into = list(range(nodes))
    lengths = distances.tolist()

    def place(node: int, parent: int, start: int) -> None:
        starts[node] = start
        into[node] = into[parent] if node >= n and lengths[node] == lengths[parent] else node
        if into[node] == node:
            children[into[parent] - n].append(node)

    place(root - 1, root, 0)
    for node in range(root - 1, n - 1, -1):
        left, right = parts[node - n].tolist()
        place(left, node, starts[node])
        place(right, node, starts[node] + sizes[left])
    order = np.empty(n, dtype=np.int64)
    order[starts[:n]] = np.arange(n)
    return Hierarchy(children, distances, np.array(total), np.array(sizes), np.array(starts), order)


def _linkage(forest: Edges, points: int) -> Floats:
    """Two-way merges (points - 1, 4) as scipy writes them; components are joined at infinity."""
    component = components(forest, points)
    anchors = np.unique(component, return_index=True)[1]
    rows = np.empty((points - 1, 3))
    rows[: len(forest)] = np.stack([forest.left, forest.right, forest.weights], axis=1)
    rows[: len(forest)] = rows[np.argsort(rows[: len(forest), 2], kind="stable")]
    rows[len(forest) :] = np.stack([anchors[:-1], anchors[1:], np.full(len(anchors) - 1, np.inf)], axis=1)
    merged: Floats = label(np.ascontiguousarray(rows)) if len(rows) else np.empty((0, 4))
    return merged
