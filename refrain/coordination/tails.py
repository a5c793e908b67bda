"""Tails of ranks: of their sum, and of how many of them are at the top.

A pool of six is a sum of six ranks, whose normal tail is up to a hundred times too large where it matters; the
saddlepoint approximation (Lugannani and Rice, "Saddle point approximation for the distribution of the sum of
independent random variables", Advances in Applied Probability 1980) is right to a few percent from one rank on. And
where members stand among people who tried the thing once, the mean of all hides them; how many are in the top half,
quarter, eighth does not (higher criticism: Donoho and Jin, Annals of Statistics 2004, on a grid of powers of two).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.distributions import binomial_upper, normal_density, normal_upper
from refrain.counting import Ints

Floats = NDArray[np.float64]
Cumulants = Callable[[float], tuple[float, float, float]]

SMALLEST = 1e-300
# Tops that are looked at; below a 64th, an owner of a stratum of forty counts for all.
_PARTS: Floats = 0.5 ** np.arange(1.0, 7.0)
_TILT_STEP = 1e-9  # a step of Newton's below which the tilt is found, as a share of it
_STEEPEST = 2.0**12  # tilt beyond which a sum is as good as the largest possible
_FLAT = 1e-3  # tilt below which a series is used
_NEWTON_STEPS = 6
_LAST_BITS = 1e-9  # by which a sum as large as it can be may fall short of that


def sum_tail(observed: float, cumulants: Cumulants) -> float:
    """P-value of a sum at least `observed`, of mean 0.

    `cumulants` gives the cumulant generating function of the sum and its first two derivatives at a point t >= 0.
    Near the mean, and where the sum is as large as it can be, the tail is the normal's and Chernoff's bound.
    """
    _, _, variance = cumulants(0.0)
    if variance <= 0:
        return 1.0
    plain = float(normal_upper(observed / np.sqrt(variance)))
    if observed <= np.sqrt(variance) / 2:
        return plain
    steep = 1.0
    while cumulants(steep)[1] < observed * (1 + _LAST_BITS):
        steep *= 2
        if steep > _STEEPEST:
            return float(np.exp(min(0.0, cumulants(steep)[0] - steep * observed)))
    tilt, value, curvature = _tilt(observed, cumulants, observed / variance, steep)
    if curvature <= 0:
        return float(np.exp(min(0.0, value - tilt * observed)))
    w, u = np.sqrt(2 * max(tilt * observed - value, 0.0)), tilt * np.sqrt(curvature)
    p = normal_upper(w) + normal_density(w) * (1 / u - 1 / w)
    return float(np.clip(p, SMALLEST, 1))


def uniform_sum_tail(observed: Floats, many: Ints) -> Floats:
    """(n,) p-values of sums at least `observed` (n,) of so many (n,) independent uniforms on (-1/2, 1/2).

    As `sum_tail` has it, all at once: the slope equation is that of one uniform at the mean observed.
    """
    deviation = np.sqrt(many / 12)
    some = many > 0
    plain = np.where(some, normal_upper(np.divide(observed, deviation, out=np.zeros(len(many)), where=some)), 1.0)
    far = np.flatnonzero(some & (observed > deviation / 2))
    out, observed, many = plain, observed[far], many[far]
    mean = observed / many
    _, steepest, _ = uniform_cumulants(np.array([_STEEPEST]))
    inside = mean * (1 + _LAST_BITS) <= steepest
    tilt = np.where(inside, _uniform_tilt(np.where(inside, mean, 0.25)), 2 * _STEEPEST)
    value, _, curvature = uniform_cumulants(tilt)
    value, curvature = many * value, many * curvature
    chernoff = np.exp(np.minimum(0.0, value - tilt * observed))
    w, u = np.sqrt(2 * np.maximum(tilt * observed - value, 0.0)), tilt * np.sqrt(curvature)
    p = normal_upper(w) + normal_density(w) * (1 / u - 1 / w)
    out[far] = np.where(inside, np.clip(p, SMALLEST, 1), chernoff)
    return out


def _uniform_tilt(mean: Floats) -> Floats:
    """(n,) the tilts at which a uniform on (-1/2, 1/2) has these means in (0, 1/2)."""
    y = 2 * mean
    # Right to a twentieth (Cohen, "A Pade approximant to the inverse Langevin function", Rheologica Acta 1991), from
    # where each of Newton's steps doubles the digits.
    tilt = 2 * y * (3 - y * y) / (1 - y * y)
    for _ in range(_NEWTON_STEPS):
        _, slope, curvature = uniform_cumulants(tilt)
        tilt = tilt - (slope - mean) / curvature
    return tilt


def uniform_cumulants(t: Floats) -> tuple[Floats, Floats, Floats]:
    """The cumulant generating function of a uniform on (-1/2, 1/2) and its first two derivatives at t >= 0 (n,)."""
    small, t = t, np.maximum(t, _FLAT)
    falling = np.exp(-t)
    # log(sinh(h) / h) with h = t / 2, without an overflow.
    value = t / 2 + np.log1p(-falling) - np.log(t)
    slope = (1 + falling) / (1 - falling) / 2 - 1 / t
    curvature = 1 / (t * t) - falling / ((1 - falling) * (1 - falling))
    flat = small < _FLAT
    return (
        np.where(flat, small * small / 24, value),
        np.where(flat, small / 12, slope),
        np.where(flat, 1 / 12, curvature),
    )


@dataclass(frozen=True)
class DrawnLaw:
    """The law of one draw from scores of mean 0."""

    centred: Floats
    _made: dict[float, tuple[float, float, float]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def _atoms(self) -> tuple[Floats, Floats]:
        """The distinct scores and the share of each: many are tied, and are looked at once."""
        values, counts = np.unique(self.centred, return_counts=True)
        return values, counts / len(self.centred)

    def cumulants(self, t: float) -> tuple[float, float, float]:
        """The cumulants of a draw at `t`; those at whole numbers, with which `sum_tail` begins, are computed once."""
        if t in self._made:
            return self._made[t]
        values, shares = self._atoms
        tilted = t * values
        most = tilted[-1]  # of the largest: t is at least 0
        tilted -= most
        np.exp(tilted, out=tilted)
        tilted *= shares
        total = tilted.sum()
        tilted /= total
        first = float(tilted @ values)
        away = values - first
        away *= away
        found = float(most + np.log(total)), first, float(tilted @ away)
        if t == int(t):
            self._made[t] = found
        return found


def _tilt(observed: float, cumulants: Cumulants, start: float, steep: float) -> tuple[float, float, float]:
    """The tilt between 0 and `steep` at which a sum has this mean, with the generating function and its curvature
    there: Newton's steps, halving what lies between where one would leave it or is not half the one before (Press and
    others, "Numerical Recipes", rtsafe)."""
    low, high, tilt, before = 0.0, steep, min(start, steep / 2), steep
    while True:
        value, slope, curvature = cumulants(tilt)
        low, high = (tilt, high) if slope < observed else (low, tilt)
        newton, halving = (observed - slope) / curvature if curvature > 0 else steep, (low + high) / 2 - tilt
        if min(abs(newton), abs(halving)) <= _TILT_STEP * tilt:
            return tilt, value, curvature
        step = newton if abs(newton) <= before / 2 and low < tilt + newton < high else halving
        tilt, before = tilt + step, abs(step)


def drawn_cumulants(pools: Sequence[tuple[DrawnLaw, int]], t: float) -> tuple[float, float, float]:
    """The cumulants at `t` of the sum of draws, so many from each pool.

    Draws are with replacement, which has the wider law (Hoeffding, "Probability inequalities for sums of bounded random
    variables", Journal of the American Statistical Association 1963).
    """
    value = slope = curvature = 0.0
    for law, many in pools:
        log_mean, first, second = law.cumulants(t)
        value += many * log_mean
        slope += many * first
        curvature += many * second
    return value, slope, curvature


def biased(chances: Floats, bias: float) -> Floats:
    """Chances whose odds are larger by the factor `bias`."""
    return np.asarray(bias * chances / (1 + (bias - 1) * chances))


def biased_uniform_mean(bias: float) -> float:
    """The largest mean of a uniform on (-1/2, 1/2) of which some part is so many times as likely as the rest."""
    return float((np.sqrt(bias) - 1) / (np.sqrt(bias) + 1) / 2)


def top_tail(shares: Floats, group: Ints, many: int, bias: float = 1.0) -> Floats:
    """(many,) p-values of so many at the top in each group, `shares` (n,) being each one's upper share: of its
    controls, those at least as high. The smallest binomial tail over the tops, times their number, where the users'
    odds of being there may be `bias` times those of controls."""
    sizes = np.bincount(group, minlength=many)
    found = np.stack([np.bincount(group[shares <= part], minlength=many) for part in _PARTS], axis=1)
    smallest = binomial_upper(found, sizes[:, None], biased(_PARTS, bias)).min(axis=1)
    return np.asarray(np.minimum(1.0, len(_PARTS) * smallest))
