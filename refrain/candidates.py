"""Candidates: templates, and templates whose owners overlap far beyond chance joined into one.

Variants of one wrapper, in other words or languages, are tied by who sends them, which no embedding can see. Overlap is
measured by the Jaccard index of the owner sets after the overlap that independent owners of the same activity would
have is taken off, and joined by average linkage, so that a chain of pairs joins nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from refrain.counting import Ints, distinct_pairs, slices


@dataclass(frozen=True)
class TemplateOwners:
    """Pairs (template, owner), once each, sorted by template; `bounds` are the runs of each template."""

    templates: Ints
    owners: Ints
    bounds: Ints

    def of(self, template: int) -> Ints:
        """The owners of one template, ascending."""
        return self.owners[self.bounds[template] : self.bounds[template + 1]]


def template_owners(templates: Ints, owners: Ints, count: int) -> TemplateOwners:
    """The distinct pairs of aligned arrays with an entry for each use of a template."""
    pair_template, pair_owner = distinct_pairs(templates, owners)
    return TemplateOwners(pair_template, pair_owner, slices(pair_template, count))


@dataclass(frozen=True)
class JoinRule:
    """When the owner sets of two templates are one: excess Jaccard index, p-value of the overlap, owners in common."""

    min_jaccard: float
    max_p: float
    min_shared: int


def join_templates(pairs: TemplateOwners, eligible: Ints, activity: Ints, rule: JoinRule) -> list[Ints]:
    """The candidates as ascending arrays of template ids; every eligible template is in exactly one.

    `activity` (owners,) is the number of requests of each owner.
    """
    if not len(eligible):
        return []
    rank = np.full(int(eligible.max()) + 1, -1)
    rank[eligible] = np.arange(len(eligible))
    inside = (pairs.templates < len(rank)) & (rank[np.minimum(pairs.templates, len(rank) - 1)] >= 0)
    rows, owners = rank[pairs.templates[inside]], pairs.owners[inside]
    incidence = csr_array((np.ones(len(rows)), (rows, owners)), shape=(len(eligible), len(activity)))
    sizes = np.asarray(incidence.sum(axis=1)).ravel()
    shared = (incidence @ incidence.T).tocoo()
    a, b, both = shared.row, shared.col, shared.data
    upper = (a < b) & (both >= rule.min_shared)
    a, b, both = a[upper], b[upper], both[upper]
    # Two sets of independent owners, each drawn with a chance proportional to activity, meet in sum p_i q_i owners.
    weight = activity / activity.sum()
    expected = sizes[a] * sizes[b] * float((weight**2).sum())
    excess = np.maximum(both - expected, 0) / np.maximum(sizes[a] + sizes[b] - both - np.minimum(expected, both), 1)
    strong = (excess >= rule.min_jaccard / 2) & (stats.poisson.sf(both - 1, expected) <= rule.max_p)
    a, b, excess = a[strong], b[strong], excess[strong]
    links = csr_array((np.ones(len(a)), (a, b)), shape=(len(eligible),) * 2)
    _, component = connected_components(links, directed=False)
    out: list[Ints] = []
    order = np.argsort(component, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        out.extend(eligible[np.sort(group)] for group in _average_linkage(members, a, b, excess, rule.min_jaccard))
    return sorted(out, key=lambda group: int(group[0]))


def _average_linkage(members: Ints, a: Ints, b: Ints, excess: NDArray[np.float64], least: float) -> list[Ints]:
    """The members of one component in groups whose mean excess Jaccard index is at least `least`."""
    if len(members) == 1:
        return [members]
    place = {int(m): i for i, m in enumerate(members)}
    inside = np.isin(a, members)
    distance = np.ones((len(members), len(members)))
    for x, y, value in zip(a[inside], b[inside], excess[inside], strict=True):
        i, j = place[int(x)], place[int(y)]
        distance[i, j] = distance[j, i] = 1 - value
    tree = linkage(distance[np.triu_indices(len(members), 1)], "average")
    labels = fcluster(tree, 1 - least, "distance")
    return [members[labels == label] for label in np.unique(labels)]
