"""Lots: numbers that are drawn by chance and yet follow from who draws them, so that many can be drawn at once.

A word is a hash of a key, a purpose and a counter (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3", Supercomputing 2011); the hash is splitmix64's. Whoever draws beside it, and in which order, changes no bit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, mix

Words = NDArray[np.uint64]
_STEP = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's: the golden ratio
_HALF = np.uint64(32)


def words(keys: Words | np.uint64, seed: int, purpose: int, counters: Ints) -> Words:
    """Random words of 64 bits; keys and counters, at least 0, are broadcast against each other."""
    own = mix(np.array([seed], np.uint64) * _STEP + np.uint64(purpose))
    start = mix(own + keys)
    steps = counters.astype(np.uint64)
    steps += np.uint64(1)
    steps *= _STEP
    return mix(start + steps)


def below(drawn: Words, limits: Ints) -> Ints:
    """Integers from 0 to below the limits, which are at most 2**31; words and limits are broadcast.

    Multiplication and shift (Lemire, "Fast random integer generation in an interval", 2019) without its rejection: with
    words of 32 bits, some of a million integers are likelier than others by a four-thousandth."""
    found = (drawn >> _HALF) * limits.astype(np.uint64)
    found >>= _HALF
    return found.view(np.int64)


def order_of(drawn: Words) -> Ints:
    """The order in which lots of this shape stand, along the last axis."""
    return np.argsort(drawn, axis=-1, kind="stable")
