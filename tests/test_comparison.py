"""Two runs side by side: each change planted once, laws over any memberships, and scikit-learn's index of agreement."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from refrain.comparison import Members, adjusted_rand, changes


def members(*groups: str, alerts: str = "", common: list[set[int]] | None = None) -> Members:
    """Campaigns whose accounts are letters; those at the places named in `alerts` alert."""
    held = common or [set() for _ in groups]
    return Members(
        [frozenset(group) for group in groups],
        [frozenset(one) for one in held],
        [10 * len(group) for group in groups],
        [str(at) in alerts for at in range(len(groups))],
    )


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (["abcd"], ["abcd"], [("same", (0,), (0,), 0, 0)]),
        (["abcd"], ["abcde"], [("grew", (0,), (0,), 1, 0)]),
        (["abcd"], ["abc"], [("shrank", (0,), (0,), 0, 1)]),
        (["abcd"], ["abce"], [("changed", (0,), (0,), 1, 1)]),
        (["abcdef"], ["abcd", "ef"], [("split", (0,), (0, 1), 0, 0)]),
        (["ab", "cdef"], ["abcdef"], [("merged", (0, 1), (0,), 0, 0)]),
        (["abcd"], ["efgh"], [("gone", (0,), (), 0, 4), ("new", (), (0,), 4, 0)]),
        ([], ["ab"], [("new", (), (0,), 2, 0)]),
        (["ab"], [], [("gone", (0,), (), 0, 2)]),
        ([], [], []),
        (["abcd", "efgh"], ["efgh", "abcd"], [("same", (0,), (1,), 0, 0), ("same", (1,), (0,), 0, 0)]),
        # one account of four is no relation
        (["abcd"], ["dxyz"], [("gone", (0,), (), 0, 4), ("new", (), (0,), 4, 0)]),
        (["abcdefgh", "ij"], ["abcdefij", "gh"], [("regrouped", (0, 1), (0, 1), 0, 0)]),
    ],
    ids=str,
)
def test_each_change_is_told(before: list[str], after: list[str], told: list[tuple[object, ...]]) -> None:
    found = changes(members(*before), members(*after))
    assert [(one.change, one.before, one.after, one.gained, one.lost) for one in found] == told


def test_requests_in_common_decide_between_campaigns_of_the_same_accounts() -> None:
    before = members("abcd", "abcd", common=[{1, 2, 3}, {7, 8}])
    after = members("abcd", "abcd", common=[{7, 8}, {1, 2, 3}])
    assert [(one.before, one.after) for one in changes(before, after)] == [((0,), (1,)), ((1,), (0,))]


def test_an_alert_that_comes_or_goes_is_told() -> None:
    found = changes(members("abc", "def", "ghi", alerts="01"), members("abc", "def", "jkl", alerts="02"))
    assert [(one.before, one.after, one.alert) for one in found] == [
        ((0,), (0,), (True, True)),
        ((1,), (1,), (True, False)),
        ((2,), (), (False, False)),
        ((), (2,), (False, True)),
    ]


GROUPS = st.lists(st.sets(st.sampled_from("abcdefghij"), min_size=1).map(lambda s: "".join(sorted(s))), max_size=5)


@given(GROUPS, GROUPS)
def test_every_campaign_is_in_one_change_and_accounts_add_up(before: list[str], after: list[str]) -> None:
    found = changes(members(*before), members(*after))
    assert sorted(a for one in found for a in one.before) == list(range(len(before)))
    assert sorted(b for one in found for b in one.after) == list(range(len(after)))
    for one in found:
        assert one.accounts[1] - one.accounts[0] == one.gained - one.lost
        assert (one.change == "new") == (not one.before)
        assert (one.change == "gone") == (not one.after)


@given(st.lists(st.sets(st.integers(0, 9), min_size=1), max_size=5, unique_by=frozenset))
def test_a_run_beside_itself_is_the_same(groups: list[set[int]]) -> None:
    one = members(*("".join(map(str, sorted(group))) for group in groups))
    assert [(found.change, found.before, found.after) for found in changes(one, one)] == [
        ("same", (at,), (at,)) for at in range(len(groups))
    ]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_agreement_is_that_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(labels, np.int64) for labels in zip(*pairs, strict=True))
    assert adjusted_rand(first, second) == pytest.approx(adjusted_rand_score(first, second))
    assert adjusted_rand(first, second) == adjusted_rand(second, first)
