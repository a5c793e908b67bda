"""HDBSCAN's condensed tree with weighted points, and the clusters chosen from it by excess of mass.

McInnes and Healy, "Accelerated hierarchical density based clustering" (ICDMW 2017). The `hdbscan` package knows no
weights and refuses disconnected graphs, so the condensation is ours; stabilities, the choice and the labels are its own
functions on our tree. All components hang on a root that is never chosen; each is born at the cap on distance, where
the graph was cut.
"""

from dataclasses import dataclass

import numpy as np
from hdbscan._hdbscan_tree import compute_stability, get_clusters
from numpy.typing import NDArray

from refrain.counting import ranges
from refrain.hierarchy import Hierarchy, build_hierarchy
from refrain.spanning import Edges, Floats, Rows, components

TREE = np.dtype([("parent", np.intp), ("child", np.intp), ("lambda_val", np.float64), ("child_size", np.intp)])


@dataclass(frozen=True)
class Rules:
    """What counts as a cluster."""

    min_weight: int  # of a cluster, at least 2
    max_points: int  # of a cluster that has parts
    same_distance: float  # below it distances are not told apart
    max_distance: float  # at which the graph was cut


@dataclass(frozen=True)
class Labels:
    """`labels` (n,) from 0, -1 for noise, `strengths` (n,) in [0, 1], `stabilities` (clusters,): weight by density."""

    labels: Rows
    strengths: Floats
    stabilities: Floats


def label_points(forest: Edges, core: Floats, weights: Rows, rules: Rules) -> Labels:
    """The clusters of points with core distances (n,) and weights (n,), from a forest cut at `rules.max_distance`."""
    n = len(weights)
    labels = np.full(n, -1, dtype=np.int64)
    strengths = np.zeros(n)
    component = components(forest, n)
    heavy = np.bincount(component, weights=weights) >= rules.min_weight
    inside = np.flatnonzero(heavy[component])  # what is in no component that could be a cluster is noise
    if not len(inside):
        return Labels(labels, strengths, np.empty(0))
    position = np.full(n, -1, dtype=np.int64)
    position[inside] = np.arange(len(inside))
    edges = forest.take(position[forest.left] >= 0)
    floored = np.maximum(edges.weights, rules.same_distance)
    edges = Edges(position[edges.left], position[edges.right], floored)
    hierarchy = build_hierarchy(edges, weights[inside])
    tree, points = condense(hierarchy, np.maximum(core[inside], rules.same_distance), rules)
    if not len(tree):
        return Labels(labels, strengths, np.empty(0))
    chosen = _choose(tree, points, len(inside), rules)
    labels[inside], strengths[inside] = chosen.labels, chosen.strengths
    return Labels(labels, strengths, chosen.stabilities)


def condense(hierarchy: Hierarchy, core: Floats, rules: Rules) -> tuple[NDArray[np.void], dict[int, int]]:
    """The condensed tree in hdbscan's form, its root the number of points, and the number of points of each cluster.

    A part of at least `min_weight` at a split is a cluster of its own, a single point too where it is dense below the
    split (as its equal points would be); lighter parts fall out as points, with their weights as sizes.
    """
    n = len(core)
    weights, sizes, distances = hierarchy.weights.tolist(), hierarchy.sizes.tolist(), hierarchy.distances.tolist()
    ends = [*core.tolist(), *distances[n:]]  # where a node falls apart: a point at its core distance
    rows = _Rows([], [], [], [])
    points: dict[int, int] = {}
    waiting, of_waiting = [len(distances) - 1], [n]
    for node, cluster in zip(waiting, of_waiting, strict=True):  # both grow
        if node < n:
            rows.add(cluster, [node], ends[node])
            continue
        is_root = cluster == n
        distance = rules.max_distance if is_root else distances[node]
        heavy: list[int] = []
        light: list[int] = []
        for part in hierarchy.parts[hierarchy.edges[node - n] : hierarchy.edges[node - n + 1]]:
            # What falls apart where it is joined is no part of its own. At the cap it is: the graph holds its edges.
            below = ends[part] < distance or (is_root and ends[part] == distance)
            (heavy if below and weights[part] >= rules.min_weight else light).append(part)
        if len(heavy) == 1 and not is_root:
            waiting.append(heavy[0])
            of_waiting.append(cluster)
        else:
            for part in heavy:
                fresh = n + len(points) + 1
                points[fresh] = sizes[part]
                rows.add(cluster, [part], distance, fresh)
                waiting.append(part)
                of_waiting.append(fresh)
        rows.add(cluster, light, distance)
    return (_tree(rows, hierarchy) if points else np.empty(0, dtype=TREE)), points


@dataclass(frozen=True)
class _Rows:
    """What falls out of clusters: the cluster, the node, at which distance, and the cluster that it starts or 0. In
    lists of numbers: hundreds of thousands of tuples would be searched for cycles again and again."""

    clusters: list[int]
    nodes: list[int]
    distances: list[float]
    fresh: list[int]

    def add(self, cluster: int, nodes: list[int], distance: float, fresh: int = 0) -> None:
        """Nothing; the nodes fall out of the cluster."""
        self.clusters.extend([cluster] * len(nodes))
        self.nodes.extend(nodes)
        self.distances.extend([distance] * len(nodes))
        self.fresh.extend([fresh] * len(nodes))


def _tree(rows: _Rows, hierarchy: Hierarchy) -> NDArray[np.void]:
    """The rows in hdbscan's form: of a node that starts no cluster its points, each with its weight."""
    nodes, fresh = np.array(rows.nodes), np.array(rows.fresh)
    many = np.where(fresh, 1, hierarchy.sizes[nodes])
    row = np.repeat(np.arange(len(nodes)), many)
    nodes, fresh = nodes[row], fresh[row]
    child = hierarchy.order[hierarchy.starts[nodes] + ranges(many)]
    tree = np.empty(len(row), TREE)
    tree["parent"], tree["child"] = np.array(rows.clusters)[row], np.where(fresh, fresh, child)
    tree["lambda_val"] = 1.0 / np.array(rows.distances)[row]
    tree["child_size"] = hierarchy.weights[np.where(fresh, nodes, child)]
    return tree


def _choose(tree: NDArray[np.void], points: dict[int, int], n: int, rules: Rules) -> Labels:
    """The clusters of `n` points with the greatest excess of mass."""
    stabilities: dict[float, float] = compute_stability(tree)
    parents = set(tree["parent"][tree["child"] > n].tolist())
    for cluster in parents & points.keys():
        if points[cluster] > rules.max_points:
            stabilities[cluster] = -1.0  # below any sum of its parts, so they are taken
    # To hdbscan a child of more than one is a cluster; its weight is in the stabilities already.
    plain = tree.copy()
    plain["child_size"][plain["child"] < n] = 1
    # Its own cap on size compares weights with the number of points unless it is told otherwise; ours is applied above.
    no_cap = int(tree["child_size"].sum())
    labels, strengths, scores = get_clusters(plain, stabilities, max_cluster_size=no_cap)
    # hdbscan divides by points and density to compare clusters; the mass itself is what a reader can check.
    mass = scores * np.bincount(labels[labels >= 0], minlength=len(scores)) * tree["lambda_val"].max()
    return Labels(labels.astype(np.int64), strengths, mass)
