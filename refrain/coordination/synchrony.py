"""Synchrony: users on one another's minutes of the hour, and at one another's instants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import count_tail, skewed_tail
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints, ranges
from refrain.population import MICROSECONDS, Population

Floats = NDArray[np.float64]
MINUTE_US = 60 * MICROSECONDS
HOUR_US = 60 * MINUTE_US


@dataclass(frozen=True)
class DrawnRequests:
    """Requests of control sets: the number of sets, and aligned the request rows and the set of each."""

    sets: int
    requests: Ints
    place: Ints


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
    return DrawnRequests(len(sets), rows, np.repeat(np.arange(len(owners)) // max(sets.shape[1], 1), many))


@dataclass(frozen=True)
class Minutes:
    """The part of the hour of each request, `bins` (requests,), and what share of each part an owner is expected to
    have, `profile` (parts,)."""

    bins: Ints
    profile: Floats


def same_minutes(candidate: Candidate, setting: Setting, controls: DrawnRequests, minutes: Minutes) -> TestResult:
    """Do different users prefer the same minutes of the hour, beyond the minutes that everybody prefers?"""
    population = setting.population
    if len(candidate.owners) <= 1:
        return switched_off(TIME, "minutes", "there are fewer than two users")
    bins, profile = minutes.bins, minutes.profile
    observed = float(
        _agreement(np.zeros_like(candidate.requests), candidate.request_owner, bins[candidate.requests], profile)[0]
    )
    taken = controls.requests
    drawn = _agreement(controls.place, population.request_owner[taken], bins[taken], profile)
    return TestResult(
        TIME, "minutes", observed, float(drawn.mean()), skewed_tail(observed, drawn),
        f"users agree on minutes of the hour by {observed:.3f}, matched owners by {drawn.mean():.3f} (0 is by chance)",
    )  # fmt: skip


def minutes_of(population: Population, parts: int) -> Minutes:
    """The minutes of a population by so many parts of the hour; every owner weighs the same in the profile."""
    bins = (population.request_time % HOUR_US) * parts // HOUR_US
    weights = 1 / population.activity[population.request_owner]
    return Minutes(bins, (np.bincount(bins, weights, parts) + 1 / parts) / (population.owners + 1))


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
    owner_row = np.searchsorted(candidate.owners, owners)
    observed = float(_coincidences(np.zeros_like(minutes), owner_row, minutes, 1)[0])
    if not observed:
        return TestResult(TIME, "instants", 0.0, 0.0, 1.0, "no two users send in the same minute")
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
    keys = np.sort((sets * span + minutes - minutes.min()) * width + owners)
    keys = keys[np.diff(keys, prepend=-1) > 0] // width  # an owner counts once a minute
    again = np.diff(keys, prepend=-1) == 0
    return np.bincount(keys[again] // span, minlength=count).astype(float)
