"""Round the clock: how the hours of a user's requests lie together, against owners who send as many."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import Strata, middle_rank
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.coordination.tails import sum_tail, uniform_cumulants
from refrain.counting import Ints
from refrain.population import Population

Floats = NDArray[np.float64]


def concentration(hours: Floats) -> Floats:
    """How much hours of the day (..., n) lie together, (...,), unbiased for any number n from 2 on: the mean cosine of
    the angle between two of them, 0 for round the clock, 1 for always at the same time."""
    n = hours.shape[-1]
    squared = np.abs(np.exp(2j * np.pi * hours / 24).sum(axis=-1)) ** 2
    return np.asarray((squared - n) / (n * (n - 1)))


@dataclass(frozen=True)
class RhythmPool:
    """Sorted concentrations of the controls, and how many owners they are chosen from."""

    values: Floats
    able: int

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
        rows = self._shuffled[population.bounds[owners][:, None] + np.arange(requests)]
        return RhythmPool(np.sort(concentration(population.hours[rows])), len(able))

    @cached_property
    def _shuffled(self) -> Ints:
        """Request rows owner by owner, each owner's in an order by lot."""
        lots = np.random.default_rng(self.seed).random(len(self.population.request_owner))
        return np.lexsort((lots, self.population.request_owner))


@dataclass(frozen=True)
class RhythmRule:
    """Which owners can show a rhythm: the fewest and the most requests looked at, and the fewest owners to compare."""

    min_requests: int
    max_requests: int
    min_owners: int


@dataclass(frozen=True)
class OwnRhythm:
    """A user's rhythm beside its controls': position among the users, stratum, concentration, and rank in (0, 1)."""

    place: int
    stratum: int
    value: float
    rank: float
    pool: RhythmPool


def own_rhythms(candidate: Candidate, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> list[OwnRhythm]:
    """The rhythms of those users who have enough requests and enough controls, in the order of the users."""
    hours, stratum_of = setting.population.hours, rhythms.strata.of_owner
    out = []
    for place, (owner, count) in enumerate(zip(candidate.owners, candidate.counts, strict=True)):
        used = min(int(count), rule.max_requests)
        if used < rule.min_requests:
            continue
        stratum = int(stratum_of[owner])
        pool = rhythms.of(stratum, used)
        if len(pool.values) < rule.min_owners:
            continue
        own = candidate.requests[candidate.request_owner == owner]
        if used < count:
            own = setting.rng(candidate, 1000 + int(owner)).choice(own, used, replace=False)
        value = float(concentration(hours[own]))
        out.append(OwnRhythm(place, stratum, value, middle_rank(pool.values, value), pool))
    return out


def round_the_clock(candidate: Candidate, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> TestResult:
    """Are the users' requests spread over the day more evenly than those of matched owners who send as many?

    Owners are matched by stratum too: the busiest are mostly machines, which never sleep.
    """
    found = own_rhythms(candidate, setting, rhythms, rule)
    scores, observed = [own.rank for own in found], [own.value for own in found]
    expected = [float(own.pool.values.mean()) for own in found]
    sampling: dict[int, list[float]] = {}
    for own in found:
        sampling.setdefault(own.stratum, []).append(own.pool.sampling)
    if len(scores) < rule.min_owners:
        return switched_off(TIME, "rhythm", f"fewer than {rule.min_owners} users have {rule.min_requests} requests")
    # Mid-ranks vary no more than uniforms. Users of a stratum share their controls, so that the controls' own chance
    # does not average out over them.
    wider = 1 + sum(len(s) ** 2 * max(s) for s in sampling.values()) / len(scores)
    p = sum_tail((len(scores) / 2 - np.sum(scores)) / np.sqrt(wider), partial(uniform_cumulants, len(scores)))
    return TestResult(
        TIME, "rhythm", float(np.mean(observed)), float(np.mean(expected)), p,
        f"a user's hours lie together by {np.mean(observed):.2f} (0 is round the clock, 1 one hour), "
        f"those of owners who send as much by {np.mean(expected):.2f}",
    )  # fmt: skip
