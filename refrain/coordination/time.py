"""When the users send: round the clock, on one another's minutes, at one another's instants, from one day on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from refrain.coordination.controls import count_tail, skewed_tail
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints, ranges
from refrain.population import MICROSECONDS, Population

Floats = NDArray[np.float64]
MINUTE_US = 60 * MICROSECONDS
HOUR_US = 60 * MINUTE_US


def concentration(hours: Floats) -> float:
    """How much hours of the day lie together, unbiased for any number of them: the mean cosine of the angle between
    two of them, 0 for round the clock, 1 for always at the same time."""
    n = len(hours)
    squared = abs(np.exp(2j * np.pi * hours / 24).sum()) ** 2
    return float((squared - n) / (n * (n - 1)))


@dataclass(frozen=True)
class Rhythms:
    """The concentration of matched owners' hours, for samples of a given number of requests; computed once a number."""

    population: Population
    owners: int  # at most so many controls
    seed: int

    def of(self, requests: int) -> Floats:
        """(controls,) sorted concentrations of owners with at least `requests` requests, from that many of each."""
        return _rhythms(self, requests)

    def __hash__(self) -> int:
        return hash((id(self.population), self.owners, self.seed))


@lru_cache(maxsize=4096)
def _rhythms(rhythms: Rhythms, requests: int) -> Floats:
    population = rhythms.population
    rng = np.random.default_rng([rhythms.seed, requests])
    able = np.flatnonzero(population.activity >= requests)
    if len(able) > rhythms.owners:
        able = np.sort(rng.choice(able, rhythms.owners, replace=False))
    hours = population.hours
    values = [concentration(hours[rng.choice(population.requests_of(int(o)), requests, replace=False)]) for o in able]
    return np.sort(np.array(values))


@dataclass(frozen=True)
class RhythmRule:
    """Which owners can show a rhythm: the fewest and the most requests looked at, and the fewest owners to compare."""

    min_requests: int
    max_requests: int
    min_owners: int


def round_the_clock(candidate: Candidate, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> TestResult:
    """Are the users' requests spread over the day more evenly than those of owners who send as many?"""
    hours = setting.population.hours
    observed, expected, scores = [], [], []
    for owner, count in zip(candidate.owners, candidate.counts, strict=True):
        if count < rule.min_requests:
            continue
        used = min(int(count), rule.max_requests)
        own = candidate.requests[candidate.request_owner == owner]
        if used < count:
            own = setting.rng(candidate, 1000 + int(owner)).choice(own, used, replace=False)
        pool = rhythms.of(used)
        if len(pool) < rule.min_owners:
            continue
        value = concentration(hours[own])
        low, high = np.searchsorted(pool, value, "left"), np.searchsorted(pool, value, "right")
        scores.append((low + high + 1) / 2 / (len(pool) + 1))
        observed.append(value)
        expected.append(float(pool.mean()))
    if len(scores) < rule.min_owners:
        return switched_off(TIME, "rhythm", f"fewer than {rule.min_owners} users have {rule.min_requests} requests")
    p = float(stats.norm.cdf((np.mean(scores) - 0.5) * np.sqrt(12 * len(scores))))
    return TestResult(
        TIME, "rhythm", float(np.mean(observed)), float(np.mean(expected)), p,
        f"a user's hours lie together by {np.mean(observed):.2f} (0 is round the clock, 1 one hour), "
        f"those of owners who send as much by {np.mean(expected):.2f}",
    )  # fmt: skip


def same_minutes(candidate: Candidate, setting: Setting, sets: Ints, minute_bins: int) -> TestResult:
    """Do different users prefer the same minutes of the hour, beyond the minutes that everybody prefers?"""
    population = setting.population
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "minutes", "there are fewer than two users")
    bins = (population.request_time % HOUR_US) * minute_bins // HOUR_US
    profile = _owner_profile(population, bins, minute_bins)
    observed = float(
        _agreement(np.zeros_like(candidate.requests), candidate.request_owner, bins[candidate.requests], profile)[0]
    )
    rng = setting.rng(candidate, 3)
    # The i-th control of a draw gives as many requests as the i-th user sent, or all that it has.
    by_stratum = np.lexsort((candidate.owners, setting.strata.of_owner[candidate.owners]))
    counts = np.tile(candidate.counts[by_stratum], len(sets))
    taken, place = _some_requests(population, sets.ravel(), counts, rng)
    drawn = _agreement(place // sets.shape[1], population.request_owner[taken], bins[taken], profile)
    return TestResult(
        TIME, "minutes", observed, float(drawn.mean()), skewed_tail(observed, drawn),
        f"users agree on minutes of the hour by {observed:.3f}, matched owners by {drawn.mean():.3f} (0 is by chance)",
    )  # fmt: skip


def _owner_profile(population: Population, bins: Ints, count: int) -> Floats:
    """(count,) the mean over owners of their shares of each bin: what an owner is expected to have."""
    weights = 1 / population.activity[population.request_owner]
    return (np.bincount(bins, weights, count) + 1 / count) / (population.owners + 1)


def _some_requests(population: Population, owners: Ints, counts: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """A run of consecutive requests of each owner, as many as `counts` says or all, from a random place: the request
    rows, and for each the position in `owners`."""
    many = np.minimum(counts, population.activity[owners])
    slack = population.activity[owners] - many
    start = population.bounds[owners] + (rng.random(len(owners)) * (slack + 1)).astype(np.int64)
    return population.by_owner[np.repeat(start, many) + ranges(many)], np.repeat(np.arange(len(owners)), many)


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


def same_instants(candidate: Candidate, setting: Setting, shift_hours: int) -> TestResult:
    """Do different users send within the same minute more often than if each were some whole hours earlier or later?

    Whole hours keep everybody's minute of the hour, and few of them keep the time of day, so neither jobs on the hour
    nor working hours look like an appointment.
    """
    owners, minutes = candidate.request_owner, setting.population.request_time[candidate.requests] // MINUTE_US
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "instants", "there are fewer than two users")
    _, owner_row = np.unique(owners, return_inverse=True)
    observed = float(_coincidences(owner_row[None, :], minutes[None, :])[0])
    rng = setting.rng(candidate, 4)
    shifts = rng.integers(-shift_hours, shift_hours + 1, size=(setting.draws, len(candidate.owners))) * 60
    drawn = _coincidences(np.tile(owner_row, (setting.draws, 1)), minutes + shifts[:, owner_row])
    return TestResult(
        TIME, "instants", observed, float(drawn.mean()), count_tail(observed, drawn),
        f"two users send in the same minute {observed:.0f} times, after shifts by whole hours {drawn.mean():.1f} times",
    )  # fmt: skip


def _coincidences(owners: Ints, minutes: Ints) -> Floats:
    """(rows,) of each row, the minutes in which owners send beyond the first one, summed; both arrays (rows, n)."""
    row = np.arange(len(owners))[:, None]
    width, span = int(owners.max()) + 1, int(np.ptp(minutes)) + 1
    once = np.unique(((row * span + minutes - minutes.min()) * width + owners).ravel()) // width
    rows, distinct = once // span, np.unique(once) // span
    size = len(owners)
    return (np.bincount(rows, minlength=size) - np.bincount(distinct, minlength=size)).astype(float)


def adopted_together(candidate: Candidate, setting: Setting) -> TestResult:
    """Did owners who were active before take it up from one day on, and none before?

    An owner that is active on `a` days and uses the template on `u` of them would, were they any u of its days, use it
    on none of its days before day d with probability C(a after d, u) / C(a, u). The number of owners that did not is
    compared with that sum for the best d, corrected for the number of days tried.
    """
    days = setting.population.days
    active = setting.population.active_days[candidate.owners]
    last = active.shape[1] - 1
    if last < 1:
        return switched_off(TIME, "adoption", "the log covers one day only")
    used = np.zeros(active.shape, bool)
    used[np.searchsorted(candidate.owners, candidate.request_owner), days[candidate.requests]] = True
    active_days, used_days, first = active.sum(axis=1), used.sum(axis=1), used.argmax(axis=1)
    best = (1.0, 0, 0.0, 0, 0)
    for day in range(1, last + 1):
        after = active[:, day:].sum(axis=1)
        able = np.flatnonzero((after > 0) & (after < active_days) & (used_days < active_days))
        if not len(able):
            continue
        chances = np.array([
            comb(int(after[i]), int(used_days[i])) / comb(int(active_days[i]), int(used_days[i])) for i in able
        ])  # fmt: skip
        adopted = int((first[able] >= day).sum())
        p = poisson_binomial_tail(chances, adopted)
        best = min(best, (p, adopted, float(chances.sum()), day, len(able)))
    p, adopted, expected, day, many = best
    if not many:
        return switched_off(TIME, "adoption", "no user was active before and used it on some days only")
    return TestResult(
        TIME, "adoption", float(adopted), expected, min(1.0, p * last),
        f"{adopted} of {many} users active before day {day + 1} of the log began on it or later, "
        f"expected {expected:.1f}",
    )  # fmt: skip


def poisson_binomial_tail(chances: Floats, at_least: int) -> float:
    """P(at least so many successes) of independent trials with these chances; exact, by convolution."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1 - chance, chance])
    return float(min(1.0, law[at_least:].sum()))
