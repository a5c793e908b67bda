"""HDBSCAN's condensed tree with weighted points, and the clusters chosen from it by excess of mass.

McInnes and Healy, "Accelerated hierarchical density based clustering" (ICDMW 2017). The `hdbscan` package knows no
weights and refuses disconnected graphs, so the condensation is ours; stabilities, the choice and the labels are its own
functions on our tree. All components hang on a root that is never chosen; each is born at the cap on distance, where
the graph was cut.
"""

from dataclasses import dataclass

import numpy as np
from hdbscan._hdbscan_tree import get_clusters, get_stability_scores
from numpy.typing import NDArray

from refrain.counting import ranges, stable_order
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
    n, root = len(core), len(hierarchy.distances) - 1
    parts, edges = hierarchy.parts, hierarchy.edges
    ends = np.concatenate([core, hierarchy.distances[n:]])  # where a node falls apart: a point at its core distance
    ends[root] = rules.max_distance
    above = np.repeat(np.arange(n, root + 1), np.diff(edges))
    # What falls apart where it is joined is no part of its own. At the cap it is: the graph holds its edges.
    below = (ends[parts] < ends[above]) | ((above == root) & (ends[parts] == ends[root]))
    heavy = below & (hierarchy.weights[parts] >= rules.min_weight)
    heavy_parts, sizes = parts[heavy].tolist(), hierarchy.sizes[parts[heavy]].tolist()
    bounds = np.concatenate([[0], np.cumsum(heavy)])[edges].tolist()
    points: dict[int, int] = {}
    nodes, clusters = [root], [n]
    for node, cluster in zip(nodes, clusters, strict=True):  # both grow
        if node < n:
            continue
        start, end = bounds[node - n], bounds[node - n + 1]
        if end - start == 1 and node != root:
            nodes.append(heavy_parts[start])
            clusters.append(cluster)
            continue
        for at in range(start, end):
            fresh = n + len(points) + 1
            points[fresh] = sizes[at]
            nodes.append(heavy_parts[at])
            clusters.append(fresh)
    if not points:
        return np.empty(0, dtype=TREE), points
    return _tree(np.array(nodes), np.array(clusters), hierarchy, ends, heavy), points


def _tree(
    nodes: Rows, clusters: Rows, hierarchy: Hierarchy, ends: Floats, heavy: NDArray[np.bool_]
) -> NDArray[np.void]:
    """The rows in hdbscan's form that the nodes leave in their clusters: of a merge its heavy parts as new clusters,
    where it has several or is the root, and the points of its other parts; of a point itself."""
    n, root = len(hierarchy.order), len(ends) - 1
    start = np.where(nodes < n, 0, hierarchy.edges[nodes - n])
    many = np.where(nodes < n, 1, hierarchy.edges[nodes - n + 1] - start)
    row = np.repeat(np.arange(len(nodes)), many)
    at = start[row] + ranges(many)
    split = (nodes[row] >= n) & heavy[at]
    part = np.where(nodes[row] < n, nodes[row], hierarchy.parts[at])
    going_on = split & (np.bincount(row, split)[row] == 1) & (nodes[row] != root)
    order = stable_order(row * 2 + ~split)
    order = order[~going_on[order]]
    row, part, split = row[order], part[order], split[order]
    fresh = np.where(split, n + np.cumsum(split), 0)

    many = np.where(split, 1, hierarchy.sizes[part])
    expanded = np.repeat(np.arange(len(part)), many)
    row, part, fresh = row[expanded], part[expanded], fresh[expanded]
    child = hierarchy.order[hierarchy.starts[part] + ranges(many)]
    tree = np.empty(len(row), TREE)
    tree["parent"], tree["child"] = clusters[row], np.where(fresh, fresh, child)
    tree["lambda_val"] = 1.0 / ends[nodes[row]]
    tree["child_size"] = hierarchy.weights[np.where(fresh, part, child)]
    return tree


def _choose(tree: NDArray[np.void], points: dict[int, int], n: int, rules: Rules) -> Labels:
    """The clusters of `n` points with the greatest excess of mass."""
    stabilities = dict(enumerate(stability(tree, n).tolist(), start=n))
    parents = set(tree["parent"][tree["child"] > n].tolist())
    for cluster in parents & points.keys():
        if points[cluster] > rules.max_points:
            stabilities[cluster] = -1.0  # below any sum of its parts, so they are taken
    return _label_rows(tree, n, _label_clusters(tree, stabilities, n), stabilities)


def stability(tree: NDArray[np.void], n: int) -> Floats:
    """The excess of mass of the root and of each cluster, (clusters + 1,), as `compute_stability` of hdbscan has it:
    that sorts the whole tree to find where clusters are born."""
    between = tree["child"] > n
    births = np.zeros(int(np.count_nonzero(between)) + 1)
    births[tree["child"][between] - n] = tree["lambda_val"][between]
    parents = tree["parent"] - n
    masses = (tree["lambda_val"] - births[parents]) * tree["child_size"]
    return np.asarray(np.bincount(parents, masses, len(births)), np.float64)


def _label_clusters(tree: NDArray[np.void], stabilities: dict[int, float], n: int) -> Rows:
    """The label of each cluster's own points, (clusters,), by hdbscan's choice: it is asked about a tree in which every
    cluster has one point, for the choice reads no points and its functions take long over many."""
    between = tree[tree["child"] > n]
    count = len(between)
    small = np.empty(2 * count, TREE)
    # Points are 0..count - 1, the root count, clusters those after it. Clusters come first, parents before children.
    small[:count], small[count:] = between, np.array([(0, 0, 1.0, 1)], TREE)
    small["parent"][:count] += count - n
    small["child"][:count] += count - n
    small["child"][count:] = np.arange(count)
    small["parent"][count:] = np.arange(count) + count + 1
    # Its own cap on size compares weights with the number of points unless it is told otherwise; ours is applied above.
    no_cap = int(small["child_size"].sum())
    moved = {cluster - n + count: stability for cluster, stability in stabilities.items()}
    labels: Rows = get_clusters(small, moved, max_cluster_size=no_cap)[0].astype(np.int64)
    return labels


def _label_rows(tree: NDArray[np.void], n: int, label_of: Rows, stabilities: dict[int, float]) -> Labels:
    """The labels of the points, from those of the clusters that they fall out of; strengths and stabilities as hdbscan
    has them."""
    found, chosen = np.unique(label_of, return_index=True)
    chosen = chosen[found >= 0]  # a cluster is numbered before what is below it
    parents, densities = tree["parent"] - n - 1, tree["lambda_val"]
    deaths = np.zeros(len(label_of) + 1)  # the last is the root's
    np.maximum.at(deaths, parents, densities)
    rows = np.flatnonzero((tree["child"] < n) & (parents >= 0))
    rows = rows[label_of[parents[rows]] >= 0]
    children, label = tree["child"][rows], label_of[parents[rows]]
    labels, strengths = np.full(n, -1), np.zeros(n)
    labels[children] = label
    death, density = deaths[chosen][label], densities[rows]
    strengths[children] = np.divide(
        np.minimum(density, death), death, out=np.ones(len(rows)), where=(death > 0) & np.isfinite(density)
    )
    largest = densities.max()
    scores = get_stability_scores(labels, set((chosen + n + 1).tolist()), stabilities, largest)
    # hdbscan divides by points and density to compare clusters; the mass itself is what a reader can check.
    mass = scores * np.bincount(label, minlength=len(scores)) * largest
    return Labels(labels, strengths, mass)
