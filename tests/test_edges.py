"""Packed edges: their order, and every operation on them against the plain one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embeddings.edges import (
    FRESH,
    NONE,
    Edges,
    distances_of,
    nearest_edges,
    no_farther,
    numbers_of,
    packed,
    renumbered,
    reversed_edges,
    settled,
    without_known,
)

pairs = st.lists(st.tuples(st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]), st.integers(0, 30)), max_size=8)


def edges_of(found: list[tuple[float, int]], width: int) -> Edges:
    """One row of settled edges, ascending."""
    found = sorted(set(found))[:width]
    numbers = np.full((1, width), -1, np.int32)
    distances = np.zeros((1, width), np.float32)
    for place, (distance, number) in enumerate(found):
        numbers[0, place], distances[0, place] = number, distance
    return np.sort(settled(packed(distances, numbers)), axis=1)


def as_pairs(edges: Edges) -> list[tuple[float, int]]:
    here = edges != NONE
    return list(zip(distances_of(edges)[here].tolist(), numbers_of(edges)[here].tolist(), strict=True))


def test_edges_are_ordered_by_distance_then_number_and_unpack() -> None:
    distances = np.array([[0.5, 0.25, 0.25, np.inf, 0.0]], np.float32)
    edges = packed(distances, np.array([[7, 9, 2, -1, 2**31 - 1]], np.int32))
    assert numbers_of(np.sort(edges, axis=1)).tolist() == [[2**31 - 1, 2, 9, 7, -1]]
    assert ((edges & FRESH) == 1).all()
    assert not ((settled(edges) & FRESH) == 1)[edges != NONE].any()


@given(pairs, pairs)
def test_the_nearest_of_two_rows_are_those_of_the_union(
    left: list[tuple[float, int]], right: list[tuple[float, int]]
) -> None:
    found = nearest_edges(edges_of(left, 8), edges_of(right, 8))
    assert as_pairs(found) == sorted(set(left) | set(right))[:8]


@given(pairs, st.permutations(range(31)))
def test_other_numbers_change_the_order_of_ties_only(found: list[tuple[float, int]], numbers: list[int]) -> None:
    renamed = renumbered(edges_of(found, 8), np.array(numbers), fresh=False)
    assert as_pairs(renamed) == sorted((distance, numbers[number]) for distance, number in set(found))


@given(pairs)
def test_of_a_fresh_and_a_known_edge_the_known_one_stays(found: list[tuple[float, int]]) -> None:
    known, names = edges_of(found, 8), np.arange(31)
    fresh = renumbered(known, names, fresh=True)
    assert as_pairs(fresh) == as_pairs(known)
    assert ((fresh[fresh != NONE] & FRESH) == 1).all()
    assert np.array_equal(nearest_edges(fresh, known), known)


@given(pairs, st.sampled_from([0.0, 0.25, 0.5, 2.0]))
def test_what_is_no_farther_stays(found: list[tuple[float, int]], most: float) -> None:
    limit = settled(packed(np.array([[most]], np.float32), np.array([[3]], np.int32)))[:, 0]
    assert as_pairs(no_farther(edges_of(found, 8), limit)) == [pair for pair in sorted(set(found)) if pair[0] <= most]
    assert as_pairs(no_farther(edges_of(found, 8), np.array([NONE]))) == sorted(set(found))


def test_known_ones_and_repeats_are_no_news() -> None:
    known = np.array([[3, 1, -1], [4, 5, 6]], np.int32)
    candidates = np.array([[2, 3, 2, -1, 9], [6, 5, 4, -1, 4]], np.int32)
    assert without_known(known, candidates).tolist() == [[2, 9], [-1, -1]]


def test_reversed_edges_are_the_first_by_rank_then_row() -> None:
    rows = np.array([[1, 2], [0, 2], [0, 1], [0, -1]], np.int32)
    edges = packed(np.array([[0.1, 0.2]] * 4, np.float32), rows)
    assert numbers_of(reversed_edges(edges, 4, 2)).tolist() == [[1, 2], [0, 2], [0, 1], [-1, -1]]
