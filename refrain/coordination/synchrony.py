"""Synchrony: users on one another's minutes of the hour, and at one another's instants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import count_tail, skewed_tail
from refrain.coordination.distributions import median
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints, portions, ranges
from refrain.population import MICROSECONDS, Population

Floats = NDArray[np.float64]
MINUTE_US = 60 * MICROSECONDS
HOUR_US = 60 * MINUTE_US
_BROADENED = 1.25  # meetings before shifts for each one after them, at most, of people with the same waking hours
_CELLS = 1 << 16  # owners, times sets and parts of the hour, looked at together: as many as a cache holds
_AT_ONCE = 64  # owners, times draws and parts of the hour: some MiB


@dataclass(frozen=True)
class DrawnRequests:
    """Requests of control sets: aligned (sets, requests) the request rows and the control of each, by its place among
    the `size` owners of its set."""

    requests: Ints
    control: Ints
    size: int


def drawn_requests(candidate: Candidate, setting: Setting, sets: Ints) -> DrawnRequests:
    """Of each control the requests that correspond to those of the user in its place: as far apart in its traffic and
    as early or late in it, closer together where it sent fewer. So a burst stays a burst, and what is spread is spread.

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
    number = np.empty_like(sets)
    np.put_along_axis(number, np.argsort(sets, axis=1), np.arange(sets.shape[1])[None], axis=1)
    shape = len(sets), len(candidate.requests)  # every set has as many as the users
    return DrawnRequests(rows.reshape(shape), np.repeat(number.ravel(), many).reshape(shape), sets.shape[1])


@dataclass(frozen=True)
class Minutes:
    """The part of the hour of each request, `bins` (requests,), and of all `owners` together the sum of their shares of
    the parts, `total` (parts,)."""

    bins: Ints
    total: Floats
    owners: int

    @property
    def profile(self) -> Floats:
        """(parts,) what share of each part an owner is expected to have; every owner weighs the same."""
        return self._profile(self.total, self.owners)

    def without(self, population: Population, owners: Ints) -> Floats:
        """The profile of all other owners."""
        rows = population.requests_of_all(owners)
        weights = 1 / population.activity[population.request_owner[rows]]
        own = np.bincount(self.bins[rows], weights, len(self.total))
        return self._profile(self.total - own, self.owners - len(owners))

    def _profile(self, total: Floats, owners: int) -> Floats:
        return (np.maximum(total, 0) + 1 / len(total)) / (owners + 1)


def minutes_of(population: Population, parts: int) -> Minutes:
    """The minutes of a population by so many parts of the hour."""
    bins = (population.request_time % HOUR_US) * parts // HOUR_US
    weights = 1 / population.activity[population.request_owner]
    return Minutes(bins, np.asarray(np.bincount(bins, weights, parts), float), population.owners)


@dataclass(frozen=True)
class Profile:
    """The share of each part of the hour that an owner is expected to have, `expected` (parts,), and what a deviation
    from it counts, `scale` (parts,).

    A deviation counts by its standard deviation (chi-square), and the less the more of everybody's requests the part
    has beyond the median part: to start on the hour, as most jobs do, is no agreement.
    """

    expected: Floats
    scale: Floats

    @classmethod
    def of(cls, expected: Floats) -> Profile:
        """The profile of expected shares, none of them 0."""
        return cls(expected, np.minimum(1, median(expected) / expected) / np.sqrt(expected))


def same_minutes(candidate: Candidate, setting: Setting, controls: DrawnRequests, minutes: Minutes) -> TestResult:
    """Do different users prefer the same minutes of the hour, beyond the minutes that everybody prefers?

    Compared with each user's own minutes turned round the hour by chance, so that neither a burst nor the even minutes
    of people (unlike a population with jobs in it) look like agreement; and with matched owners. The p-value is the
    larger of the two.
    """
    population = setting.population
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "minutes", "there are fewer than two users")
    bins, parts = minutes.bins, len(minutes.total)
    profile = Profile.of(minutes.without(population, candidate.owners))
    places, users = np.searchsorted(candidate.owners, candidate.request_owner), len(candidate.owners)
    own = _shares(places[None], bins[candidate.requests][None], users, parts)
    observed = float(_agreement(own, profile)[0])
    turned = _turned(own[0], profile, setting.draws, setting.rng(candidate, 5))
    drawn = np.concatenate([
        _agreement(_shares(controls.control[some], bins[controls.requests[some]], users, parts), profile)
        for some in portions(np.full(len(controls.requests), users * parts), _CELLS)
    ])  # fmt: skip
    p, expected = max((skewed_tail(observed, law), float(law.mean())) for law in (turned, drawn))
    return TestResult(
        TIME, "minutes", observed, expected, p,
        f"users agree on minutes of the hour by {observed:.3f}, turned round the hour by {turned.mean():.3f}, "
        f"matched owners by {drawn.mean():.3f} (0 is by chance)",
    )  # fmt: skip


def _shares(owners: Ints, bins: Ints, count: int, parts: int) -> Floats:
    """(sets, count, parts) the shares of the parts of the hour among the requests of each of `count` owners of each
    set; `owners` and `bins` are (sets, requests), and every owner has one."""
    rows = owners + np.arange(len(owners))[:, None] * count
    table = np.bincount((rows * parts + bins).ravel(), minlength=len(owners) * count * parts)
    table = table.reshape(-1, count, parts)
    return np.asarray(table / table.sum(axis=2, keepdims=True))


def _agreement(shares: Floats, profile: Profile) -> Floats:
    """(sets,) the mean over pairs of a set's owners of the scaled product of their deviations from the profile, given
    shares (sets, owners, parts)."""
    sets, many, parts = shares.shape
    scaled = ((shares - profile.expected) * profile.scale).reshape(-1, parts)
    bounds = np.arange(sets) * many
    total = np.add.reduceat(scaled, bounds, axis=0)
    own = np.add.reduceat((scaled * scaled).sum(axis=1), bounds)
    return _mean_of_pairs(total, own, np.full(sets, many))


def _turned(shares: Floats, profile: Profile, draws: int, rng: np.random.Generator) -> Floats:
    """(draws,) the agreement of owners whose shares (owners, parts) are each turned round the hour by chance."""
    parts = len(profile.expected)
    total, own = np.zeros((draws, parts)), np.zeros(draws)
    for start in range(0, len(shares), _AT_ONCE):
        part = shares[start : start + _AT_ONCE]
        every = part[:, (np.arange(parts) - np.arange(parts)[:, None]) % parts]
        scaled = (every - profile.expected) * profile.scale
        turns = rng.integers(parts, size=(draws, len(part)))
        taken = scaled[np.arange(len(part)), turns]
        total += taken.sum(axis=1)
        own += np.einsum("dnp,dnp->d", taken, taken)
    return _mean_of_pairs(total, own, np.full(draws, len(shares)))


def _mean_of_pairs(total: Floats, own: Floats, many: Ints) -> Floats:
    """(rows,) of vectors with this sum (rows, parts) and sum of squared lengths, the mean product of two a part."""
    return np.asarray(((total * total).sum(axis=1) - own) / (np.maximum(many * (many - 1), 1) * total.shape[1]))


def same_instants(candidate: Candidate, setting: Setting, controls: DrawnRequests, shift_hours: int) -> TestResult:
    """Do different users send within the same minute more often than if each were some whole hours earlier or later,
    and more often than matched owners do?

    Whole hours keep everybody's minute of the hour, and few of them keep the time of day, so neither jobs on the hour
    nor working hours look like an appointment. Jobs at midnight do; of these matched owners have as many. The p-value
    is the larger of the two. A shift makes waking hours a little broader, so a quarter more meetings than after shifts
    is still taken for chance: among hundreds of people in one time zone a few per cent are significant.
    """
    population = setting.population
    owners, minutes = candidate.request_owner, population.request_time[candidate.requests] // MINUTE_US
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "instants", "there are fewer than two users")
    owner_row = np.searchsorted(candidate.owners, owners)
    observed = float(_coincidences(owner_row, minutes[None])[0])
    if not observed:
        return TestResult(TIME, "instants", 0.0, 0.0, 1.0, "no two users send in the same minute")
    rng = setting.rng(candidate, 4)
    shifts = rng.integers(-shift_hours, shift_hours + 1, size=(setting.draws, len(candidate.owners))) * 60
    moved = _coincidences(owner_row, minutes + shifts[:, owner_row])
    matched = _coincidences(controls.control, population.request_time[controls.requests] // MINUTE_US)
    p, drawn = max((count_tail(observed, law), float(law.mean())) for law in (moved * _BROADENED, matched))
    return TestResult(
        TIME, "instants", observed, drawn, p,
        f"two users send in the same minute {observed:.0f} times, after shifts by whole hours {moved.mean():.1f} "
        f"times, matched owners {matched.mean():.1f} times",
    )  # fmt: skip


def _coincidences(owners: Ints, minutes: Ints) -> Floats:
    """(sets,) of each set, the minutes in which owners send beyond the first one, summed; `minutes` is (sets, requests)
    and `owners` the same, or (requests,) for all sets."""
    width, low = int(owners.max()) + 1, int(minutes.min())
    largest = (int(minutes.max()) - low + 1) * width
    keys = ((minutes - low) * width + owners).astype(np.int32 if largest <= np.iinfo(np.int32).max else np.int64)
    keys.sort(axis=1)
    later = keys[:, 1:] != keys[:, :-1]  # an owner counts once a minute
    np.floor_divide(keys, width, out=keys)
    return np.asarray((later.sum(axis=1) - (keys[:, 1:] != keys[:, :-1]).sum(axis=1)).astype(float))
