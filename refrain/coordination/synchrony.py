"""Synchrony: users on one another's minutes of the hour, and at one another's instants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import count_tail, skewed_tail
from refrain.coordination.drawn_requests import AT_ONCE, DrawnRequests
from refrain.coordination.lots import below, words
from refrain.coordination.results import TIME, Candidates, Setting, TestResult, TestResults, switched_off
from refrain.counting import Ints, portions
from refrain.population import MINUTE_US, Population

Floats = NDArray[np.float64]
HOUR_US = 60 * MINUTE_US
_BROADENED = 1.25  # meetings before shifts for each one after them, at most, of people with the same waking hours
_CACHED = 1 << 16  # requests counted together: few enough for a core's cache; speed, no result
_SHIFTS, _TURNS = 4, 5  # purposes of lots


@dataclass(frozen=True)
class Minutes:
    """The part of the hour of each request, `bins` (requests,) and, as the population lists them, `by_owner`; and of
    all `owners` together the sum of their shares of the parts, `total` (parts,)."""

    bins: Ints
    by_owner: NDArray[np.unsignedinteger]  # narrow, as it is looked up at random
    total: Floats
    owners: int

    @property
    def profile(self) -> Floats:
        """(parts,) what share of each part an owner is expected to have; every owner weighs the same."""
        return np.asarray((self.total + 1 / len(self.total)) / (self.owners + 1))

    def without(self, population: Population, candidates: Candidates) -> Floats:
        """(candidates, parts) the profile of all owners who are no users of each candidate."""
        parts, owners, bounds = len(self.total), candidates.owners, candidates.bounds
        many = population.activity[owners]
        sent = np.diff(np.concatenate([[0], np.cumsum(many)])[bounds])
        own = np.empty((len(candidates), parts))
        for part in portions(sent, _CACHED):
            users = slice(bounds[part.start], bounds[part.stop])
            cells = np.repeat((candidates.group[users] - part.start) * parts, many[users])
            cells += np.take(self.by_owner, population.places_of_all(owners[users]))
            weights = np.repeat(1 / many[users], many[users])
            own[part] = np.bincount(cells, weights, len(own[part]) * parts).reshape(-1, parts)
        left = self.owners - candidates.sizes[:, None]
        return np.asarray((np.maximum(self.total - own, 0) + 1 / parts) / (left + 1))


def minutes_of(population: Population, parts: int) -> Minutes:
    """The minutes of a population by so many parts of the hour."""
    bins = (population.request_time % HOUR_US) * parts // HOUR_US
    weights = 1 / population.activity[population.request_owner]
    by_owner = bins.astype(np.min_scalar_type(parts))[population.by_owner]
    return Minutes(bins, by_owner, np.asarray(np.bincount(bins, weights, parts), float), population.owners)


@dataclass(frozen=True)
class Profile:
    """The share of each part of the hour that an owner is expected to have, `expected` (candidates, parts), and what a
    deviation from it counts, `scale` of the same shape.

    A deviation counts by its standard deviation (chi-square), and the less the more of everybody's requests the part
    has beyond the median part: to start on the hour, as most jobs do, is no agreement.
    """

    expected: Floats
    scale: Floats

    @property
    def parts(self) -> int:
        """Of the hour."""
        return int(self.expected.shape[1])

    @classmethod
    def of(cls, expected: Floats) -> Profile:
        """The profile of expected shares, none of them 0."""
        middle = np.median(expected, axis=1, keepdims=True)
        return cls(expected, np.minimum(1, middle / expected) / np.sqrt(expected))


def same_minutes(candidates: Candidates, setting: Setting, controls: DrawnRequests, minutes: Minutes) -> TestResults:
    """Do different users prefer the same minutes of the hour, beyond the minutes that everybody prefers?

    Compared with each user's own minutes turned round the hour by chance, so that neither a burst nor the even minutes
    of people (unlike a population with jobs in it) look like agreement; and with matched owners. The p-value is the
    larger of the two.
    """
    parts = len(minutes.total)
    profile = Profile.of(minutes.without(setting.population, candidates))
    own = _Shares.of(candidates, minutes.bins[candidates.requests][None], parts)
    observed = _agreement(own, candidates, profile)[:, 0]
    turned = _turned(own, candidates, profile, setting)
    drawn = np.concatenate(
        [
            _agreement(_Shares.of(candidates, np.take(minutes.by_owner, places), parts), candidates, profile)
            for places in controls.some()
        ],
        axis=1,
    )
    laws = turned, drawn
    tails = np.stack([skewed_tail(observed, law) for law in laws])
    p_values = np.where(candidates.sizes > 1, tails.max(axis=0), np.nan)

    def read(place: int) -> TestResult:
        if candidates.sizes[place] <= 1:
            return switched_off(TIME, "minutes", "there are fewer than two users")
        means = [float(law[place].mean()) for law in laws]
        return TestResult(
            TIME, "minutes", float(observed[place]), means[int(tails[:, place].argmax())], float(p_values[place]),
            f"users agree on minutes of the hour by {observed[place]:.3f}, turned round the hour by {means[0]:.3f}, "
            f"matched owners by {means[1]:.3f} (0 is by chance)",
        )  # fmt: skip

    return TestResults(TIME, "minutes", p_values, read)


@dataclass(frozen=True)
class _Shares:
    """The shares of the parts of the hour that users of `sets` sets have, where they are not 0: the set, the user (by
    its place among all users), the part, and the share of the user's requests."""

    sets: int
    row: Ints
    user: Ints
    part: Ints
    share: Floats

    @classmethod
    def of(cls, candidates: Candidates, bins: NDArray[np.integer], parts: int) -> _Shares:
        """Those of requests in these parts (sets, uses)."""
        keys: NDArray[Any] = bins.astype(_narrowest(len(candidates.owners) * parts))
        keys += (candidates.user * parts).astype(keys.dtype)
        keys.sort(axis=1)
        starts = np.flatnonzero(_changes(keys))
        many = np.diff(starts, append=keys.size)
        found = keys.ravel()[starts]
        user = found // parts
        return cls(
            len(bins), starts // max(keys.shape[1], 1), user, found - user * parts, many / candidates.counts[user]
        )


def _narrowest(count: int) -> type[np.int32] | type[np.int64]:
    """The type that numbers below a count are sorted as: the half as wide ones in half the time."""
    return np.int32 if count <= np.iinfo(np.int32).max else np.int64


def _agreement(shares: _Shares, candidates: Candidates, profile: Profile) -> Floats:
    """(candidates, sets) the mean over pairs of users of the scaled product of their deviations from the profile."""
    cells = (candidates.group[shares.user] * shares.sets + shares.row) * profile.parts + shares.part
    return _agreed(cells, shares.share, shares.sets, candidates, profile)


def _agreed(cells: Ints, share: Floats, sets: int, candidates: Candidates, profile: Profile) -> Floats:
    """The same of shares that stand in these cells of candidates, sets and parts."""
    shape = len(candidates), sets, profile.parts
    size, expected = candidates.sizes[:, None, None], profile.expected[:, None, :]
    weights, many = (share, share * share), len(candidates) * sets * profile.parts
    total, own = (np.asarray(np.bincount(cells, part, many), float).reshape(shape) for part in weights)
    # The product of the sums, less everybody's with itself: of all users the same parts are expected.
    together = total - size * expected
    together *= together
    total *= 2 * expected
    own -= total
    own += size * expected * expected
    together -= own
    together *= np.square(profile.scale)[:, None, :]
    return np.asarray(together.sum(axis=2) / (np.maximum(size[:, :, 0] * (size[:, :, 0] - 1), 1) * profile.parts))


def _turned(own: _Shares, candidates: Candidates, profile: Profile, setting: Setting) -> Floats:
    """(candidates, draws) the agreement of users whose shares are each turned round the hour by chance."""
    parts, many = profile.parts, len(own.user)
    size, place, keys = candidates.sizes[candidates.group], candidates.place, candidates.keys[candidates.group]
    group = candidates.group[own.user]
    out, step = [], max(1, AT_ONCE // max(many, 1))
    for begin in range(0, setting.draws, step):
        draws = np.arange(begin, min(begin + step, setting.draws))[:, None]
        turns = below(words(keys, setting.seed, _TURNS, draws * size + place), np.array(parts))
        cells = np.take(turns, own.user, axis=1)
        cells += own.part
        cells -= parts * (cells >= parts)
        cells += (group * len(draws) + draws - begin) * parts
        share = np.broadcast_to(own.share, cells.shape).ravel()
        out.append(_agreed(cells.ravel(), share, len(draws), candidates, profile))
    return np.concatenate(out, axis=1)


def same_instants(candidates: Candidates, setting: Setting, controls: DrawnRequests, shift_hours: int) -> TestResults:
    """Do different users send within the same minute more often than if each were some whole hours earlier or later,
    and more often than matched owners do?

    Whole hours keep everybody's minute of the hour, and few of them keep the time of day, so neither jobs on the hour
    nor working hours look like an appointment. Jobs at midnight do; of these matched owners have as many. The p-value
    is the larger of the two. A shift makes waking hours a little broader, so a quarter more meetings than after shifts
    is still taken for chance: among hundreds of people in one time zone a few per cent are significant.
    """
    population = setting.population
    observed = _coincidences(candidates, population.minute[candidates.requests][None])[:, 0]
    p_values = np.where(candidates.sizes > 1, 1.0, np.nan)
    meeting = np.flatnonzero(observed > 0)
    some = candidates.only(meeting)
    moved = _shifted(some, setting, shift_hours)
    drawn = controls.only(meeting).some()
    matched = np.concatenate(
        [_coincidences(some, np.take(population.minute_by_owner, places)) for places in drawn], axis=1
    )
    tails = [count_tail(observed[meeting], law) for law in (moved * _BROADENED, matched)]
    p_values[meeting] = np.maximum(*tails)

    def read(place: int) -> TestResult:
        if candidates.sizes[place] <= 1:
            return switched_off(TIME, "instants", "there are fewer than two users")
        if not observed[place]:
            return TestResult(TIME, "instants", 0.0, 0.0, 1.0, "no two users send in the same minute")
        at = int(np.searchsorted(meeting, place))
        shifted, others = float(moved[at].mean()), float(matched[at].mean())
        expected = others if tails[1][at] >= tails[0][at] else shifted * _BROADENED
        return TestResult(
            TIME, "instants", float(observed[place]), expected, float(p_values[place]),
            f"two users send in the same minute {observed[place]:.0f} times, after shifts by whole hours {shifted:.1f} "
            f"times, matched owners {others:.1f} times",
        )  # fmt: skip

    return TestResults(TIME, "instants", p_values, read)


def _shifted(candidates: Candidates, setting: Setting, shift_hours: int) -> Floats:
    """(candidates, draws) the coincidences after each user is moved by some whole hours by chance."""
    minutes = setting.population.minute[candidates.requests]
    size, keys = candidates.sizes[candidates.group], candidates.keys[candidates.group]
    out, step = [], max(1, AT_ONCE // max(len(minutes), 1))
    for begin in range(0, setting.draws, step):
        draws = np.arange(begin, min(begin + step, setting.draws))[:, None]
        lots = words(keys, setting.seed, _SHIFTS, draws * size + candidates.place)
        shifts = ((below(lots, np.array(2 * shift_hours + 1)) - shift_hours) * 60).astype(np.int32)
        out.append(_coincidences(candidates, minutes + np.take(shifts, candidates.user, axis=1)))
    return np.concatenate(out, axis=1)


def _coincidences(candidates: Candidates, minutes: NDArray[np.integer]) -> Floats:
    """(candidates, sets) of each set, the minutes in which users send beyond the first one, summed; `minutes` is
    (sets, uses)."""
    count, (sets, uses) = len(candidates), minutes.shape
    if not count:
        return np.zeros((0, sets))
    bits = (int(candidates.sizes.max()) - 1).bit_length()
    low = int(minutes.min())
    length = int(minutes.max()) - low + 1
    # The user stands last: a minute's users are next to one another.
    keys = np.subtract(minutes, low, dtype=_narrowest((count * length) << bits), casting="unsafe")
    keys <<= bits
    base = ((candidates.group * length) << bits) + candidates.place
    keys += base.astype(keys.dtype)[candidates.user]
    keys.sort(axis=1)  # inside a candidate's run: its requests come before the next one's
    # Beyond the first one: another user, and the same minute.
    differ = keys[:, 1:] ^ keys[:, :-1]
    differ -= 1
    at = np.flatnonzero(differ.view(f"u{keys.itemsize}") < (1 << bits) - 1)
    row, column = np.divmod(at, max(uses - 1, 1))
    cell = candidates.group[candidates.user[column + 1]] * sets + row
    return np.asarray(np.bincount(cell, minlength=count * sets).reshape(count, sets), float)


def _changes(ordered: NDArray[np.signedinteger]) -> NDArray[np.bool_]:
    """Where a value stands for the first time in each row."""
    out = np.ones(ordered.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=out[:, 1:])
    return out
