"""Succession of pools: one set of users falls silent, and another begins where it stopped."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.adoption import poisson_binomial_tail
from refrain.coordination.controls import Strata
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints
from refrain.population import DAY_US, MICROSECONDS

Floats = NDArray[np.float64]
_HOUR_US = 3600 * MICROSECONDS


@dataclass(frozen=True)
class SuccessionRule:
    """How near each other an end and a beginning lie, how finely moments are tried, and who can show either."""

    hours: int  # before and after the moment of succession
    step_hours: int
    min_requests: int  # of an owner: one request is an end and a beginning
    min_owners: int  # on either side


def pools_replaced(candidate: Candidate, setting: Setting, rule: SuccessionRule) -> TestResult:
    """Is there a moment just before which many users fall silent for good, and just after which many begin?

    Both numbers are compared with matched owners (Poisson binomial), and the larger p-value counts: a product that is
    young has users who begin, an event has users who stop, and only a pool that is replaced has both, of different
    users. The smallest over the moments tried, times their number. Whoever ends in the log's last hours has not ended,
    and whoever begins in its first has not begun. Compared, too, with each user's own traffic moved by whole days to
    anywhere in the log: whoever sends on few days is silent at either end more often than others.
    """
    first, last, start, end = setting.population.spans
    window, step = rule.hours * _HOUR_US, rule.step_hours * _HOUR_US
    moments = np.arange(start + window, end - window + 1, step)
    if not len(moments):
        return switched_off(TIME, "succession", f"the log covers less than {2 * rule.hours} hours")
    activity = setting.population.activity
    users = candidate.owners[activity[candidate.owners] >= rule.min_requests]
    if len(users) < 2 * rule.min_owners:
        reason = f"fewer than {2 * rule.min_owners} users have {rule.min_requests} requests"
        return switched_off(TIME, "succession", reason)

    def windows(moment: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where a last request is an end just before the moment, and where a first one is a beginning just after."""
        return (moment - window, min(moment, end - window)), (max(moment, start + window), moment + window)

    def kinds(owners: Ints | slice, moment: int) -> list[NDArray[np.bool_]]:
        """Which owners ended just before the moment, and which began just after it."""
        return [
            (t[owners] >= low) & (t[owners] < high)
            for t, (low, high) in zip((last, first), windows(moment), strict=True)
        ]

    def moved(moment: int) -> list[Floats]:
        """(users,) the chance of either for traffic that is moved by whole days."""
        own_first, own_last = first[users], last[users]
        lowest, highest = start // DAY_US - own_first // DAY_US, end // DAY_US - own_last // DAY_US
        times = zip((own_last, own_first), windows(moment), strict=True)
        return [_chance_by_days(t, window, lowest, highest) for t, window in times]

    best = (np.inf, 0, 0.0, 0)
    for moment in moments.tolist():
        fewest = min(int(kind.sum()) for kind in kinds(users, moment))
        if fewest >= rule.min_owners:
            able = activity >= rule.min_requests
            tails = [
                _tail(kind[users], rates)
                for kind, by_days in zip(kinds(slice(None), moment), moved(moment), strict=True)
                for rates in (_matched(kind, able, users, setting.strata), by_days)
            ]
            largest, mean = max(tails)
            best = min(best, (largest, fewest, mean, moment))
    p, fewest, expected, moment = best
    if not fewest:
        return TestResult(TIME, "succession", 0.0, 0.0, 1.0, "no users begin where others fall silent")
    when = np.datetime64(moment, "us").astype("datetime64[m]").item().strftime("%Y-%m-%d %H:%M")
    return TestResult(
        TIME, "succession", float(fewest), expected, min(1.0, p * len(moments)),
        f"at least {fewest} users fell silent in the {rule.hours} hours before {when} UTC and as many began in those "
        f"after it, where {expected:.1f} would do so by chance",
    )  # fmt: skip


def _matched(kind: NDArray[np.bool_], able: NDArray[np.bool_], users: Ints, strata: Strata) -> Floats:
    """(users,) the share of a kind among the able owners of each user's stratum."""
    of = strata.of_owner
    many = np.bincount(of[able], minlength=strata.count)
    return np.asarray((np.bincount(of[able & kind], minlength=strata.count) / np.maximum(many, 1))[of[users]])


def _chance_by_days(times: Ints, window: tuple[int, int], lowest: Ints, highest: Ints) -> Floats:
    """(users,) the chance that a time of each falls into the window [from, to) when it is moved by a number of days
    from `lowest` to `highest`, each as likely."""
    smallest = np.maximum(-((times - window[0]) // DAY_US), lowest)  # the division rounds up: -(x // d) of negatives
    largest = np.minimum(-((times - window[1]) // DAY_US) - 1, highest)
    return np.asarray(np.maximum(largest - smallest + 1, 0) / (highest - lowest + 1))


def _tail(kind: NDArray[np.bool_], rates: Floats) -> tuple[float, float]:
    """P-value of so many users of a kind, and how many are expected."""
    # A hypergeometric count has a lighter tail than the binomial with its mean (Hoeffding, 1963).
    return poisson_binomial_tail(rates, int(kind.sum())), float(rates.sum())
