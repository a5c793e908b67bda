"""The single-linkage hierarchy of a spanning forest, in which equal distances merge at once.

Mutual reachability makes many edges equally long (all that hang on one core distance). A tree of two-way merges orders
them by chance, and what is cut from it would depend on the order of the rows; here a merge takes in all that join at
its distance, and the answer does not.
"""

from array import array
from dataclasses import dataclass

import numpy as np

from refrain.counting import stable_order
from refrain.spanning import Edges, Floats, Rows, components, union


@dataclass(frozen=True)
class Hierarchy:
    """Nodes 0..n-1 are points, the others merges; the last one is the root, above all components.

    `parts[edges[v - n]:edges[v - n + 1]]` are the parts of merge v, `distances` (nodes,) where they join (0 for points,
    infinity for the root), `weights` and `sizes` (nodes,) the sums over points; the points of v are
    `order[starts[v]:][:sizes[v]]`.
    """

    parts: Rows
    edges: Rows
    distances: Floats
    weights: Rows
    sizes: Rows
    starts: Rows
    order: Rows


def build_hierarchy(forest: Edges, weights: Rows) -> Hierarchy:
    """The hierarchy over `weights` (n,) points, n at least 1, of a forest's edges."""
    n = len(weights)
    edges = _joined(forest, n)
    lefts, rights, merged = merges(edges, n)
    distances = np.concatenate([np.zeros(n), edges.weights, [np.inf]])
    sizes = np.concatenate([np.ones(n, np.int64), merged, [n]])
    starts = _starts(lefts, rights, sizes)
    order = np.empty(n, dtype=np.int64)
    order[starts[:n]] = np.arange(n)
    sums = np.concatenate([[0], np.cumsum(weights[order])])
    total = sums[starts + sizes] - sums[starts]
    return Hierarchy(*_parts(lefts, rights, distances, n), distances, total, sizes, starts, order)


def _starts(lefts: Rows, rights: Rows, sizes: Rows) -> Rows:
    """Where the points of each node stand, (nodes,): those of a merge's left node before those of its right one.

    A node starts as far behind the one above it as the sum of the steps up to there says, which is doubled every time.
    """
    root, points = len(sizes) - 1, len(sizes) - 1 - len(lefts)
    above, starts = np.full(root + 1, root), np.zeros(root + 1, np.int64)
    above[lefts] = above[rights] = np.arange(points, root)
    starts[rights] = sizes[lefts]
    up, of_merge, top = above[points:] - points, starts[points:], root - points  # points are no one's way up
    moving = np.flatnonzero(up != top)
    while len(moving):
        to = up[moving]
        of_merge[moving] += of_merge[to]
        up[moving] = to = up[to]
        moving = moving[to != top]
    starts[:points] += of_merge[above[:points] - points]
    return starts


def _parts(lefts: Rows, rights: Rows, distances: Floats, points: int) -> tuple[Rows, Rows]:
    """The parts of each merge, those of its last joining first, and their bounds: a merge at its parent's distance
    dissolves into its parent."""
    root = len(distances) - 1
    nodes = np.append(np.stack([rights, lefts], axis=1).ravel(), root - 1)[::-1]
    above = np.arange(root + 1)
    above[nodes] = np.concatenate([[root], np.repeat(np.arange(root - 1, points - 1, -1), 2)])
    dissolved = (np.arange(root + 1) >= points) & (distances == distances[above])
    into = np.where(dissolved, above, np.arange(root + 1))
    while not np.array_equal(further := into[into], into):
        into = further
    nodes = nodes[~dissolved[nodes]]
    parents = into[above[nodes]]
    edges = np.concatenate([[0], np.cumsum(np.bincount(parents - points, minlength=root + 1 - points))])
    return nodes[stable_order(parents)], edges


def _joined(forest: Edges, points: int) -> Edges:
    """The forest's edges by ascending weight, then edges of infinite weight from each component to the next."""
    component = components(forest, points)
    anchors = np.flatnonzero(np.diff(np.maximum.accumulate(component), prepend=-1))  # numbered by smallest points
    ordered = forest.take(stable_order(forest.weights))
    return union([ordered, Edges(anchors[:-1], anchors[1:], np.full(len(anchors) - 1, np.inf))])


def merges(edges: Edges, points: int) -> tuple[Rows, Rows, Rows]:
    """The two nodes that each edge of a spanning tree joins, in their order, and how many points lie below; edge i
    makes the node points + i.

    Disjoint sets by size with halved paths (Tarjan, "Data Structures and Network Algorithms", 1983, chapter 2). The
    function of the `hdbscan` package keeps no sizes and shortens no path but its first step, so that long chains, of
    which a log has many, take quadratic time.
    """
    above, sizes, node_of = list(range(points)), [1] * points, list(range(points))
    lefts, rights, merged = array("q"), array("q"), array("q")
    for node, ends in enumerate(zip(edges.left.tolist(), edges.right.tolist(), strict=True), start=points):
        a, b = ends
        while (up := above[a]) != a:
            above[a] = a = above[up]
        while (up := above[b]) != b:
            above[b] = b = above[up]
        lefts.append(node_of[a])
        rights.append(node_of[b])
        if sizes[a] < sizes[b]:
            a, b = b, a
        above[b] = a
        sizes[a] += sizes[b]
        node_of[a] = node
        merged.append(sizes[a])
    return np.array(lefts, np.int64), np.array(rights, np.int64), np.array(merged, np.int64)
