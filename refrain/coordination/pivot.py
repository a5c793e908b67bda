"""Pivot: users who move their traffic to a new model further than matched owners do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import permutation_p
from refrain.coordination.results import TIME, Candidates, Setting, TestResult, TestResults, switched_off
from refrain.counting import Ints

Floats = NDArray[np.float64]


def moved_together(candidates: Candidates, setting: Setting) -> TestResults:
    """Did users who were active before a model appeared move more of their traffic to it than matched owners?

    Shares of traffic are ranked inside strata (van Elteren's test). The smallest p-value over new models, times their
    number.
    """
    of_model = np.full((len(setting.moved), len(candidates)), np.nan)
    for place, (shares, ranks) in enumerate(setting.moved):
        p = permutation_p(ranks, setting.strata, candidates.owners, candidates.group, len(candidates))
        of_model[place] = np.where(candidates.sums(~np.isnan(shares[candidates.owners])) > 0, p, np.nan)
    # A model that none of the users could have moved to says nothing.
    p_values = np.minimum(1.0, np.fmin.reduce(of_model, axis=0, initial=np.nan) * len(setting.moved))

    def read(place: int) -> TestResult:
        if np.isnan(p_values[place]):
            nothing_new = "no model is new in the log that users active before could have moved to"
            reason = nothing_new if setting.population.has_models else "the log has no model"
            return switched_off(TIME, "pivot", reason)
        shares, _ = setting.moved[int(np.nanargmin(of_model[:, place]))]
        owners = candidates.one(place).owners
        users = owners[~np.isnan(shares[owners])]
        observed, expected = float(shares[users].mean()), _expected(shares, users, setting)
        return TestResult(
            TIME, "pivot", observed, expected, float(p_values[place]),
            f"{len(users)} users active before a new model appeared sent it {observed:.0%} of their later requests, "
            f"matched owners {expected:.0%}",
        )  # fmt: skip

    return TestResults(TIME, "pivot", p_values, read)


def _expected(shares: Floats, users: Ints, setting: Setting) -> float:
    """The mean share of matched owners, each stratum weighted as among the users."""
    total = 0.0
    for stratum, many in enumerate(np.bincount(setting.strata.of_owner[users], minlength=setting.strata.count)):
        if many:
            total += many * float(np.nanmean(shares[setting.strata.members[stratum]]))
    return total / len(users)
