"""Matched controls: owners who could as well have been the users of a template.

Owners are matched by stratum: how active they are (quantiles) and the script they write in. What a test observes is
compared with sets of other owners of the same strata; the law behind is the permutation of "uses this template" inside
strata (Good, "Permutation, Parametric and Bootstrap Tests of Hypotheses", 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from refrain.coordination.combine import cauchy_combination
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

    @property
    def sizes(self) -> Ints:
        """Owners of each stratum."""
        return np.array([len(m) for m in self.members], np.int64)


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


def draw(strata: Strata, owners: Ints, draws: int, rng: np.random.Generator) -> Ints:
    """(draws, n) control sets: in each row, for every owner another owner of the same stratum, without repetition.

    Columns follow the owners sorted by stratum, then row.
    """
    wanted = np.bincount(strata.of_owner[owners], minlength=strata.count)
    columns = []
    for stratum in np.flatnonzero(wanted):
        members, many = strata.members[stratum], int(wanted[stratum])
        columns.append(members[_without_repetition(len(members), many, draws, rng)])
    return np.concatenate(columns, axis=1) if columns else np.zeros((draws, 0), np.int64)


def _without_repetition(size: int, many: int, draws: int, rng: np.random.Generator) -> Ints:
    """(draws, many) samples of 0..size-1, distinct within a row, each set of them equally likely."""
    if 2 * many > size:
        left_out = _without_repetition(size, size - many, draws, rng)
        kept = np.ones((draws, size), bool)
        kept[np.arange(draws)[:, None], left_out] = False
        return np.nonzero(kept)[1].reshape(draws, many)
    out = rng.integers(size, size=(draws, many))
    while many > 1:
        ordered = np.sort(out, axis=1)
        if not (ordered[:, 1:] == ordered[:, :-1]).any():
            break
        # Redrawing what repeats an earlier place is the same as drawing one after the other.
        order = np.argsort(out, axis=1, kind="stable")
        ordered = np.take_along_axis(out, order, axis=1)
        again = np.zeros(out.shape, bool)
        np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
        out[again] = rng.integers(size, size=int(again.sum()))
    return out


@dataclass(frozen=True)
class Pool:
    """The known scores of a stratum's owners: their number, mean, variance, and law."""

    size: int
    mean: float
    variance: float
    law: DrawnLaw

    @classmethod
    def of(cls, known: Floats) -> Pool:
        """The pool of known scores; of none, it has mean and variance 0."""
        if not len(known):
            return cls(0, 0.0, 0.0, DrawnLaw(known))
        return cls(len(known), float(known.mean()), float(known.var()), DrawnLaw(known - known.mean()))


def pools_of(scores: Floats, strata: Strata) -> tuple[Pool, ...]:
    """The pool of each stratum."""
    return tuple(Pool.of(own[~np.isnan(own)]) for own in (scores[members] for members in strata.members))


@dataclass(frozen=True)
class Ranks:
    """(owners,) ranks inside strata, NaN where the value is unknown.

    `scores` are centred and scaled to (-1/2, 1/2), ties shared. `upper` is the share of the stratum's owners whose
    value is at least as high, so that a share s is as rare as s, ties or not. `pools` are the scores by stratum.
    """

    scores: Floats
    upper: Floats
    pools: tuple[Pool, ...]


def rank(values: Floats, strata: Strata) -> Ranks:
    """The ranks of values (owners,), NaN for unknown."""
    scores, upper = np.full(len(values), np.nan), np.full(len(values), np.nan)
    for members in strata.members:
        known = members[~np.isnan(values[members])]
        if len(known):
            scores[known] = (stats.rankdata(values[known]) - 0.5) / len(known) - 0.5
            upper[known] = stats.rankdata(-values[known], "max") / len(known)
    return Ranks(scores, upper, pools_of(scores, strata))


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


def permutation_p(ranks: Ranks, strata: Strata, owners: Ints) -> float:
    """P-value that `owners` rank this high under permutation inside strata: in sum, or a part of them at the top.

    Owners whose rank is NaN are left out, among `owners` and among those they are compared with: were they taken for
    average, the variance would be too small. 1 where nothing is known, or where nobody else could have been chosen.
    """
    owners = owners[~np.isnan(ranks.scores[owners])]
    total = score_sum_p(ranks.scores, strata, owners, ranks.pools)
    return cauchy_combination([total, top_tail(ranks.upper[owners])]) if total < 1 else 1.0


def score_sum_p(scores: Floats, strata: Strata, owners: Ints, pools: Sequence[Pool] = ()) -> float:
    """P-value that `owners` have known scores this high in sum under permutation inside strata (van Elteren's test).

    Mean and variance are exact. The shape of the tail is that of draws with replacement, scaled to this variance, where
    the normal's is below 5%. `pools` are those of the scores where they are at hand.
    """
    pools = pools or pools_of(scores, strata)
    mean = variance = spread = 0.0
    wanted = np.bincount(strata.of_owner[owners], minlength=strata.count)
    drawn = []
    for stratum in np.flatnonzero(wanted).tolist():
        pool = pools[stratum]
        n, k = pool.size, int(wanted[stratum])
        mean += k * pool.mean
        spread += k * pool.variance
        if n > 1:
            variance += k * pool.variance * (n - k) / (n - 1)
        drawn.append((pool.law, k))
    if variance <= 0:
        return 1.0
    beyond = (scores[owners].sum() - mean) / np.sqrt(variance)
    plain = normal_upper(beyond)
    if plain > _NORMAL_FROM:
        return plain
    return sum_tail(beyond * np.sqrt(spread), partial(drawn_cumulants, drawn))


def count_tail(observed: float, drawn: NDArray[np.float64]) -> float:
    """P-value of a count at least `observed`, from counts of control sets.

    The tail is a negative binomial's with the draws' mean and variance (Poisson where they vary less), never below
    what the draws themselves show. The mean carries one pseudo-count over all draws, so no event seen never is
    impossible.
    """
    if observed <= 0:
        return 1.0
    mean = (drawn.sum() + 1) / (len(drawn) + 1)
    variance = float(drawn.var(ddof=1)) if len(drawn) > 1 else mean
    if variance > mean * (1 + 1e-9):
        size = mean**2 / (variance - mean)
        tail = negative_binomial_upper(observed, size, mean)
    else:
        tail = poisson_upper(observed, mean)
    seen = float((drawn >= observed).sum())
    return min(1.0, max(tail, seen / (len(drawn) + 1)))


def skewed_tail(observed: float, drawn: NDArray[np.float64]) -> float:
    """P-value of a statistic at least `observed`: the three-moment Pearson III fit to control draws (Mielke and Berry,
    "Permutation Methods", 2007), never below what the draws themselves show."""
    deviation = float(drawn.std(ddof=1))
    if deviation <= 0:
        return 1.0 if observed <= drawn.mean() else 1 / (len(drawn) + 1)
    mean = drawn.mean()
    centred = drawn - mean
    skew = max(float((centred**3).mean() / (centred**2).mean() ** 1.5), 0.0)
    tail = pearson_upper((observed - mean) / deviation, skew)
    seen = float((drawn >= observed).sum())
    return min(1.0, max(tail, seen / (len(drawn) + 1)))
