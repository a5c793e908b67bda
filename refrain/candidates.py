"""Candidates: templates, and templates whose owners overlap far beyond chance joined into one.

Variants of one wrapper, in other words or languages, are tied by who sends them, which no embedding can see. Overlap is
measured by the Jaccard index of the owner sets after the overlap that independent owners of the same activity would
have is taken off, and joined by average linkage, so that a chain of pairs joins nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from refrain.counting import Ints, distinct_pairs, group_starts, ranges, slices, stable_order

_PAIR = 2
_MEET = 2  # of the rarest owners that two sets must share to be compared: speed, no result
_LAST_BITS = 1e-9  # by which a product may be too large
_TOGETHER = 1 << 16  # pairs whose owners are compared at once: bounds the memory, changes no count


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
    incidence = csr_array((np.ones(len(rows), np.int32), (rows, owners)), shape=(len(eligible), len(activity)))
    sizes = np.bincount(rows, minlength=len(eligible))
    a, b = _likely_pairs(rows, owners, sizes, rule)
    both = _in_common(incidence, a, b)
    enough = both >= rule.min_shared
    a, b, both = a[enough], b[enough], both[enough]
    # Two sets of independent owners, each drawn with a chance proportional to activity, meet in sum p_i q_i owners.
    weight = activity / activity.sum()
    expected = sizes[a] * sizes[b] * float((weight**2).sum())
    excess = np.maximum(both - expected, 0) / np.maximum(sizes[a] + sizes[b] - both - np.minimum(expected, both), 1)
    likely = np.flatnonzero(excess >= rule.min_jaccard / 2)
    strong = likely[special.pdtrc(both[likely] - 1, expected[likely]) <= rule.max_p]
    first = _average_linkage(len(eligible), a[strong], b[strong], excess[strong], rule.min_jaccard)
    order = stable_order(first)
    return np.split(eligible[order], group_starts(first[order])[1:])


def _likely_pairs(rows: Ints, owners: Ints, sizes: Ints, rule: JoinRule) -> tuple[Ints, Ints]:
    """The pairs of rows, the smaller one first, among which are all that the rule may join. Given are aligned pairs of
    a row and an owner, each once, and the owners of each row.

    The excess is no more than the Jaccard index, so two sets that have enough of it have so many owners in common that
    they share some of the rarest of either, and the busiest owners need not be compared at all (prefix filtering:
    Bayardo, Ma and Srikant, "Scaling up all pairs similarity search", WWW 2007; more than one: Wang, Li and Feng, "Can
    we beat the prefix filtering?", SIGMOD 2012).
    """
    least = rule.min_jaccard / 2
    shared = np.maximum(np.ceil(least * sizes - _LAST_BITS).astype(np.int64), max(rule.min_shared, 1))
    often = np.bincount(owners)
    rarity = np.empty(len(often), np.int64)
    rarity[stable_order(often)] = np.arange(len(often))
    row, rare = np.divmod(np.sort(rows * len(often) + rarity[owners]), len(often))
    meet = min(_MEET, max(rule.min_shared, 1))
    kept = ranges(sizes) < (sizes - shared + meet)[row]
    prefixes = csr_array((np.ones(int(kept.sum()), np.int32), (row[kept], rare[kept])), shape=(len(sizes), len(often)))
    met = (prefixes @ prefixes.T).tocsr()
    at = np.flatnonzero(met.data >= meet)
    a, b = np.searchsorted(met.indptr, at, "right") - 1, met.indices[at].astype(np.int64)
    likely = (a < b) & (np.minimum(sizes[a], sizes[b]) >= np.maximum(shared[a], shared[b]))
    return a[likely], b[likely]


def _in_common(incidence: csr_array, a: Ints, b: Ints) -> Ints:
    """(n,) how many columns each of some pairs of rows of a 0/1 matrix have in common."""
    out = np.empty(len(a), np.int64)
    for start in range(0, len(a), _TOGETHER):
        part = slice(start, start + _TOGETHER)
        out[part] = incidence[a[part]].multiply(incidence[b[part]]).sum(axis=1)
    return out


def _average_linkage(count: int, a: Ints, b: Ints, excess: NDArray[np.float64], least: float) -> Ints:
    """(count,) the first item of each one's group: groups have a mean excess Jaccard index of at least `least`."""
    links = csr_array((np.ones(len(a)), (a, b)), shape=(count, count))
    components, component = connected_components(links, directed=False)
    members, ties = stable_order(component.astype(np.int64)), np.argsort(component[a], kind="stable")
    bounds, tie_bounds = slices(component[members], components), slices(component[a[ties]], components)
    sizes = np.diff(bounds)
    place = np.empty(count, np.int64)
    place[members] = ranges(sizes)
    first = np.arange(count)
    # Two are one link, and no tree is needed.
    of_two = ties[(sizes[component[a[ties]]] == _PAIR) & (1 - excess[ties] <= 1 - least)]
    first[b[of_two]] = a[of_two]
    for number in np.flatnonzero(sizes > _PAIR).tolist():
        own, tied = members[bounds[number] : bounds[number + 1]], ties[tie_bounds[number] : tie_bounds[number + 1]]
        distance = np.ones((len(own), len(own)))
        distance[place[a[tied]], place[b[tied]]] = 1 - excess[tied]
        tree = linkage(distance[np.triu_indices(len(own), 1)], "average")
        _, smallest, label = np.unique(fcluster(tree, 1 - least, "distance"), return_index=True, return_inverse=True)
        first[own] = own[smallest[label]]
    return first
