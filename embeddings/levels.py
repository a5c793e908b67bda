"""Cosines of many pairs of unit vectors in whole numbers of a byte, to propose pairs that full precision then decides.

Vectors are turned by a random rotation, after which no component is large (Ailon and Chazelle, "Approximate nearest
neighbors and the fast Johnson-Lindenstrauss transform", STOC 2006, do so for the same reason), and rounded to seven
bits on one side and eight on the other: no sum of two products leaves 16 bits, so processors without wider integer
products give the same numbers as those with them. Sums are exact: but for the last bits of the rotation, no number
depends on how a product was cut up, nor on whether oneDNN (by torch) or a product of float32 made it.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embeddings.edges import Floats

Bytes = NDArray[np.uint8]
_ROWS, _COLUMNS = 63, 127  # the largest whole number of a component on either side
_WIDEST = 5.12  # standard deviations of a rotated component that the largest number stands for
_LEVELS = 306  # at most, to a cosine of 1: so many that 0.17 and what lies above it fit a byte
_TOP = 1.016  # the cosine that the last level stands for: rounding may add to 1
# Rows and columns of a product are filled up to a multiple of the one, or one of so many numbers between two powers of
# two: oneDNN prepares each shape anew.
_LEAST_STEP, _STEPS = 32, 8


@dataclass(frozen=True)
class Columns:
    """Vectors, ready for products: `count` of them, as oneDNN wants them, or as float32 (count, d)."""

    count: int
    weights: Any


class Levels:
    """Levels of cosines between vectors of one dimension: a step of a level is about a three hundredth of a cosine."""

    def __init__(self, dimension: int, seed: int) -> None:
        normal = np.random.default_rng(seed).normal(size=(dimension, dimension))
        orthogonal, triangular = np.linalg.qr(normal)
        self._rotation = (orthogonal * np.sign(np.diag(triangular))).astype(np.float32)
        self._widest = _WIDEST / dimension**0.5
        exact = _ROWS * _COLUMNS / self._widest**2
        self._divisor = 2.0 ** np.ceil(np.log2(exact / _LEVELS))
        self._per_cosine = exact / self._divisor
        self._zero = 255 - int(self._per_cosine * _TOP)

    def rows(self, vectors: Floats) -> Bytes:
        """The vectors (n, d) as one side of products."""
        return (self._whole(vectors, _ROWS) + (_ROWS + 1)).astype(np.uint8)

    def columns(self, vectors: Floats) -> Columns:
        """The vectors (n, d) as the other side, for any number of products."""
        whole = self._whole(vectors, _COLUMNS)
        if not _has_integer_products():
            return Columns(len(vectors), whole)
        import torch

        filled = np.zeros((_filled(len(vectors)), vectors.shape[1]), np.int8)
        filled[: len(vectors)] = whole
        return Columns(len(vectors), torch.ops.onednn.qlinear_prepack(torch.from_numpy(filled), None))

    def between(self, rows: Bytes, some: NDArray[np.int64], columns: Columns) -> Bytes:
        """The levels (s, n) of some rows with all columns."""
        if not _has_integer_products():
            sums = (rows[some].astype(np.float32) - np.float32(_ROWS + 1)) @ columns.weights.T
            sums = np.rint(sums / np.float32(self._divisor) + np.float32(self._zero))
            return np.asarray(np.clip(sums, 0, 255).astype(np.uint8))
        filled = np.zeros((_filled(len(some)), rows.shape[1]), np.uint8)
        filled[: len(some)] = rows[some]
        return _integer_levels(filled, columns.weights, self._divisor, self._zero)[: len(some), : columns.count]

    def of(self, cosines: Floats) -> Bytes:
        """The level at which pairs of these cosines are proposed: by a level less, as rounding may take some off; never
        the lowest, which all stand on that are too far to be told apart."""
        steps = np.rint(cosines * self._per_cosine) + (self._zero - 1)
        return np.asarray(np.clip(steps, 1, 255).astype(np.uint8))

    def _whole(self, vectors: Floats, most: int) -> Floats:
        turned = vectors @ self._rotation
        turned *= np.float32(most / self._widest)
        return np.clip(np.rint(turned, out=turned), -most, most, out=turned)


def _filled(count: int) -> int:
    step = max(_LEAST_STEP, (1 << count.bit_length() - 1) // _STEPS)
    return -(-count // step) * step


def _integer_levels(rows: Bytes, weights: Any, divisor: float, zero: int) -> Bytes:
    import torch

    one, none = torch.ones(1), torch.zeros(1, dtype=torch.int32)
    out: Bytes = torch.ops.onednn.qlinear_pointwise(
        torch.from_numpy(rows), 1.0, _ROWS + 1, weights, one, none, None, divisor, zero, torch.uint8, "none", [], ""
    ).numpy()  # fmt: skip
    return out


@cache
def _has_integer_products() -> bool:
    """Whether torch's oneDNN multiplies whole numbers here as we do: not on every processor, nor in every build."""
    import torch

    rows = (np.arange(12 * 8, dtype=np.int64) * 37 % 127 + 1).astype(np.uint8).reshape(12, 8)
    columns = (np.arange(10 * 8, dtype=np.int64) * 53 % 255 - 127).astype(np.int8).reshape(10, 8)
    wanted = (rows.astype(np.int64) - (_ROWS + 1)) @ columns.astype(np.int64).T
    try:
        weights = torch.ops.onednn.qlinear_prepack(torch.from_numpy(columns), None)
        found = _integer_levels(rows, weights, 256.0, -7)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return bool((found == np.clip(np.rint(wanted / 256.0 - 7), 0, 255)).all())
