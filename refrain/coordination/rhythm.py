"""Round the clock: how the hours of a user's requests lie together, against owners who send as many."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import Strata, middle_ranks
from refrain.coordination.lots import words
from refrain.coordination.results import TIME, Candidates, Setting, TestResult, TestResults, switched_off
from refrain.coordination.tails import biased_uniform_mean, uniform_sum_tail
from refrain.counting import Ints, group_starts, ranges
from refrain.population import Population

Floats = NDArray[np.float64]
_DIGITS = 12  # beyond, the same hours in another order would differ, and could not be tied
_RADIANS = 2 * np.pi / 24  # an hour
_PURPOSE = 1000  # of lots: which requests of a user are looked at
_PLACE_BITS = 32  # of a lot's counter: owner, then the place among the owner's requests


def concentration(hours: Floats) -> Floats:
    """How much hours of the day (..., n) lie together, (...,), unbiased for any number n from 2 on: the mean cosine of
    the angle between two of them, 0 for round the clock, 1 for always at the same time."""
    angles = hours * _RADIANS
    return _mean_cosine(np.cos(angles).sum(axis=-1), np.sin(angles).sum(axis=-1), np.array(hours.shape[-1]))


def concentrations(hours: Floats, many: Ints) -> Floats:
    """(users,) the same of users with so many hours each, at least 2, one user's after the other's."""
    starts, angles = np.cumsum(many) - many, hours * _RADIANS
    if not len(many):
        return np.zeros(0)
    return _mean_cosine(np.add.reduceat(np.cos(angles), starts), np.add.reduceat(np.sin(angles), starts), many)


def _mean_cosine(cosines: Floats, sines: Floats, many: Ints) -> Floats:
    found = (cosines * cosines + sines * sines - many) / (many * (many - 1))
    return np.asarray(np.round(found, _DIGITS))


@dataclass(frozen=True)
class RhythmPool:
    """Sorted concentrations of the controls, and how many owners they are chosen from."""

    values: Floats
    able: int

    @cached_property
    def mean(self) -> float:
        """The mean concentration, 0 where there are none."""
        return float(self.values.mean()) if len(self.values) else 0.0

    @property
    def sampling(self) -> float:
        """The variance of the mean rank that comes from having looked at some of the owners only, as a multiple of one
        rank's."""
        many = len(self.values)
        return (1 - many / self.able) / many if many else 0.0


@dataclass(frozen=True)
class Rhythms:
    """The concentration of matched owners' hours, for samples of a given number of requests; computed once each."""

    population: Population
    strata: Strata
    owners: int  # at most so many controls of a stratum
    seed: int
    _made: dict[tuple[int, int], RhythmPool] = field(default_factory=dict, init=False, repr=False, compare=False)

    def of(self, stratum: int, requests: int) -> RhythmPool:
        """The concentrations of owners of the stratum with at least so many requests, from that many of each."""
        key = (stratum, requests)
        if key not in self._made:
            self._made[key] = self._make(stratum, requests)
        return self._made[key]

    def _make(self, stratum: int, requests: int) -> RhythmPool:
        population, members = self.population, self.strata.members[stratum]
        able = owners = members[population.activity[members] >= requests]
        if len(able) > self.owners:
            rng = np.random.default_rng([self.seed, stratum, requests])
            owners = np.sort(rng.choice(able, self.owners, replace=False))
        rows = population.shuffled(self.seed)[population.bounds[owners][:, None] + np.arange(requests)]
        return RhythmPool(np.sort(concentration(population.hours[rows])), len(able))


@dataclass(frozen=True)
class RhythmRule:
    """Which owners can show a rhythm: the fewest and the most requests looked at, and the fewest owners to compare."""

    min_requests: int
    max_requests: int
    min_owners: int


@dataclass(frozen=True)
class OwnRhythms:
    """Users' rhythms beside their controls', aligned: the user's place among all users of the candidates, its stratum,
    its concentration, and its rank in (0, 1); of the controls, the mean and what `RhythmPool.sampling` says."""

    user: Ints
    stratum: Ints
    value: Floats
    rank: Floats
    expected: Floats
    sampling: Floats


def own_rhythms(candidates: Candidates, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> OwnRhythms:
    """The rhythms of those users who have enough requests and enough controls, in the order of the users."""
    user = np.flatnonzero(np.minimum(candidates.counts, rule.max_requests) >= rule.min_requests)
    used = np.minimum(candidates.counts[user], rule.max_requests)
    stratum = rhythms.strata.of_owner[candidates.owners[user]]
    value = concentrations(setting.population.hours[_looked_at(candidates, setting, user, used)], used)
    rank, expected, sampling = (np.full(len(user), np.nan) for _ in range(3))
    cell = stratum * (rule.max_requests + 1) + used
    order = np.argsort(cell, kind="stable")
    for own in np.split(order, group_starts(cell[order])[1:]) if len(order) else ():
        pool = rhythms.of(int(stratum[own[0]]), int(used[own[0]]))
        if len(pool.values) >= rule.min_owners:
            rank[own], expected[own], sampling[own] = middle_ranks(pool.values, value[own]), pool.mean, pool.sampling
    kept = np.flatnonzero(~np.isnan(rank))
    return OwnRhythms(user[kept], stratum[kept], value[kept], rank[kept], expected[kept], sampling[kept])


def _looked_at(candidates: Candidates, setting: Setting, user: Ints, used: Ints) -> Ints:
    """The request rows of users, so many of each, user by user: of more, those with the lowest lots."""
    many = candidates.counts[user]
    whole = many == used
    place, of = ranges(many), np.repeat(np.arange(len(user)), many)
    rows: Ints = candidates.requests[np.repeat(candidates.starts[user], many) + place]
    if whole.all():
        return rows
    lots = np.zeros(len(rows), np.uint64)
    by_lot = np.flatnonzero(~whole[of])
    chosen = user[of[by_lot]]
    counters = (candidates.owners[chosen] << _PLACE_BITS) + place[by_lot]
    lots[by_lot] = words(candidates.keys[candidates.group[chosen]], setting.seed, _PURPOSE, counters)
    order = np.lexsort((lots, of))
    lowest: Ints = rows[order][place < used[of]]
    return lowest


def round_the_clock(candidates: Candidates, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> TestResults:
    """Are the users' requests spread over the day more evenly than those of matched owners who send as many?

    Owners are matched by stratum too: the busiest are mostly machines, which never sleep.
    """
    own, count = own_rhythms(candidates, setting, rhythms, rule), len(candidates)
    group = candidates.group[own.user]
    many: Ints = np.bincount(group, minlength=count)
    observed, expected, beyond = (
        np.asarray(np.bincount(group, part, count), float) for part in (own.value, own.expected, 0.5 - own.rank)
    )
    # Mid-ranks vary no more than uniforms. Users of a stratum share their controls, so that the controls' own chance
    # does not average out over them.
    cells = count * rhythms.strata.count
    cell = group * rhythms.strata.count + own.stratum
    sampling = np.zeros(cells)
    np.maximum.at(sampling, cell, own.sampling)
    shared = np.bincount(cell, minlength=cells) ** 2 * sampling
    wider = 1 + shared.reshape(count, -1).cumsum(axis=1)[:, -1] / np.maximum(many, 1)
    p = uniform_sum_tail((beyond - many * biased_uniform_mean(setting.bias)) / np.sqrt(wider), many)

    def read(place: int) -> TestResult:
        if many[place] < rule.min_owners:
            reason = f"fewer than {rule.min_owners} users have {rule.min_requests} requests"
            return switched_off(TIME, "rhythm", reason)
        seen, usual = float(observed[place] / many[place]), float(expected[place] / many[place])
        return TestResult(
            TIME, "rhythm", seen, usual, float(p[place]),
            f"a user's hours lie together by {seen:.2f} (0 is round the clock, 1 one hour), "
            f"those of owners who send as much by {usual:.2f}",
        )  # fmt: skip

    return TestResults(TIME, "rhythm", np.where(many >= rule.min_owners, p, np.nan), read)
