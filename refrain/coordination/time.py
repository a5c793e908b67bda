"""When the users send: round the clock, on one another's minutes, at one another's instants, from one day on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from refrain.coordination.controls import Strata, count_tail, middle_rank, skewed_tail
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints, ranges
from refrain.population import MICROSECONDS, Population

Floats = NDArray[np.float64]
MINUTE_US = 60 * MICROSECONDS
HOUR_US = 60 * MINUTE_US


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


def round_the_clock(candidate: Candidate, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> TestResult:
    """Are the users' requests spread over the day more evenly than those of matched owners who send as many?

    Owners are matched by stratum too: the busiest are mostly machines, which never sleep.
    """
    hours, stratum_of = setting.population.hours, rhythms.strata.of_owner
    observed, expected, scores = [], [], []
    sampling: dict[int, list[float]] = {}
    for owner, count in zip(candidate.owners, candidate.counts, strict=True):
        if count < rule.min_requests:
            continue
        used = min(int(count), rule.max_requests)
        own = candidate.requests[candidate.request_owner == owner]
        if used < count:
            own = setting.rng(candidate, 1000 + int(owner)).choice(own, used, replace=False)
        stratum = int(stratum_of[owner])
        pool = rhythms.of(stratum, used)
        if len(pool.values) < rule.min_owners:
            continue
        value = float(concentration(hours[own]))
        scores.append(middle_rank(pool.values, value))
        observed.append(value)
        expected.append(float(pool.values.mean()))
        sampling.setdefault(stratum, []).append(pool.sampling)
    if len(scores) < rule.min_owners:
        return switched_off(TIME, "rhythm", f"fewer than {rule.min_owners} users have {rule.min_requests} requests")
    # Mid-ranks have a variance of at most 1/12. Users of a stratum share their controls, so that the controls' own
    # chance does not average out over them.
    variance = (len(scores) + sum(len(s) ** 2 * max(s) for s in sampling.values())) / 12
    p = float(stats.norm.cdf((np.sum(scores) - len(scores) / 2) / np.sqrt(variance)))
    return TestResult(
        TIME, "rhythm", float(np.mean(observed)), float(np.mean(expected)), p,
        f"a user's hours lie together by {np.mean(observed):.2f} (0 is round the clock, 1 one hour), "
        f"those of owners who send as much by {np.mean(expected):.2f}",
    )  # fmt: skip


@dataclass(frozen=True)
class DrawnRequests:
    """Requests of control sets: the number of sets, and aligned the request rows and the set of each."""

    sets: int
    requests: Ints
    place: Ints


def drawn_requests(candidate: Candidate, setting: Setting, sets: Ints) -> DrawnRequests:
    """Of each control the requests that correspond to those of the user in its place: as far apart in its traffic and as
    early or late in it, closer together where it sent fewer. So a burst stays a burst, and what is spread is spread.

    `sets` (draws, n) is as `controls.draw` gives it.
    """
    population = setting.population
    by_stratum = np.lexsort((candidate.owners, setting.strata.of_owner[candidate.owners]))
    order = np.argsort(candidate.request_owner, kind="stable")
    position = population.position[candidate.requests[order]]
    ends = np.cumsum(candidate.counts)
    first = position[ends - candidate.counts]
    span = position[ends - 1] - first + 1
    offset = position - np.repeat(first, candidate.counts)
    early = first / np.maximum(population.activity[candidate.owners] - span, 1)
    user = np.tile(by_stratum, len(sets))  # of each control, the user in whose place it stands
    owners = sets.ravel()
    many = candidate.counts[user]
    activity = population.activity[owners]
    start = np.rint(early[user] * np.maximum(activity - span[user], 0)).astype(np.int64)
    closer = np.minimum(activity / span[user], 1)
    use = np.repeat((ends - candidate.counts)[user], many) + ranges(many)
    place = (offset[use] * np.repeat(closer, many)).astype(np.int64) + np.repeat(start, many)
    rows = population.by_owner[np.repeat(population.bounds[owners], many) + place]
    return DrawnRequests(len(sets), rows, np.repeat(np.arange(len(owners)) // max(sets.shape[1], 1), many))


def same_minutes(candidate: Candidate, setting: Setting, controls: DrawnRequests, minute_bins: int) -> TestResult:
    """Do different users prefer the same minutes of the hour, beyond the minutes that everybody prefers?"""
    population = setting.population
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "minutes", "there are fewer than two users")
    bins = (population.request_time % HOUR_US) * minute_bins // HOUR_US
    profile = _owner_profile(population, bins, minute_bins)
    observed = float(
        _agreement(np.zeros_like(candidate.requests), candidate.request_owner, bins[candidate.requests], profile)[0]
    )
    taken = controls.requests
    drawn = _agreement(controls.place, population.request_owner[taken], bins[taken], profile)
    return TestResult(
        TIME, "minutes", observed, float(drawn.mean()), skewed_tail(observed, drawn),
        f"users agree on minutes of the hour by {observed:.3f}, matched owners by {drawn.mean():.3f} (0 is by chance)",
    )  # fmt: skip


def _owner_profile(population: Population, bins: Ints, count: int) -> Floats:
    """(count,) the mean over owners of their shares of each bin: what an owner is expected to have."""
    weights = 1 / population.activity[population.request_owner]
    return (np.bincount(bins, weights, count) + 1 / count) / (population.owners + 1)


def _agreement(sets: Ints, owners: Ints, bins: Ints, profile: Floats) -> Floats:
    """(sets,) the mean over pairs of a set's owners of the scaled product of their deviations from the profile."""
    width, count = int(owners.max()) + 1, int(sets.max()) + 1
    keys, row = np.unique(sets * width + owners, return_inverse=True)
    table = np.bincount(row * len(profile) + bins, minlength=len(keys) * len(profile)).reshape(len(keys), -1)
    scaled = (table / table.sum(axis=1, keepdims=True) - profile) / np.sqrt(profile)
    bounds = np.searchsorted(keys // width, np.arange(count))
    total = np.add.reduceat(scaled, bounds, axis=0)
    own = np.add.reduceat((scaled * scaled).sum(axis=1), bounds)
    n = np.diff(bounds, append=len(keys))
    return np.asarray(((total * total).sum(axis=1) - own) / (np.maximum(n * (n - 1), 1) * len(profile)))


def same_instants(candidate: Candidate, setting: Setting, controls: DrawnRequests, shift_hours: int) -> TestResult:
    """Do different users send within the same minute more often than if each were some whole hours earlier or later,
    and more often than matched owners do?

    Whole hours keep everybody's minute of the hour, and few of them keep the time of day, so neither jobs on the hour
    nor working hours look like an appointment. Jobs at midnight do; of these matched owners have as many. The p-value
    is the larger of the two.
    """
    population = setting.population
    owners, minutes = candidate.request_owner, population.request_time[candidate.requests] // MINUTE_US
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "instants", "there are fewer than two users")
    _, owner_row = np.unique(owners, return_inverse=True)
    observed = float(_coincidences(np.zeros_like(minutes), owner_row, minutes, 1)[0])
    rng = setting.rng(candidate, 4)
    shifts = rng.integers(-shift_hours, shift_hours + 1, size=(setting.draws, len(candidate.owners))) * 60
    shifted = (minutes + shifts[:, owner_row]).ravel()
    sets = np.repeat(np.arange(setting.draws), len(minutes))
    moved = _coincidences(sets, np.tile(owner_row, setting.draws), shifted, setting.draws)
    taken = controls.requests
    matched = _coincidences(
        controls.place, population.request_owner[taken], population.request_time[taken] // MINUTE_US, controls.sets
    )
    p, drawn = max((count_tail(observed, d), float(d.mean())) for d in (moved, matched))
    return TestResult(
        TIME, "instants", observed, drawn, p,
        f"two users send in the same minute {observed:.0f} times, after shifts by whole hours {moved.mean():.1f} "
        f"times, matched owners {matched.mean():.1f} times",
    )  # fmt: skip


def _coincidences(sets: Ints, owners: Ints, minutes: Ints, count: int) -> Floats:
    """(count,) of each set, the minutes in which owners send beyond the first one, summed; arrays aligned."""
    width, span = int(owners.max()) + 1, int(np.ptp(minutes)) + 1
    once = np.unique((sets * span + minutes - minutes.min()) * width + owners) // width
    return (np.bincount(once // span, minlength=count) - np.bincount(np.unique(once) // span, minlength=count)).astype(
        float
    )


def adopted_together(candidate: Candidate, setting: Setting) -> TestResult:
    """Did owners who were active before take it up from one day on, and none before?

    The null is that an owner's use as it is, gaps and all, could as well lie earlier or later in the owner's own
    traffic, on any of its active days that leave room, or at any of its requests (that one for owners who send most on
    a few days); the likelier of the two counts. So neither a use for a few days in a row nor one that is spread looks
    like adoption. The number of owners whose use begins on day d or later is compared with the sum of these chances
    for the best d, corrected for the number of days tried.
    """
    days = setting.population.days
    last = int(days.max(initial=0))
    if last < 1:
        return switched_off(TIME, "adoption", "the log covers one day only")
    by_days, by_requests = _room(candidate, setting.population)
    first = by_days.first_day
    best = (1.0, 0, 0.0, 0, 0)
    for day in range(1, last + 1):
        chances = np.maximum(by_days.chance_from(day), by_requests.chance_from(day))
        able = (chances > 0) & (chances < 1)
        if not able.any():
            continue
        adopted = int((first[able] >= day).sum())
        p = poisson_binomial_tail(chances[able], adopted)
        best = min(best, (p, adopted, float(chances[able].sum()), day, int(able.sum())))
    p, adopted, expected, day, many = best
    if not many:
        return switched_off(TIME, "adoption", "no user could have used it earlier or later")
    return TestResult(
        TIME, "adoption", float(adopted), expected, min(1.0, p * last),
        f"{adopted} of {many} users active before day {day + 1} of the log began on it or later, "
        f"expected {expected:.1f}",
    )  # fmt: skip


@dataclass(frozen=True)
class _Room:
    """Where each user's use could have begun: `before` (owners, days + 1) are its units of traffic (days or requests)
    before each day, `places` the number of units at which a use of this length can begin."""

    first_day: Ints
    before: Ints
    places: Ints

    def chance_from(self, day: int) -> Floats:
        """(owners,) the chance of beginning on that day or later."""
        return np.asarray(np.maximum(self.places - self.before[:, day], 0) / self.places)


def _room(candidate: Candidate, population: Population) -> tuple[_Room, _Room]:
    """The users' room by active days and by requests."""
    days = population.days
    width = int(days.max()) + 1
    row = np.full(population.owners, -1)
    row[candidate.owners] = np.arange(len(candidate.owners))
    own = np.flatnonzero(row[population.request_owner] >= 0)
    cells = row[population.request_owner[own]] * width + days[own]
    sent = np.bincount(cells, minlength=len(candidate.owners) * width).reshape(-1, width)
    order = np.argsort(candidate.request_owner, kind="stable")  # requests are in time order, so an owner's are too
    ends = np.cumsum(candidate.counts)
    first, last = candidate.requests[order[ends - candidate.counts]], candidate.requests[order[ends - 1]]
    rows = np.arange(len(sent))
    requests, active = _before(sent), _before(sent > 0)
    span_days = active[rows, days[last]] - active[rows, days[first]]
    span_requests = population.position[last] - population.position[first]
    return (
        _Room(days[first], active, active[:, -1] - span_days),
        _Room(days[first], requests, requests[:, -1] - span_requests),
    )


def _before(units: NDArray[Any]) -> Ints:
    """(rows, days + 1) the units before each day, and all of them."""
    return np.concatenate([np.zeros((len(units), 1), np.int64), np.cumsum(units, axis=1)], axis=1)


def poisson_binomial_tail(chances: Floats, at_least: int) -> float:
    """P(at least so many successes) of independent trials with these chances; exact, by convolution."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    return float(min(1.0, law[at_least:].sum()))
