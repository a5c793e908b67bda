"""Counting over aligned integer arrays: distinct pairs, group sizes, ranges."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
_LARGEST = np.iinfo(np.int64).max


def ranges(counts: Ints) -> Ints:
    """0..counts[0]-1, then 0..counts[1]-1, and so on, as one array."""
    ends = np.cumsum(counts)
    places = np.arange(ends[-1] if len(ends) else 0)
    places -= np.repeat(ends - counts, counts)
    return places


def distinct_pairs(first: Ints, second: Ints) -> tuple[Ints, Ints]:
    """The distinct pairs of two aligned arrays of non-negative integers, ordered by first, then second."""
    if not len(first):
        return first, second
    if int(first.max()) >= _LARGEST // (int(second.max()) + 1):
        # One number cannot hold such a pair; positions among the distinct values are small enough, and as ordered.
        firsts, first = np.unique(first, return_inverse=True)
        seconds, second = np.unique(second, return_inverse=True)
        pairs = distinct_pairs(first, second)
        return firsts[pairs[0]], seconds[pairs[1]]
    width = int(second.max()) + 1
    keys = np.sort(first * width + second)  # np.unique hashes before it sorts, and takes five times as long
    keys = keys[group_starts(keys)]
    return np.divmod(keys, width)


def stable_order(values: NDArray[np.int64] | NDArray[np.uint64] | NDArray[np.float64]) -> Ints:
    """np.argsort(values, kind="stable") of fewer than 2^32 numbers, none of them negative, several times faster: a
    value and its place are sorted as one number, for np.sort compares many at once and np.argsort does not."""
    if values.dtype == np.float64 and ((narrow := values.astype(np.float32)) == values).all():
        keys = narrow.view(np.uint32).astype(np.uint64)  # as of distances between vectors of such numbers
    else:
        keys = np.ascontiguousarray(values).view(np.uint64)
    bits = np.uint64(max(len(keys) - 1, 1).bit_length())
    if len(keys) and int(keys.max()) >> (64 - int(bits)):
        low = stable_order(keys & np.uint64(0xFFFFFFFF))
        return low[stable_order(keys[low] >> np.uint64(32))]
    packed = (keys << bits) | np.arange(len(keys), dtype=np.uint64)
    packed.sort()
    packed &= (np.uint64(1) << bits) - np.uint64(1)
    return packed.view(np.int64)


def find_sorted(values: Ints, ordered: Ints) -> Ints:
    """The place of each value among distinct ascending ones, -1 where it is none of them."""
    if not len(ordered):
        return np.full(len(values), -1)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return np.where(ordered[at] == values, at, -1)


def group_sizes(groups: Ints, members: Ints, count: int) -> Ints:
    """How many distinct members each of `count` groups has, given aligned pairs that may repeat."""
    return np.bincount(distinct_pairs(groups, members)[0], minlength=count)


def slices(groups: Ints, count: int) -> Ints:
    """The (count + 1) boundaries of each group's run in an array that is sorted by group."""
    return np.searchsorted(groups, np.arange(count + 1))


def group_starts(*keys: NDArray[np.int64]) -> Ints:
    """Where each run of equal keys begins in aligned arrays that are sorted by them."""
    if not len(keys[0]):
        return np.zeros(0, np.int64)
    new = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return np.concatenate([[0], np.flatnonzero(new) + 1])


def portions(sizes: Ints, limit: int) -> Iterator[slice]:
    """Consecutive stretches that cover all items of the given sizes, each of at most `limit` together or one item."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + limit, "right")), start + 1)
        yield slice(start, stop)
        start = stop


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a
    permutation of the 64-bit words after which close inputs lie far apart."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def mixed_sequences(values: Ints, bounds: Ints) -> NDArray[np.uint64]:
    """A hash of each run values[bounds[i]:bounds[i + 1]], equal where the runs are equal; an empty run has 0."""
    place = (np.arange(len(values)) - np.repeat(bounds[:-1], np.diff(bounds))).astype(np.uint64)
    weights = mix(mix(values.astype(np.uint64)) + mix(place + np.uint64(1)))
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(weights, out=sums[1:])
    return sums[bounds[1:]] - sums[bounds[:-1]]
