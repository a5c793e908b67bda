"""Counting against sets and loops."""

from itertools import groupby, pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refrain.counting import (
    Ints,
    distinct_pairs,
    find_sorted,
    group_sizes,
    group_starts,
    mix,
    mixed_sequences,
    portions,
    ranges,
    slices,
    stable_order,
)

SMALL = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)))
HUGE = st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)))


def ints(values: list[int]) -> Ints:
    return np.array(values, np.int64)


@given(SMALL | HUGE)
def test_pairs_are_those_of_a_set_however_large(pairs: list[tuple[int, int]]) -> None:
    first, second = distinct_pairs(ints([a for a, _ in pairs]), ints([b for _, b in pairs]))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == sorted(set(pairs))


@given(SMALL)
def test_group_sizes_count_distinct_members(pairs: list[tuple[int, int]]) -> None:
    sizes = group_sizes(ints([a for a, _ in pairs]), ints([b for _, b in pairs]), 7)
    assert sizes.tolist() == [len({b for a, b in pairs if a == group}) for group in range(7)]


@given(st.lists(st.integers(0, 4)))
def test_ranges_and_slices_undo_each_other(counts: list[int]) -> None:
    assert ranges(ints(counts)).tolist() == [i for count in counts for i in range(count)]
    groups = np.repeat(np.arange(len(counts)), counts)
    assert np.diff(slices(groups, len(counts))).tolist() == counts


@given(SMALL)
def test_runs_begin_where_a_key_changes(pairs: list[tuple[int, int]]) -> None:
    pairs.sort()
    starts = group_starts(ints([a for a, _ in pairs]), ints([b for _, b in pairs])).tolist()
    assert [pairs[start] for start in starts] == [key for key, _ in groupby(pairs)]
    assert starts == [pairs.index(key) for key, _ in groupby(pairs)]


@given(st.lists(st.integers(0, 20)), st.integers(1, 30))
def test_portions_cover_all_in_order_within_the_limit(sizes: list[int], limit: int) -> None:
    found = list(portions(ints(sizes), limit))
    assert [i for part in found for i in range(part.start, part.stop)] == list(range(len(sizes)))
    assert all(sum(sizes[part]) <= limit or part.stop - part.start == 1 for part in found)
    # As few as can be: no portion has room for the next one's first.
    assert all(sum(sizes[a]) + sizes[b.start] > limit for a, b in pairwise(found))


@given(st.lists(st.lists(st.integers(0, 3), max_size=4)))
def test_runs_hash_alike_where_they_are_alike(runs: list[list[int]]) -> None:
    bounds = np.concatenate([[0], np.cumsum([len(run) for run in runs])]).astype(np.int64)
    hashes = mixed_sequences(ints([value for run in runs for value in run]), bounds).tolist()
    for one, a in zip(runs, hashes, strict=True):
        for other, b in zip(runs, hashes, strict=True):
            assert (one == other) == (a == b)


def test_mixing_is_splitmix64() -> None:
    # The first outputs of the reference implementation for seed 0: increments of the golden ratio, mixed.
    golden = np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert [f"{value:x}" for value in mix(golden).tolist()] == [
        "e220a8397b1dcdaf",
        "6e789e6aa1b965f4",
        "6c45d188009454f",
    ]


def test_values_are_found_among_ordered_ones_or_are_nowhere() -> None:
    ordered = np.array([2, 3, 7])
    assert find_sorted(np.array([7, 1, 2, 9, 3, 4]), ordered).tolist() == [2, -1, 0, -1, 1, -1]
    assert find_sorted(np.array([1, 2]), ordered[:0]).tolist() == [-1, -1]
    assert find_sorted(ordered[:0], ordered).tolist() == []


@given(
    st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 3)).map(ints)
    | st.lists(st.floats(0, width=32)).map(lambda values: np.array(values, np.float64))
    | st.lists(st.floats(0, 1)).map(lambda values: np.array(values, np.float64))
    | st.lists(st.integers(0, 2**64 - 1)).map(lambda values: np.array(values, np.uint64))
)
def test_the_stable_order_is_numpys(values: Ints) -> None:
    assert stable_order(values).tolist() == np.argsort(values, kind="stable").tolist()
