"""Places for things on a map such that similar ones lie close together, without overlap; no chance in it.

Start: the second and third eigenvector of the normalised similarity (Belkin and Niyogi, "Laplacian eigenmaps", 2003),
regularised because most graphs here fall into parts (Amini et al., 2013), plus a sunflower that parts what the
eigenvectors leave on one point. Then springs (Fruchterman and Reingold, "Graph drawing by force-directed placement",
1991) with a pull to the middle that keeps the parts on the page. Quadratic: for some hundred points.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Weight, in all, of the edges that the regularisation adds to each point.
_REGULARISATION = 0.5
# Share of the sunflower beside the eigenvectors in the start.
_SUNFLOWER = 0.5
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
# Rounds, and the share of the side that a point may move in the first one.
_ROUNDS, _FIRST_STEP = 300, 0.1
# Pull to the middle against the springs' repulsion: enough to hold single points near the rest.
_GRAVITY = 1.5
# Rounds of pushing overlapping discs apart, and the gap between them in pixels.
_PUSHES, _GAP = 200, 3.0
# Points that fill the box; fewer stand together in its middle, or their links cross an empty page.
_FULL = 36
_TINY = 1e-9


@dataclass(frozen=True)
class Box:
    """The drawing's sides and the margin that no centre enters, in pixels."""

    width: float
    height: float
    margin: float


def placed(similarity: Array, radii: Array, box: Box) -> Array:
    """The centres (n, 2) in pixels of n discs in the box, from similarities (n, n) in [0, 1].

    These are symmetric; the diagonal is not read.
    """
    n = len(similarity)
    if not n:
        return np.zeros((0, 2))
    weights = similarity.astype(np.float64, copy=True)
    np.fill_diagonal(weights, 0)
    where = _sprung(weights, _start(weights))
    low, high = where.min(axis=0), where.max(axis=0)
    around = (where - (low + high) / 2) / np.maximum(high - low, _TINY) * min(1.0, np.sqrt(n / _FULL))
    inner = np.array([box.width - 2 * box.margin, box.height - 2 * box.margin])
    return _parted(around * inner + np.array([box.width, box.height]) / 2, radii, box)


def _start(weights: Array) -> Array:
    n = len(weights)
    turn = np.arange(n) * _GOLDEN_ANGLE
    sunflower = np.sqrt((np.arange(n) + 0.5) / n)[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    if n <= 3:  # noqa: PLR2004 (two eigenvectors beside the trivial one need more)
        return np.asarray(sunflower)
    regular = weights + _REGULARISATION / n
    scale = 1 / np.sqrt(regular.sum(axis=1))
    _, vectors = np.linalg.eigh(regular * scale[:, None] * scale[None, :])
    axes = vectors[:, [-2, -3]]
    # An eigenvector has no sign of its own.
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(2)])
    axes = axes / np.maximum(np.abs(axes).max(axis=0), _TINY)
    return np.asarray((1 - _SUNFLOWER) * axes + _SUNFLOWER * sunflower)


def _sprung(weights: Array, where: Array) -> Array:
    """The positions after the springs have come to rest."""
    n = len(weights)
    length = 1 / np.sqrt(n)
    for turn in range(_ROUNDS):
        apart = where[:, None, :] - where[None, :, :]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), _TINY)
        force = length**2 / distance - weights * distance**2 / length
        np.fill_diagonal(force, 0)
        push = (apart / distance[:, :, None] * force[:, :, None]).sum(axis=1) - _GRAVITY * length * where
        size = np.maximum(np.sqrt((push**2).sum(axis=1, keepdims=True)), _TINY)
        step = _FIRST_STEP * (1 - turn / _ROUNDS)
        where = where + push / size * np.minimum(size, step)
    return where


def _parted(where: Array, radii: Array, box: Box) -> Array:
    """The centres moved until no two discs overlap, as far as the box has room."""
    low = np.full(2, box.margin)
    high = np.array([box.width - box.margin, box.height - box.margin])
    least = radii[:, None] + radii[None, :] + _GAP
    np.fill_diagonal(least, 0)
    # Discs on one point have no direction to part in: the sunflower gives each its own.
    turn = np.arange(len(where)) * _GOLDEN_ANGLE
    where = np.clip(where + np.stack([np.cos(turn), np.sin(turn)], axis=1) * _TINY, low, high)
    for _ in range(_PUSHES):
        apart = where[:, None, :] - where[None, :, :]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), _TINY)
        overlap = np.maximum(least - distance, 0)
        if not overlap.any():
            break
        where = np.clip(where + (apart / distance[:, :, None] * overlap[:, :, None] / 2).sum(axis=1), low, high)
    return where
