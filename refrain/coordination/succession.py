"""Succession of pools: one set of users falls silent, and another begins where it stopped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.adoption import poisson_binomial_tails
from refrain.coordination.controls import Strata
from refrain.coordination.results import TIME, Candidates, Setting, TestResult, TestResults, all_off, switched_off
from refrain.counting import Ints
from refrain.population import DAY_US, MICROSECONDS, Population

Floats = NDArray[np.float64]
_HOUR_US = 3600 * MICROSECONDS


@dataclass(frozen=True)
class SuccessionRule:
    """How near each other an end and a beginning lie, how finely moments are tried, and who can show either."""

    hours: int  # before and after the moment of succession
    step_hours: int
    min_requests: int  # of an owner: one request is an end and a beginning
    min_owners: int  # on either side


@dataclass(frozen=True)
class Handovers:
    """What the owners of a log do around each moment at which pools may be replaced; computed once."""

    population: Population
    strata: Strata
    rule: SuccessionRule

    @cached_property
    def moments(self) -> Ints:
        """(moments,) those that are tried."""
        _, _, start, end = self.population.spans
        window, step = self.rule.hours * _HOUR_US, self.rule.step_hours * _HOUR_US
        return np.arange(start + window, end - window + 1, step)

    @cached_property
    def able(self) -> NDArray[np.bool_]:
        """(owners,) who can end and begin."""
        return self.population.activity >= self.rule.min_requests

    @cached_property
    def ended(self) -> _Kind:
        """Who ended just before a moment, and not in the log's last hours."""
        _, last, _, end = self.population.spans
        window = self.rule.hours * _HOUR_US
        return self._kind(last, (-window, 0), last < end - window)

    @cached_property
    def began(self) -> _Kind:
        """Who began just after a moment, and not in the log's first hours."""
        first, _, start, _ = self.population.spans
        window = self.rule.hours * _HOUR_US
        return self._kind(first, (0, window), first >= start + window)

    def _kind(self, times: Ints, window: tuple[int, int], possible: NDArray[np.bool_]) -> _Kind:
        low = np.searchsorted(self.moments, times - window[1], "right")
        high = np.searchsorted(self.moments, times - window[0], "right")
        high = np.where(possible, high, low)
        of = self.strata.of_owner
        many = np.bincount(of[self.able], minlength=self.strata.count)
        seen = _counted(low[self.able], high[self.able], of[self.able], self.strata.count, len(self.moments))
        return _Kind(low, high, seen / np.maximum(many, 1)[:, None])

    def moved(self, users: Ints, moment: int) -> tuple[Floats, Floats]:
        """(users,) the chance of having ended, and of having begun, for traffic that is moved by whole days."""
        first, last, start, end = self.population.spans
        own_first, own_last = first[users], last[users]
        lowest, highest = start // DAY_US - own_first // DAY_US, end // DAY_US - own_last // DAY_US
        window = self.rule.hours * _HOUR_US
        before, after = (moment - window, min(moment, end - window)), (max(moment, start + window), moment + window)
        return _chance_by_days(own_last, before, lowest, highest), _chance_by_days(own_first, after, lowest, highest)


@dataclass(frozen=True)
class _Kind:
    """What owners do around moments: `low` and `high` (owners,) are the run of moments at which each does so, and
    `shares` (strata, moments) the share of the able owners of each stratum who do."""

    low: Ints
    high: Ints
    shares: Floats

    def counted(self, owners: Ints, group: Ints, groups: int) -> Ints:
        """(groups, moments) how many of the owners of each group do so; owners and groups are aligned."""
        return _counted(self.low[owners], self.high[owners], group, groups, self.shares.shape[1])


def _counted(low: Ints, high: Ints, group: Ints, groups: int, moments: int) -> Ints:
    width = moments + 1
    steps = np.bincount(group * width + low, minlength=groups * width)
    steps -= np.bincount(group * width + high, minlength=groups * width)
    counts: Ints = np.cumsum(steps.reshape(groups, width), axis=1)[:, :-1]
    return counts


def pools_replaced(candidates: Candidates, setting: Setting, handovers: Handovers) -> TestResults:
    """Is there a moment just before which many users fall silent for good, and just after which many begin?

    Both numbers are compared with matched owners (Poisson binomial), and the larger p-value counts: a product that is
    young has users who begin, an event has users who stop, and only a pool that is replaced has both, of different
    users. The smallest over the moments tried, times their number. Whoever ends in the log's last hours has not ended,
    and whoever begins in its first has not begun. Compared, too, with each user's own traffic moved by whole days to
    anywhere in the log: whoever sends on few days is silent at either end more often than others.
    """
    rule, moments, count = handovers.rule, handovers.moments, len(candidates)
    if not len(moments):
        return all_off(TIME, "succession", f"the log covers less than {2 * rule.hours} hours", count)
    able = setting.population.activity[candidates.owners] >= rule.min_requests
    owners, group = candidates.owners[able], candidates.group[able]
    tested = np.bincount(group, minlength=count) >= 2 * rule.min_owners
    ended, began = (kind.counted(owners, group, count) for kind in (handovers.ended, handovers.began))
    found = np.minimum(ended, began) >= rule.min_owners
    bounds = np.searchsorted(group, np.arange(count + 1))
    best = {
        int(place): _best_moment(
            owners[bounds[place] : bounds[place + 1]],
            np.flatnonzero(found[place]),
            ended[place],
            began[place],
            handovers,
        )
        for place in np.flatnonzero(tested & found.any(axis=1))
    }
    p_values = np.where(tested, 1.0, np.nan)
    for place, moment in best.items():
        p_values[place] = min(1.0, moment.p * len(moments))

    def read(place: int) -> TestResult:
        if not tested[place]:
            reason = f"fewer than {2 * rule.min_owners} users have {rule.min_requests} requests"
            return switched_off(TIME, "succession", reason)
        if place not in best:
            return TestResult(TIME, "succession", 0.0, 0.0, 1.0, "no users begin where others fall silent")
        own = best[place]
        when = np.datetime64(own.moment, "us").astype("datetime64[m]").item().strftime("%Y-%m-%d %H:%M")
        return TestResult(
            TIME, "succession", float(own.fewest), own.expected, float(p_values[place]),
            f"at least {own.fewest} users fell silent in the {rule.hours} hours before {when} UTC and as many began in "
            f"those after it, where {own.expected:.1f} would do so by chance",
        )  # fmt: skip

    return TestResults(TIME, "succession", p_values, read)


class _Moment(NamedTuple):
    """A moment: its p-value, the smaller number of the two, how many of the less surprising kind are expected, and
    when it is; the best compares smallest."""

    p: float
    fewest: int
    expected: float
    moment: int


def _best_moment(users: Ints, places: Ints, ended: Ints, began: Ints, handovers: Handovers) -> _Moment:
    """The best of some moments, given how many of the users ended and began at each of all."""
    stratum = handovers.strata.of_owner[users]
    kinds = ((handovers.ended, ended), (handovers.began, began))
    out = []
    for place in places.tolist():
        moment = int(handovers.moments[place])
        sides = [
            (rates, int(counts[place]))
            for (kind, counts), by_days in zip(kinds, handovers.moved(users, moment), strict=True)
            for rates in (kind.shares[stratum, place], by_days)
        ]
        tails = [(1.0, float(rates.sum())) for rates, _ in sides]
        # As in `adoption`: up to the mean a tail is at least a half, so that the moment cannot tell, and no tail is
        # worth computing.
        if len(handovers.moments) == 1 or all(many > mean for (_, many), (_, mean) in zip(sides, tails, strict=True)):
            # A hypergeometric count has a lighter tail than the binomial with its mean (Hoeffding, 1963).
            p_values = poisson_binomial_tails(
                np.concatenate([rates for rates, _ in sides]), np.full(len(sides), len(users)),
                np.array([many for _, many in sides]),
            )  # fmt: skip
            tails = [(p, mean) for p, (_, mean) in zip(p_values.tolist(), tails, strict=True)]
        largest, expected = max(tails)
        out.append(_Moment(largest, int(min(ended[place], began[place])), expected, moment))
    return min(out)


def _chance_by_days(times: Ints, window: tuple[int, int], lowest: Ints, highest: Ints) -> Floats:
    """(users,) the chance that a time of each falls into the window [from, to) when it is moved by a number of days
    from `lowest` to `highest`, each as likely."""
    smallest = np.maximum(-((times - window[0]) // DAY_US), lowest)  # the division rounds up: -(x // d) of negatives
    largest = np.minimum(-((times - window[1]) // DAY_US) - 1, highest)
    return np.asarray(np.maximum(largest - smallest + 1, 0) / (highest - lowest + 1))
