"""Matched controls: brute force for the permutation, large simulations for the tails, equal chances for the draws."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from populations import awkward_population, population_of
from scipy import stats

from refrain.coordination.controls import (
    Ranks,
    Strata,
    count_tail,
    middle_rank,
    middle_ranks,
    permutation_p,
    rank,
    score_sum_p,
    skewed_tail,
    stratify,
    upper_shares,
    with_groups,
)
from refrain.coordination.drawing import draw
from refrain.coordination.results import Candidates


def users(*candidates: list[int] | NDArray[np.int64]) -> Candidates:
    """Candidates of these owners, who use it once each, in the request of their own number."""
    owners = np.concatenate([np.asarray(c, np.int64) for c in candidates])
    bounds = np.concatenate([[0], np.cumsum([len(c) for c in candidates], dtype=np.int64)])
    return Candidates.made(owners, owners, np.ones(len(owners), np.int64), bounds)


def sum_p(scores: NDArray[np.float64], strata: Strata, owners: NDArray[np.int64]) -> float:
    return float(score_sum_p(scores, strata, owners, np.zeros(len(owners), np.int64), 1)[0])


def rank_p(ranks: Ranks, strata: Strata, owners: NDArray[np.int64]) -> float:
    return float(permutation_p(ranks, strata, owners, np.zeros(len(owners), np.int64), 1)[0])


def strata_of(of_owner: list[int]) -> Strata:
    codes = np.array(of_owner, np.int64)
    return Strata(codes, tuple(np.flatnonzero(codes == s) for s in range(int(codes.max()) + 1)))


def test_strata_put_owners_of_like_activity_and_script_together() -> None:
    activity = [1] * 40 + [9] * 40
    script = np.array(([0] * 38 + [1] * 2) + ([0] * 20 + [1] * 20))
    owners = np.repeat(np.arange(80), activity)
    strata = stratify(population_of(owners, np.arange(len(owners)), 80, script=script), 2, 10)
    groups = {frozenset(m.tolist()) for m in strata.members}
    # The two light owners who write in script 1 have no like, so they give it up and are by themselves in their bin.
    assert groups == {frozenset(range(38)), frozenset({38, 39}), frozenset(range(40, 60)), frozenset(range(60, 80))}


def test_every_owner_is_in_exactly_one_stratum() -> None:
    strata = stratify(awkward_population(0, owners=300), 6, 40)
    assert np.sort(np.concatenate(strata.members)).tolist() == list(range(300))
    assert all((strata.of_owner[m] == s).all() for s, m in enumerate(strata.members))


def test_groups_become_strata_and_an_owner_of_two_belongs_to_the_larger() -> None:
    strata = with_groups(strata_of([0, 0, 0, 1, 1, 1]), [np.array([0, 1, 2]), np.array([2, 3])])
    assert {frozenset(m.tolist()) for m in strata.members} == {frozenset({0, 1, 2}), frozenset({3}), frozenset({4, 5})}


@pytest.mark.parametrize("many", [2, 3, 4])
def test_every_control_set_is_equally_likely(many: int) -> None:
    sets = draw(users(np.arange(many)), strata_of([0] * 6), 15_000, 0, 0)
    seen = dict.fromkeys(combinations(range(6), many), 0)
    for row in np.sort(sets, axis=1).tolist():
        seen[tuple(row)] += 1  # a KeyError here is a repetition
    assert stats.chisquare(list(seen.values())).pvalue > 1e-6


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_controls_are_distinct_and_of_the_same_strata(of_owner: list[int], data: st.DataObject) -> None:
    _, codes = np.unique(of_owner, return_inverse=True)
    strata = strata_of(codes.tolist())
    owners = np.array(sorted(data.draw(st.sets(st.integers(0, len(of_owner) - 1), min_size=1))), np.int64)
    sets = draw(users(owners), strata, 5, 0, 0)
    assert sets.shape == (5, len(owners))
    for row in sets:
        assert len(set(row.tolist())) == len(owners)
        assert strata.of_owner[row].tolist() == strata.of_owner[owners].tolist()


def test_permutation_p_has_the_moments_of_all_permutations() -> None:
    rng = np.random.default_rng(1)
    strata = strata_of([0] * 7 + [1] * 6)
    scores = rng.exponential(size=13)
    owners = np.array([0, 2, 5, 8, 9])
    sums = [
        scores[list(a + b)].sum()
        for a, b in product(combinations(range(7), 3), combinations(range(7, 13), 2))
    ]  # fmt: skip
    expected = stats.norm.sf((scores[owners].sum() - np.mean(sums)) / np.std(sums))
    assert sum_p(scores, strata, owners) == pytest.approx(expected)


def test_permutation_p_is_near_the_share_of_permutations() -> None:
    rng = np.random.default_rng(2)
    strata = strata_of([0] * 60 + [1] * 40)
    ranks = rank(rng.lognormal(size=100), strata)
    for _ in range(5):
        owners = np.sort(np.concatenate([rng.choice(60, 8, replace=False), 60 + rng.choice(40, 6, replace=False)]))
        sets = draw(users(owners), strata, 40_000, 2, 0)
        share = (ranks.scores[sets].sum(axis=1) >= ranks.scores[owners].sum()).mean()
        assert sum_p(ranks.scores, strata, owners) == pytest.approx(share, abs=0.02)


def test_a_small_pool_at_the_top_is_as_rare_as_it_is() -> None:
    """Six of the youngest of 200: the tail of the normal would be a hundred times too large."""
    rng = np.random.default_rng(4)
    strata = strata_of([0] * 200)
    values = rng.random(200)
    ranks = rank(values, strata)
    owners = np.sort(np.argsort(values)[-20::4])
    sets = draw(users(owners), strata, 400_000, 4, 0)
    share = (ranks.scores[sets].sum(axis=1) >= ranks.scores[owners].sum()).mean()
    assert 0 < share < 1e-4
    assert share / 2 < sum_p(ranks.scores, strata, owners) < share * 3


def test_members_among_as_many_others_are_seen_at_the_top() -> None:
    strata = strata_of([0] * 400)
    ranks = rank(np.arange(400, dtype=float), strata)
    members, others = np.arange(391, 400), np.arange(5, 120, 9)
    owners = np.concatenate([others, members])
    assert sum_p(ranks.scores, strata, owners) > 0.1
    assert rank_p(ranks, strata, owners) < 1e-5


def test_the_upper_share_counts_ties_against_a_value() -> None:
    ranks = rank(np.array([1.0, 2.0, 2.0, 3.0, np.nan]), strata_of([0] * 5))
    assert ranks.upper[:4].tolist() == [1.0, 0.75, 0.75, 0.25]
    assert np.isnan(ranks.upper[4])
    assert upper_shares(np.array([1.0, 2.0, 2.0]), np.array([2.0, 3.0])).tolist() == [0.75, 0.25]


def test_owners_of_whom_nothing_is_known_change_nothing() -> None:
    rng = np.random.default_rng(3)
    values = rng.random(40)
    owners = np.arange(0, 20, 2)
    alone = rank_p(rank(values, strata_of([0] * 40)), strata_of([0] * 40), owners)
    more = strata_of([0] * 80)
    padded = rank(np.concatenate([values, np.full(40, np.nan)]), more)
    assert rank_p(padded, more, np.concatenate([owners, [50, 60]])) == alone
    assert rank_p(padded, more, np.array([50, 60])) == 1


def test_scores_are_ranks_inside_strata() -> None:
    scores = rank(np.array([5.0, 7.0, np.nan, 1.0, 100.0, 100.0]), strata_of([0, 0, 0, 1, 1, 1])).scores
    assert scores[:2].tolist() == [-0.25, 0.25]
    assert np.isnan(scores[2])
    assert scores[3:].tolist() == pytest.approx([-1 / 3, 1 / 6, 1 / 6])


@given(st.lists(st.integers(0, 9), max_size=20), st.integers(0, 9))
def test_middle_rank_is_the_share_below_with_ties_half(pool: list[int], value: int) -> None:
    below, equal = sum(p < value for p in pool), sum(p == value for p in pool)
    rank = middle_rank(np.sort(np.array(pool, float)), value)
    assert middle_ranks(np.sort(np.array(pool, float)), np.array([value, value + 1.0]))[0] == rank
    # The value itself counts as one more tie.
    assert rank == pytest.approx((below + (equal + 1) / 2) / (len(pool) + 1))


@pytest.mark.parametrize("law", ["poisson", "negative binomial"])
def test_count_tail_is_the_tail_of_counts(law: str) -> None:
    rng = np.random.default_rng(4)

    def draws(many: int) -> NDArray[np.float64]:
        return (rng.poisson(3, many) if law == "poisson" else rng.negative_binomial(2, 0.3, many)).astype(float)

    large = draws(1_000_000)
    for observed in (5, 12, 20):
        share = (large >= observed).mean()
        estimates = count_tail(np.full(20, observed), draws(20 * 300).reshape(20, 300))
        assert np.median(estimates) == pytest.approx(share, rel=0.5, abs=2e-6)


def test_count_tail_never_goes_below_the_draws() -> None:
    drawn = np.array([0.0] * 290 + [50.0] * 10)
    often, never, unseen = count_tail(np.array([50.0, 0.0, 1.0]), np.stack([drawn, drawn, np.zeros(300)]))
    assert often >= 10 / 301
    assert never == 1
    # What was never seen is not impossible.
    assert unseen == pytest.approx(1 / 301, rel=0.01)


def test_skewed_tail_is_the_tail_of_a_skewed_law() -> None:
    rng = np.random.default_rng(5)
    large = rng.gamma(3, size=1_000_000)
    for observed in (4.0, 7.0, 12.0):
        share = (large >= observed).mean()
        estimates = skewed_tail(np.full(20, observed), rng.gamma(3, size=(20, 300)))
        assert np.median(estimates) == pytest.approx(share, rel=0.5)


def test_skewed_tail_never_goes_below_the_draws_and_stands_equal_draws() -> None:
    drawn = np.concatenate([np.zeros(290), np.full(10, 9.0)])
    assert skewed_tail(np.array([9.0]), drawn[None])[0] >= 10 / 301
    assert skewed_tail(np.array([1.0, 2.0]), np.ones((2, 50))).tolist() == pytest.approx([1, 1 / 51])


def test_many_groups_at_once_are_as_each_alone() -> None:
    rng = np.random.default_rng(6)
    strata = strata_of(rng.integers(0, 5, 300).tolist())
    values = rng.lognormal(size=300)
    values[rng.random(300) < 0.3] = np.nan
    ranks = rank(values, strata)
    order = np.argsort(values)
    groups = [np.sort(rng.choice(300, int(n), replace=False)) for n in rng.integers(1, 40, 30)]
    groups += [np.sort(order[200 - n : 200]) for n in (3, 9, 20)]  # at the top, for the saddlepoint
    groups += [np.flatnonzero(np.isnan(values))[:4]]
    owners, group = np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    together = permutation_p(ranks, strata, owners, group, len(groups)).tolist()
    assert together == [rank_p(ranks, strata, own) for own in groups]
    assert (min(together) < 1e-3, max(together)) == (True, 1)


def test_rows_of_draws_are_as_each_alone() -> None:
    rng = np.random.default_rng(7)
    drawn = rng.negative_binomial(1, 0.4, (40, 299)).astype(float)
    drawn[3] = 2.0
    observed = rng.integers(0, 12, 40).astype(float)
    for tail in (count_tail, skewed_tail):
        alone = [tail(observed[i : i + 1], drawn[i : i + 1])[0] for i in range(40)]
        assert tail(observed, drawn).tolist() == alone
