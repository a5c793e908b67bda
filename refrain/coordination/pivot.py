"""Pivot: users who move their traffic to a new model further than matched owners do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import permutation_p
from refrain.coordination.results import TIME, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints

Floats = NDArray[np.float64]


def moved_together(candidate: Candidate, setting: Setting) -> TestResult:
    """Did users who were active before a model appeared move more of their traffic to it than matched owners?

    Shares of traffic are ranked inside strata (van Elteren's test). The smallest p-value over new models, times their
    number.
    """
    best = (np.inf, 0.0, 0.0, 0)
    for shares, ranks in setting.moved:
        users = candidate.owners[~np.isnan(shares[candidate.owners])]
        if not len(users):
            continue
        p = permutation_p(ranks, setting.strata, users)
        best = min(best, (p, float(shares[users].mean()), _expected(shares, users, setting), len(users)))
    p, observed, expected, many = best
    if not many and not setting.population.has_models:
        return switched_off(TIME, "pivot", "the log has no model")
    if not many:
        return switched_off(TIME, "pivot", "no model is new in the log that users active before could have moved to")
    return TestResult(
        TIME, "pivot", observed, expected, min(1.0, p * len(setting.moved)),
        f"{many} users active before a new model appeared sent it {observed:.0%} of their later requests, "
        f"matched owners {expected:.0%}",
    )  # fmt: skip


def _expected(shares: Floats, users: Ints, setting: Setting) -> float:
    """The mean share of matched owners, each stratum weighted as among the users; nan where that is not told."""
    if not setting.told:
        return float("nan")
    total = 0.0
    for stratum, many in enumerate(np.bincount(setting.strata.of_owner[users], minlength=setting.strata.count)):
        if many:
            total += many * float(np.nanmean(shares[setting.strata.members[stratum]]))
    return total / len(users)
