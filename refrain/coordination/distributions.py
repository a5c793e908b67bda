"""Upper tails of the distributions that tests compare with, each P(X >= x), elementwise.

scipy.stats has them all and checks every argument anew; these are its special functions directly (Abramowitz and
Stegun, "Handbook of Mathematical Functions", 26.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
_NO_SKEW = 1.6e-5  # below, Pearson's type III is the normal to the last bits


def median(values: Floats) -> float:
    """The middle of some numbers, at least one, none of them NaN; of an even number the mean of the two middle ones.

    numpy's own looks after NaN and axes, at ten times the time for a few numbers."""
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def normal_upper(x: Floats) -> Floats:
    """Of standard normal variables."""
    return np.asarray(special.ndtr(-x))


def normal_density(x: Floats) -> Floats:
    """The standard normal density at x."""
    return np.asarray(np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def binomial_upper(counts: Numbers, trials: Numbers | int, shares: Floats) -> Floats:
    """Of binomial counts; counts are at most `trials`."""
    least = np.maximum(counts, 1)
    return np.where(counts <= 0, 1.0, special.betainc(least, np.maximum(trials - least + 1.0, 1.0), shares))


def hypergeometric_upper(count: int, drawn: int, marked: int, total: int) -> float:
    """Of the marked ones among `drawn` of `total`, of which so many are marked (Fisher's exact test, one-sided)."""
    seen = np.arange(max(count, drawn + marked - total), min(drawn, marked) + 1)
    ways = [_log_choose(marked, seen), _log_choose(total - marked, drawn - seen), -_log_choose(total, np.array(drawn))]
    return float(min(np.exp(np.sum(np.broadcast_arrays(*ways), axis=0)).sum(), 1.0))


def _log_choose(total: int, chosen: Numbers) -> Floats:
    return np.asarray(special.gammaln(total + 1) - special.gammaln(chosen + 1) - special.gammaln(total - chosen + 1))


def poisson_upper(counts: Floats, mean: Floats) -> Floats:
    """Of Poisson counts."""
    whole = np.floor(counts)
    return np.where(whole > 0, special.gammainc(np.maximum(whole, 1), mean), 1.0)


def negative_binomial_upper(counts: Floats, size: Floats, mean: Floats) -> Floats:
    """Of negative binomial counts with this mean, of variance mean + mean ** 2 / size."""
    whole = np.floor(counts)
    return np.where(whole > 0, special.betainc(np.maximum(whole, 1), size, mean / (size + mean)), 1.0)


def pearson_upper(x: Floats, skew: Floats) -> Floats:
    """Of Pearson type III variables of mean 0 and variance 1, with a skewness of at least 0."""
    beta = 2 / np.maximum(skew, _NO_SKEW)
    skewed = special.gammaincc(beta * beta, np.maximum(beta * (x + beta), 0.0))
    return np.where(skew < _NO_SKEW, normal_upper(x), skewed)
