"""Matched controls: owners who could as well have been the users of a template.

Owners are matched by stratum: how active they are (quantiles) and the script they write in. What a test observes is
compared with sets of other owners of the same strata; the law behind is the permutation of "uses this template" inside
strata (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005).

No matching is perfect: users of one topic differ from other owners of their stratum in what no log shows, and among a
thousand users a difference that means nothing is significant. So a test does not ask whether users are drawn as all
owners are, but whether a factor, `bias`, between the odds of owners would still not explain it (Rosenbaum,
"Observational Studies", 2002, chapter 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.combine import cauchy_rows
from refrain.coordination.distributions import (
    negative_binomial_upper,
    normal_upper,
    pearson_upper,
    poisson_upper,
)
from refrain.coordination.tails import DrawnLaw, drawn_cumulants, sum_tail, top_tail
from refrain.counting import Ints
from refrain.population import Population

Floats = NDArray[np.float64]
_NORMAL_FROM = 0.05  # the normal tail's own error matters below only


@dataclass(frozen=True)
class Strata:
    """The stratum of each owner, numbered from 0, and the owners of each stratum in ascending order."""

    of_owner: Ints
    members: tuple[Ints, ...]

    @property
    def count(self) -> int:
        """How many strata there are."""
        return len(self.members)

    @cached_property
    def sizes(self) -> Ints:
        """Owners of each stratum."""
        return np.array([len(m) for m in self.members], np.int64)

    @cached_property
    def position(self) -> Ints:
        """(owners,) the place of each owner among those of its stratum."""
        out = np.empty(len(self.of_owner), np.int64)
        for members in self.members:
            out[members] = np.arange(len(members))
        return out

    @cached_property
    def listed(self) -> tuple[Ints, Ints]:
        """The owners stratum by stratum, and where each stratum's begin."""
        starts = np.cumsum(self.sizes) - self.sizes
        return np.concatenate([np.zeros(0, np.int64), *self.members]), starts

    def counted(self, owners: Ints, group: Ints, many: int) -> Ints:
        """(many, strata) the owners of each stratum in each of so many groups, given an aligned owner and group."""
        cells = np.bincount(group * self.count + self.of_owner[owners], minlength=many * self.count)
        return cells.reshape(many, self.count)


def stratify(population: Population, activity_bins: int, min_owners: int) -> Strata:
    """Strata of activity and script; one with fewer than `min_owners` owners gives its script up."""
    quantiles = np.linspace(0, 1, activity_bins + 1)[1:-1]
    edges = np.unique(np.quantile(population.activity, quantiles)) if population.owners else np.zeros(0)
    bins = np.searchsorted(edges, population.activity, side="left")
    fine = bins * (int(population.script.max(initial=0)) + 2) + population.script + 1
    sizes = np.bincount(fine, minlength=int(fine.max(initial=-1)) + 1)
    key = np.where(sizes[fine] >= min_owners, fine, bins * (int(population.script.max(initial=0)) + 2))
    _, of_owner = np.unique(key, return_inverse=True)
    count = int(of_owner.max(initial=-1)) + 1
    return Strata(of_owner, tuple(np.flatnonzero(of_owner == s) for s in range(count)))


def with_groups(strata: Strata, groups: Sequence[Ints]) -> Strata:
    """The strata with a further one for each group of owners; an owner of several groups belongs to the largest."""
    key = strata.of_owner.copy()
    for number, group in sorted(enumerate(groups), key=lambda item: (len(item[1]), -item[0])):
        key[group] = strata.count + number
    _, of_owner = np.unique(key, return_inverse=True)
    return Strata(of_owner, tuple(np.flatnonzero(of_owner == s) for s in range(int(of_owner.max(initial=-1)) + 1)))


@dataclass(frozen=True)
class Pool:
    """The known scores of a stratum's owners: their number, mean, variance, and law."""

    size: int
    mean: float
    variance: float
    law: DrawnLaw

    @classmethod
    def of(cls, known: Floats, bias: float = 1.0) -> Pool:
        """The pool of known scores; of none, it has mean and variance 0. The mean is the largest that a draw can have
        where the odds of some owners are `bias` times those of the others."""
        if not len(known):
            return cls(0, 0.0, 0.0, DrawnLaw(known))
        # Those with the larger odds are then the ones with the highest scores, from some score on.
        highest = np.cumsum(np.sort(known)[::-1])
        many = np.arange(1, len(known) + 1)
        mean = ((highest[-1] + (bias - 1) * highest) / (len(known) + (bias - 1) * many)).max()
        return cls(len(known), float(mean), float(known.var()), DrawnLaw(known - known.mean()))


def pools_of(scores: Floats, strata: Strata, bias: float = 1.0) -> tuple[Pool, ...]:
    """The pool of each stratum."""
    return tuple(Pool.of(own[~np.isnan(own)], bias) for own in (scores[members] for members in strata.members))


@dataclass(frozen=True)
class Ranks:
    """(owners,) ranks inside strata, NaN where the value is unknown.

    `scores` are centred and scaled to (-1/2, 1/2), ties shared. `upper` is the share of the stratum's owners whose
    value is at least as high, so that a share s is as rare as s, ties or not. `pools` are the scores by stratum, where
    the odds of being a user may differ by the factor `bias` for reasons that nobody sees.
    """

    scores: Floats
    upper: Floats
    pools: tuple[Pool, ...]
    bias: float


def rank(values: Floats, strata: Strata, bias: float = 1.0) -> Ranks:
    """The ranks of values (owners,), NaN for unknown."""
    scores, upper = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for members in strata.members:
        known = members[~np.isnan(values[members])]
        if len(known):
            ordered = np.sort(values[known])
            low, high = (np.searchsorted(ordered, values[known], side) for side in ("left", "right"))
            scores[known] = ((low + high + 1) / 2 - 0.5) / len(known) - 0.5
            upper[known] = (len(known) - low) / len(known)
    return Ranks(scores, upper, pools_of(scores, strata, bias), bias)


def middle_ranks(pool: Floats, values: Floats) -> Floats:
    """(n,) the share of a sorted pool below each of the values, ties counted half, in (0, 1)."""
    low, high = np.searchsorted(pool, values, "left"), np.searchsorted(pool, values, "right")
    return np.asarray((low + high + 1) / 2 / (len(pool) + 1))


def middle_rank(pool: Floats, value: float) -> float:
    """The same of one value."""
    low, high = pool.searchsorted(value, "left"), pool.searchsorted(value, "right")
    return float((low + high + 1) / 2 / (len(pool) + 1))


def upper_shares(pool: Floats, values: Floats) -> Floats:
    """(n,) the share of a sorted pool that is at least each of the values, each itself counted with it, in (0, 1]."""
    return np.asarray((len(pool) - np.searchsorted(pool, values, "left") + 1) / (len(pool) + 1))


def permutation_p(ranks: Ranks, strata: Strata, owners: Ints, group: Ints, many: int) -> Floats:
    """(many,) p-values that the owners of each group rank this high under permutation inside strata: in sum, or a part
    of them at the top. `owners` and `group` are aligned, groups ascending from 0.

    Owners whose rank is NaN are left out, among `owners` and among those they are compared with: were they taken for
    average, the variance would be too small. 1 where nothing is known, or where nobody else could have been chosen.
    """
    known = ~np.isnan(ranks.scores[owners])
    owners, group = owners[known], group[known]
    total = score_sum_p(ranks.scores, strata, owners, group, many, ranks.pools)
    both = cauchy_rows(np.stack([total, top_tail(ranks.upper[owners], group, many, ranks.bias)], axis=1))
    return np.where(total < 1, both, 1.0)


def score_sum_p(
    scores: Floats, strata: Strata, owners: Ints, group: Ints, many: int, pools: Sequence[Pool] = ()
) -> Floats:
    """(many,) p-values that the owners of each group have known scores this high in sum under permutation inside strata
    (van Elteren's test).

    Mean and variance are exact. The shape of the tail is that of draws with replacement, scaled to this variance, where
    the normal's is below 5%. `pools` are those of the scores where they are at hand.
    """
    pools = pools or pools_of(scores, strata)
    wanted = strata.counted(owners, group, many)
    size, mean, variance = np.array([(p.size, p.mean, p.variance) for p in pools], float).reshape(-1, 3).T
    spread = (wanted * variance).sum(axis=1)
    left = np.where(size > 1, (size - wanted) / np.maximum(size - 1, 1), 0.0)
    deviation = np.sqrt((wanted * variance * left).sum(axis=1))
    varies = deviation > 0
    beyond = np.bincount(group, scores[owners], many) - (wanted * mean).sum(axis=1)
    beyond = np.divide(beyond, deviation, out=np.zeros(many), where=varies)
    out = np.where(varies, normal_upper(beyond), 1.0)
    for place in np.flatnonzero(out <= _NORMAL_FROM).tolist():
        drawn = [(pool.law, int(many)) for pool, many in zip(pools, wanted[place], strict=True) if many]
        out[place] = sum_tail(float(beyond[place] * np.sqrt(spread[place])), partial(drawn_cumulants, drawn))
    return out


def count_tail(observed: Floats, drawn: Floats) -> Floats:
    """(n,) p-values of counts at least `observed` (n,), from the counts (n, draws) of control sets of each.

    The tail is a negative binomial's with the draws' mean and variance (Poisson where they vary less), never below
    what the draws themselves show. The mean carries one pseudo-count over all draws, so no event seen never is
    impossible.
    """
    draws = drawn.shape[1]
    mean = (drawn.sum(axis=1) + 1) / (draws + 1)
    variance = drawn.var(axis=1, ddof=1) if draws > 1 else mean
    wider = variance > mean * (1 + 1e-9)
    size = mean**2 / np.where(wider, variance - mean, 1.0)
    tail = np.where(wider, negative_binomial_upper(observed, size, mean), poisson_upper(observed, mean))
    seen = (drawn >= observed[:, None]).sum(axis=1)
    return np.where(observed <= 0, 1.0, np.minimum(1.0, np.maximum(tail, seen / (draws + 1))))


def skewed_tail(observed: Floats, drawn: Floats) -> Floats:
    """(n,) p-values of statistics at least `observed` (n,): the three-moment Pearson III fit to control draws
    (n, draws) of each (Mielke and Berry, "Permutation Methods", 2007), never below what the draws themselves show."""
    draws = drawn.shape[1]
    deviation, mean = drawn.std(axis=1, ddof=1), drawn.mean(axis=1)
    varies = deviation > 0
    centred = drawn - mean[:, None]
    squares, cubes = (centred**2).mean(axis=1), (centred**3).mean(axis=1)
    skew = np.maximum(np.divide(cubes, squares**1.5, out=np.zeros(len(drawn)), where=varies), 0.0)
    beyond = np.divide(observed - mean, deviation, out=np.zeros(len(drawn)), where=varies)
    seen = (drawn >= observed[:, None]).sum(axis=1)
    fitted = np.minimum(1.0, np.maximum(pearson_upper(beyond, skew), seen / (draws + 1)))
    return np.where(varies, fitted, np.where(observed <= mean, 1.0, 1 / (draws + 1)))
