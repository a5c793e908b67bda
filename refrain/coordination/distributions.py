"""Upper tails of the distributions that tests compare with, each P(X >= x).

scipy.stats has them all and checks every argument anew; these are its special functions directly, at a tenth of the
time for one number, which is what a test asks for (Abramowitz and Stegun, "Handbook of Mathematical Functions", 26.5).
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


def normal_upper(x: float) -> float:
    """Of a standard normal variable."""
    return float(special.ndtr(-x))


def normal_density(x: float) -> float:
    """The standard normal density at x."""
    return float(np.exp(-x * x / 2) / np.sqrt(2 * np.pi))


def binomial_upper(counts: Numbers, trials: int, shares: Floats) -> Floats:
    """Of binomial counts, elementwise; counts are at most `trials`."""
    least = np.maximum(counts, 1)
    return np.where(counts <= 0, 1.0, special.betainc(least, trials - least + 1.0, shares))


def poisson_upper(count: float, mean: float) -> float:
    """Of a Poisson count."""
    whole = np.floor(count)
    return float(special.gammainc(whole, mean)) if whole > 0 else 1.0


def negative_binomial_upper(count: float, size: float, mean: float) -> float:
    """Of a negative binomial count with this mean, of variance mean + mean ** 2 / size."""
    whole = np.floor(count)
    return float(special.betainc(whole, size, mean / (size + mean))) if whole > 0 else 1.0


def pearson_upper(x: float, skew: float) -> float:
    """Of a Pearson type III variable of mean 0 and variance 1, with a skewness of at least 0."""
    if skew < _NO_SKEW:
        return normal_upper(x)
    beta = 2 / skew
    return float(special.gammaincc(beta * beta, max(beta * (x + beta), 0.0)))
