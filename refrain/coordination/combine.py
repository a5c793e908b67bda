"""From tests to families, from families to one p-value, from candidates to a false discovery rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SMALLEST = 1e-15  # below, the tangent loses its digits; evidence beyond it changes no decision
# Above, a p-value counts as this: near 1 the tangent drowns all others, and tests of counts are 1 as a rule. It makes
# the combination of independent p-values a twentieth too small at most from 5% down, less than dependence does.
LARGEST = 0.9


def cauchy_combination(p_values: Sequence[float]) -> float:
    """One p-value of several that may depend on one another (Liu and Xie, "Cauchy combination test", JASA 2020)."""
    return float(cauchy_rows(np.asarray([list(p_values)], float))[0])


def cauchy_rows(p_values: Floats) -> Floats:
    """(n,) the same of each row of (n, tests) p-values, of those that are not NaN; NaN where all are."""
    clipped = np.clip(p_values, SMALLEST, LARGEST)
    absent = np.isnan(p_values)
    many = p_values.shape[1] - absent.sum(axis=1)
    heights = np.where(absent, 0.0, np.tan((0.5 - np.where(absent, 0.5, clipped)) * np.pi))
    mean = heights.sum(axis=1) / np.maximum(many, 1)
    # For large values 1/2 - arctan(x)/pi cancels; 1/(pi x) is its limit.
    far = mean > 1 / np.sqrt(SMALLEST)
    p = np.where(far, 1 / (np.pi * np.where(far, mean, 1.0)), 0.5 - np.arctan(mean) / np.pi)
    alone = np.where(absent, 0.0, clipped).sum(axis=1)
    p = np.where(many == 1, alone, np.clip(p, SMALLEST, 1))
    return np.where(many == 0, np.nan, p)


def partial_conjunction(p_values: Sequence[float], families: int) -> float:
    """P-value that at least `families` of the nulls are false: Simes' form (Benjamini and Heller, Biometrics 2008).

    1 where fewer than `families` p-values are given.
    """
    return float(partial_conjunction_rows(np.asarray([list(p_values)], float), families)[0])


def partial_conjunction_rows(p_values: Floats, families: int) -> Floats:
    """(n,) the same of each row of (n, nulls) p-values, of those that are not NaN."""
    ordered = np.sort(p_values, axis=1)  # NaN last
    many = (~np.isnan(p_values)).sum(axis=1)
    out = np.ones(len(p_values))
    for column in range(families - 1, p_values.shape[1]):
        step = (many - families + 1) / (column - families + 2) * ordered[:, column]
        out = np.where(column < many, np.minimum(out, step), out)
    return out


def adaptive_q_values(filters: Floats, selections: Floats) -> Floats:
    """(n,) the false discovery rate at which each candidate is selected (AdaFilter: Wang, Gui, Su, Sabatti and Owen,
    "Detecting multiple replicating signals using adaptive filtering procedures", Annals of Statistics 2022).

    `selections` are partial conjunction p-values, `filters` the same for one family less, so never larger. Only
    candidates that pass a threshold by `filters` count as tested at it: a text with no signal of any kind costs the
    others nothing.
    """
    order = np.argsort(selections, kind="stable")
    thresholds = selections[order]
    tested = np.searchsorted(np.sort(filters), thresholds, side="right")
    found = np.searchsorted(thresholds, thresholds, side="right")
    rates = np.minimum(thresholds * tested / found, 1)
    out = np.empty(len(order))
    out[order] = np.minimum.accumulate(rates[::-1])[::-1]
    return out


def selection_threshold(filters: Floats, selections: Floats, rate: float) -> float:
    """The largest p-value at which a candidate is selected at this false discovery rate, as `adaptive_q_values` goes.

    It lies above the p-values that were selected where these are far below it; 0 where none is.
    """
    found = int((adaptive_q_values(filters, selections) <= rate).sum())
    if not found:
        return 0.0
    ordered = np.sort(filters)
    tested = np.arange(1, len(ordered) + 1)
    # With so many tested the threshold lies from the last one's filter up to the next one's.
    below = np.append(np.nextafter(ordered[1:], 0), 1)
    highest = np.minimum(rate * found / tested, below)
    return float(highest[highest >= ordered].max(initial=0))
