"""Counting over aligned integer arrays: distinct pairs, group sizes, ranges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def ranges(counts: Ints) -> Ints:
    """0..counts[0]-1, then 0..counts[1]-1, and so on, as one array."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)


def distinct_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The distinct pairs of two aligned arrays of non-negative integers, ordered by first, then second."""
    if not len(first):
        return first, second
    width = int(second.max()) + 1
    keys = np.unique(first * width + second)
    return keys // width, keys % width


def group_sizes(groups: Ints, members: Ints, count: int) -> Ints:
    """How many distinct members each of `count` groups has, given aligned pairs that may repeat."""
    return np.bincount(distinct_pairs(groups, members)[0], minlength=count)


def slices(groups: Ints, count: int) -> Ints:
    """The (count + 1) boundaries of each group's run in an array that is sorted by group."""
    return np.searchsorted(groups, np.arange(count + 1))
