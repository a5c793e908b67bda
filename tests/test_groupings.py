"""Grouping figures: a worked example, brute force over pairs and sets, perfect labels."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.groupings import Grouping, compare_groups, f1


def by_sets(true: Sequence[int], found: Sequence[int | None]) -> Grouping:
    """The figures as the definitions say."""
    rows = range(len(true))
    pairs = [(i, j) for i, j in combinations(rows, 2)]
    same = {(i, j) for i, j in pairs if true[i] == true[j]}
    put = {(i, j) for i, j in pairs if found[i] is not None and found[i] == found[j]}
    precision = len(same & put) / len(put) if put else None
    recall = len(same & put) / len(same) if same else None
    wanted, got = defaultdict(set), defaultdict(set)
    for row in rows:
        wanted[true[row]].add(row)
        if found[row] is not None:
            got[found[row]].add(row)
    left, right = ([some for some in groups.values() if len(some) > 1] for groups in (wanted, got))
    overlaps = [len(a & b) / len(a | b) for a in left for b in right]
    count = max(len(left) + len(right), 1)
    exact, near = (2 * sum(o >= least for o in overlaps) / count for least in (1, 0.9))
    quality = 2 * sum(o for o in overlaps if o > 0.5) / count
    return Grouping(precision, recall, f1(precision, recall), exact, near, quality)


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3))), max_size=24))
def test_figures_are_those_of_plain_sets(labels: list[tuple[int, int | None]]) -> None:
    true, found = [t for t, _ in labels], [f for _, f in labels]
    got, expected = compare_groups(true, found), by_sets(true, found)
    for name in ("precision", "recall", "f1", "exact", "near", "quality"):
        assert getattr(got, name) == pytest.approx(getattr(expected, name)), name


def test_one_stray_breaks_two_exact_sets_and_hardly_a_near_one() -> None:
    true = ["a"] * 20 + ["b"] * 30
    found = [7] * 19 + [8] * 31
    got = compare_groups(true, found)
    assert (got.exact, got.near) == (0, 1)
    assert got.quality == pytest.approx((19 / 20 + 30 / 31) / 2)
    assert compare_groups(true, [7] * 20 + [8] * 30) == Grouping(1, 1, 1, 1, 1, 1)
