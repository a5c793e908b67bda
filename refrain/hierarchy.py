"""The single-linkage hierarchy of a spanning forest, in which equal distances merge at once.

Mutual reachability makes many edges equally long (all that hang on one core distance). A tree of two-way merges orders
them by chance, and what is cut from it would depend on the order of the rows; here a merge takes in all that join at
its distance, and the answer does not.
"""

from dataclasses import dataclass

import numpy as np

from refrain.spanning import Edges, Floats, Rows, components, union


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
    edges = _joined(forest, n)
    nodes = n + len(edges) + 1
    root = nodes - 1
    lefts, rights = merges(edges, n)
    distances = np.concatenate([np.zeros(n), edges.weights, [np.inf]])
    total = [*weights.tolist(), *[0] * (nodes - n)]
    sizes = [*[1] * n, *[0] * (nodes - n)]
    for node, left, right in zip(range(n, root), lefts, rights, strict=True):
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
        left, right = lefts[node - n], rights[node - n]
        place(left, node, starts[node])
        place(right, node, starts[node] + sizes[left])
    order = np.empty(n, dtype=np.int64)
    order[starts[:n]] = np.arange(n)
    return Hierarchy(children, distances, np.array(total), np.array(sizes), np.array(starts), order)


def _joined(forest: Edges, points: int) -> Edges:
    """The forest's edges by ascending weight, then edges of infinite weight from each component to the next."""
    anchors = np.unique(components(forest, points), return_index=True)[1]
    ordered = forest.take(np.argsort(forest.weights, kind="stable"))
    return union([ordered, Edges(anchors[:-1], anchors[1:], np.full(len(anchors) - 1, np.inf))])


def merges(edges: Edges, points: int) -> tuple[list[int], list[int]]:
    """The two nodes that each edge of a spanning tree joins, in their order; edge i makes the node points + i.

    Disjoint sets by size with halved paths (Tarjan, "Data Structures and Network Algorithms", 1983, chapter 2). The
    function of the `hdbscan` package keeps no sizes and shortens no path but its first step, so that long chains, of
    which a log has many, take quadratic time.
    """
    above, sizes, node_of = list(range(points)), [1] * points, list(range(points))
    lefts, rights = [], []
    for node, ends in enumerate(zip(edges.left.tolist(), edges.right.tolist(), strict=True), start=points):
        a, b = ends
        while above[a] != a:
            above[a] = a = above[above[a]]
        while above[b] != b:
            above[b] = b = above[above[b]]
        lefts.append(node_of[a])
        rights.append(node_of[b])
        if sizes[a] < sizes[b]:
            a, b = b, a
        above[b] = a
        sizes[a] += sizes[b]
        node_of[a] = node
    return lefts, rights
