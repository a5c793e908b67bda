"""Adoption: owners who were active before and take a template up from one day on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints
from refrain.population import Population

Floats = NDArray[np.float64]


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
    best = (np.inf, 0, 0.0, 0, 0)
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
    row = np.repeat(np.arange(len(candidate.owners)), population.activity[candidate.owners])
    cells = row * width + days[population.requests_of_all(candidate.owners)]
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
    law, moved = np.zeros(len(chances) + 1), np.zeros(len(chances) + 1)
    law[0] = 1.0
    for trials, chance in enumerate(chances.tolist(), 1):
        np.multiply(law[:trials], chance, out=moved[1 : trials + 1])
        np.multiply(law[: trials + 1], 1 - chance, out=law[: trials + 1])
        law[1 : trials + 1] += moved[1 : trials + 1]
    return float(min(1.0, law[at_least:].sum()))
