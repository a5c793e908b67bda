"""Adoption: owners who were active before and take a template up from one day on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.results import TIME, Candidates, Setting, TestResult, TestResults, all_off, switched_off
from refrain.counting import Ints, ranges
from refrain.population import Population

Floats = NDArray[np.float64]
_CELLS = 1 << 20  # users times days at a time: bounds the memory
_LAWS = 1 << 15  # numbers of all laws computed together: they stay in a core's cache
_PADDED = 4  # the part of its trials that may be added to a law, to compute it with larger ones
_LAST_BITS = 1e-9  # by which a sum of chances may be too large


def adopted_together(candidates: Candidates, setting: Setting) -> TestResults:
    """Did owners who were active before take it up from one day on, and none before?

    The null is that an owner's use as it is, gaps and all, could as well lie earlier or later in the owner's own
    traffic, on any of its active days that leave room, or at any of its requests (that one for owners who send most on
    a few days); the likelier of the two counts. So neither a use for a few days in a row nor one that is spread looks
    like adoption. The number of owners whose use begins on day d or later is compared with the sum of these chances
    for the best d, corrected for the number of days tried.
    """
    last, count = int(setting.population.days.max(initial=0)), len(candidates)
    if last < 1:
        return all_off(TIME, "adoption", "the log covers one day only", count)
    rooms = _room(candidates, setting.population)
    best = _Best(*(np.full(count, start) for start in (np.inf, 0, 0.0, 0, 0)))
    together = max(1, _CELLS // max(len(candidates.owners), 1))
    for day in range(1, last + 1, together):
        best.improve(_by_day(candidates, rooms, np.arange(day, min(day + together, last + 1)), last))
    p = np.where(best.able > 0, np.minimum(1.0, best.p * last), np.nan)

    def read(place: int) -> TestResult:
        if not best.able[place]:
            return switched_off(TIME, "adoption", "no user could have used it earlier or later")
        adopted, expected = int(best.adopted[place]), float(best.expected[place])
        return TestResult(
            TIME, "adoption", float(adopted), expected, float(p[place]),
            f"{adopted} of {best.able[place]} users active before day {best.day[place] + 1} of the log began on it or "
            f"later, expected {expected:.1f}",
        )  # fmt: skip

    return TestResults(TIME, "adoption", p, read)


@dataclass(frozen=True)
class _Best:
    """(candidates,) the smallest p-value so far, infinite where there is none: how many adopted, how many were expected
    to, on which day, and how many were able to."""

    p: Floats
    adopted: Ints
    expected: Floats
    day: Ints
    able: Ints

    def improve(self, other: _Best) -> None:
        """Take what is better in another."""
        better = other.p < self.p
        for own, its in (
            (self.p, other.p), (self.adopted, other.adopted), (self.expected, other.expected), (self.day, other.day),
            (self.able, other.able),
        ):  # fmt: skip
            own[better] = its[better]


def _by_day(candidates: Candidates, rooms: tuple[_Room, _Room], days: Ints, tried: int) -> _Best:
    """The best of some days, of the number that are tried."""
    count, width = len(candidates), len(days)
    chances = np.maximum(*(room.chance_from(days) for room in rooms))
    user, column = np.nonzero((chances > 0) & (chances < 1))
    chance = chances[user, column]
    cell = candidates.group[user] * width + column
    able: Ints = np.bincount(cell, minlength=count * width)
    expected = np.asarray(np.bincount(cell, chance, count * width), float)
    began = rooms[0].first_day[user] >= days[column]
    adopted: Ints = np.bincount(cell[began], minlength=count * width)
    # A median of the law lies within the whole numbers next to its mean (Jogdeo and Samuels, "Monotone convergence of
    # binomial probabilities and a generalization of Ramanujan's equation", 1968): up to the mean a tail is at least a
    # half, and with two days tried or more, it comes to 1.
    telling = (able > 0) & ((adopted > expected - _LAST_BITS) | (tried == 1))
    kept = np.flatnonzero(telling[cell])
    order = kept[np.argsort(cell[kept], kind="stable")]
    p = np.where(able > 0, 1.0, np.inf)
    p[telling] = poisson_binomial_tails(chance[order], able[telling], adopted[telling])
    first = np.arange(count) * width + p.reshape(count, width).argmin(axis=1)
    return _Best(p[first], adopted[first], expected[first], days[first % width], able[first])


@dataclass(frozen=True)
class _Room:
    """Where each user's use could have begun: `before` (users, days + 1) are its units of traffic (days or requests)
    before each day, `places` the number of units at which a use of this length can begin."""

    first_day: Ints
    before: NDArray[np.int32]
    places: Ints

    def chance_from(self, days: Ints) -> Floats:
        """(users, days) the chance of beginning on each day or later."""
        places = self.places[:, None]
        return np.asarray(np.maximum(places - self.before[:, days], 0) / places)


def _room(candidates: Candidates, population: Population) -> tuple[_Room, _Room]:
    """The users' room by active days and by requests."""
    days, owners = population.days, candidates.owners
    day, sent, bounds = population.active_days
    many = bounds[owners + 1] - bounds[owners]
    pairs = np.repeat(bounds[owners], many) + ranges(many)
    place = np.repeat(np.arange(len(owners)), many), day[pairs] + 1
    active, requests = (np.zeros((len(owners), int(days.max()) + 2), np.int32) for _ in range(2))
    active[place], requests[place] = 1, sent[pairs]
    for units in (active, requests):
        np.cumsum(units, axis=1, out=units)
    first, last = candidates.requests[candidates.starts[:-1]], candidates.requests[candidates.starts[1:] - 1]
    rows = np.arange(len(owners))
    span_days = active[rows, days[last]] - active[rows, days[first]]
    span_requests = population.position[last] - population.position[first]
    return (
        _Room(days[first], active, active[:, -1] - span_days),
        _Room(days[first], requests, requests[:, -1] - span_requests),
    )


def poisson_binomial_tails(chances: Floats, sizes: Ints, at_least: Ints) -> Floats:
    """(n,) P(at least so many successes) of n times so many independent trials; exact, by convolution.

    The trials' chances stand run by run. Whichever runs are computed together changes no bit.
    """
    starts, out = np.cumsum(sizes) - sizes, np.where(at_least > sizes, 0.0, 1.0)
    # Laws are followed below the number wanted, or, where it is large, up to the failures that leave as many.
    mirrored = 2 * at_least > sizes
    for of_failures in (False, True):
        order = np.flatnonzero((mirrored == of_failures) & (at_least > 0) & (at_least <= sizes))
        for runs in _alike(order[np.argsort(sizes[order], kind="stable")], sizes):
            many = sizes[runs]
            place, column = ranges(many), np.repeat(np.arange(len(runs)), many)
            successes = chances[np.repeat(starts[runs], many) + place]
            # A trial that cannot move anything changes nothing.
            moves, stays = np.zeros((int(many[-1]), len(runs))), np.ones((int(many[-1]), len(runs)))
            moves[place, column] = 1 - successes if of_failures else successes
            stays[place, column] = successes if of_failures else 1 - successes
            wanted = at_least[runs]
            out[runs] = (
                _followed(moves, stays, many - wanted + 1)[1] if of_failures else _followed(moves, stays, wanted)[0]
            )
    return np.asarray(np.minimum(1.0, out))


def _alike(order: Ints, sizes: Ints) -> Iterator[Ints]:
    """The runs in portions of about the same size, which is ascending in this order: few trials are added to any."""
    start, ordered = 0, sizes[order]
    while start < len(order):
        largest = ordered[start] + ordered[start] // _PADDED
        stop = min(int(np.searchsorted(ordered, largest, "right")), start + max(1, _LAWS // (int(largest) + 1)))
        yield order[start:stop]
        start = stop


def _followed(moves: Floats, stays: Floats, wanted: Ints) -> tuple[Floats, Floats]:
    """(n,) the chances of as many moves as wanted, and of fewer, in n times so many trials (trials, n)."""
    width, count = int(wanted.max()), len(wanted)
    law, moved = np.zeros((width, count)), np.zeros((width, count))
    law[0], reached, columns = 1.0, np.zeros(count), np.arange(count)
    for trials, (move, stay) in enumerate(zip(moves, stays, strict=True), 1):
        states = min(trials, width)
        np.multiply(law[:states], move, out=moved[:states])
        reached += moved[wanted - 1, columns]
        law[:states] *= stay
        above = law[1 : states + 1]
        above += moved[: len(above)]
    left = np.zeros(count)
    for state in range(width):
        left += np.where(state < wanted, law[state], 0.0)
    return reached, left
