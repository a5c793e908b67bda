"""How the users use it, against how other owners use other recurrent templates: how often, and as what share of all
that they send."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.combine import cauchy_rows
from refrain.coordination.controls import middle_ranks, upper_shares
from refrain.coordination.results import USE, Candidates, Setting, TestResult, TestResults, switched_off
from refrain.coordination.tails import biased_uniform_mean, top_tail, uniform_sum_tail
from refrain.counting import Ints
from refrain.population import Population

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pools:
    """What the pairs (owner, template) of the log show in one respect: sorted values by activity bin."""

    values: tuple[Floats, ...]
    _laws: dict[bytes, Floats] = field(default_factory=dict, init=False, repr=False, compare=False)

    def laws(self, edges: Floats) -> Floats:
        """(bins, edges + 1) the law of each over the intervals that the edges cut; computed once."""
        key = edges.tobytes()
        if key not in self._laws:
            self._laws[key] = np.array([binned_law(pool, edges) for pool in self.values])
        return self._laws[key]

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(bins,) whether each has any."""
        return np.array([len(pool) > 0 for pool in self.values], bool)

    @cached_property
    def means(self) -> Floats:
        """(bins,) the mean of each, 0 where the bin has none."""
        return np.array([pool.mean() if len(pool) else 0.0 for pool in self.values])


def binned_law(values: Floats, edges: Floats) -> Floats:
    """(edges + 1,) shares of the intervals among sorted values, with one pseudo-count spread evenly."""
    seen = np.diff(np.searchsorted(values, edges, "right"), prepend=0, append=len(values))
    return np.asarray((seen + 1 / len(seen)) / (seen.sum() + 1))


@dataclass(frozen=True)
class UseReference:
    """All pairs (owner, template) of the log: requests and share of the owner's traffic."""

    bin_of_owner: Ints
    counts: Pools
    shares: Pools


def use_reference(population: Population, pair_owner: Ints, pair_count: Ints, bins: int) -> UseReference:
    """The reference of pairs given as aligned arrays: an owner and its number of requests with one template."""
    quantiles = np.linspace(0, 1, bins + 1)[1:-1]
    edges = np.unique(np.quantile(population.activity, quantiles)) if population.owners else np.zeros(0)
    bin_of_owner = np.searchsorted(edges, population.activity, side="left")
    share = pair_count / population.activity[pair_owner]
    counts, shares = [], []
    for number in range(int(bin_of_owner.max(initial=-1)) + 1):
        own = bin_of_owner[pair_owner] == number
        counts.append(np.sort(pair_count[own].astype(float)))
        shares.append(np.sort(share[own]))
    return UseReference(bin_of_owner, Pools(tuple(counts)), Pools(tuple(shares)))


def repetition(candidates: Candidates, setting: Setting, reference: UseReference) -> TestResults:
    """Do the users send it more often than matched owners send other recurrent templates?"""
    values = candidates.counts.astype(float)
    return _against(candidates, setting, reference, reference.counts, values, "repetition", "requests a user (mean)")


def dedication(candidates: Candidates, setting: Setting, reference: UseReference) -> TestResults:
    """Is it a larger share of the users' traffic than other recurrent templates are of matched owners' traffic?"""
    values = candidates.counts / setting.population.activity[candidates.owners]
    return _against(
        candidates, setting, reference, reference.shares, values, "dedication", "share of a user's requests (mean)"
    )


def _against(
    candidates: Candidates,
    setting: Setting,
    reference: UseReference,
    pools: Pools,
    values: Floats,
    name: str,
    noun: str,
) -> TestResults:
    bins = reference.bin_of_owner[candidates.owners]
    known = pools.present[bins]
    group, bins, values = candidates.group[known], bins[known], values[known]
    ranks, upper = np.zeros(len(bins)), np.zeros(len(bins))
    for number in np.flatnonzero(np.bincount(bins)):
        own = np.flatnonzero(bins == number)
        pool, theirs = pools.values[number], values[own]
        ranks[own], upper[own] = middle_ranks(pool, theirs), upper_shares(pool, theirs)
    count = len(candidates)
    many: Ints = np.bincount(group, minlength=count)
    of_users = (values, pools.means[bins], ranks - 0.5)
    observed, expected, beyond = (np.asarray(np.bincount(group, part, count), float) for part in of_users)
    # Mid-ranks vary no more than uniforms.
    total = uniform_sum_tail(beyond - many * biased_uniform_mean(setting.bias), many)
    p = cauchy_rows(np.stack([total, top_tail(upper, group, count, setting.bias)], axis=1))

    def read(place: int) -> TestResult:
        if not many[place]:
            return switched_off(USE, name, "no other template recurs among owners this active")
        seen, usual = float(observed[place] / many[place]), float(expected[place] / many[place])
        text = f"{noun}: {seen:.2f}, of other templates {usual:.2f}"
        return TestResult(USE, name, seen, usual, float(p[place]), text)

    return TestResults(USE, name, np.where(many > 0, p, np.nan), read)


TESTS = (repetition, dedication)
