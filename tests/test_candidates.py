"""Candidates: a naive version of the join, planted variants, and two pools that share some owners."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from refrain.candidates import JoinRule, join_templates, template_owners

RULE = JoinRule(min_jaccard=0.5, max_p=1e-6, min_shared=4)
OWNERS = 400


def joined(
    sets: list[set[int]], activity: np.ndarray | None = None, rule: JoinRule = RULE, eligible: list[int] | None = None
) -> list[list[int]]:
    templates = np.array([t for t, s in enumerate(sets) for _ in s], np.int64)
    owners = np.array([o for s in sets for o in sorted(s)], np.int64)
    pairs = template_owners(templates, owners, len(sets))
    chosen = np.arange(len(sets)) if eligible is None else np.array(eligible, np.int64)
    activity = np.ones(OWNERS, np.int64) if activity is None else activity
    return [group.tolist() for group in join_templates(pairs, chosen, activity, rule)]


def naive(sets: list[set[int]], rule: JoinRule) -> list[list[int]]:
    """Average linkage by the book: as long as the nearest two groups reach the level, they become one."""

    def excess(a: int, b: int) -> float:
        both, union = len(sets[a] & sets[b]), len(sets[a] | sets[b])
        expected = len(sets[a]) * len(sets[b]) / OWNERS
        if both < rule.min_shared or stats.poisson.sf(both - 1, expected) > rule.max_p:
            return 0.0
        value = max(both - expected, 0) / max(union - min(expected, both), 1)
        return value if value >= rule.min_jaccard / 2 else 0.0

    groups = [[t] for t in range(len(sets))]
    while len(groups) > 1:
        level, i, j = max(
            (float(np.mean([excess(a, b) for a in groups[i] for b in groups[j]])), -i, -j)
            for i, j in combinations(range(len(groups)), 2)
        )
        if level < rule.min_jaccard - 1e-12:
            break
        groups[-i] = groups[-i] + groups.pop(-j)
    return sorted(sorted(g) for g in groups)


@given(st.integers(0, 10_000))
def test_the_join_against_average_linkage_by_the_book(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pools = [rng.choice(OWNERS, rng.integers(6, 20), replace=False) for _ in range(3)]
    sets = []
    for _ in range(rng.integers(1, 8)):
        pool = pools[rng.integers(3)]
        some = rng.choice(pool, max(1, int(len(pool) * rng.uniform(0.4, 1))), replace=False)
        sets.append(set(some.tolist()) | set(rng.choice(OWNERS, rng.integers(0, 6), replace=False).tolist()))
    assert joined(sets) == naive(sets, RULE)


def test_variants_of_one_pool_are_one_candidate_whatever_else_is_there() -> None:
    rng = np.random.default_rng(0)
    pool = np.arange(20)
    variants = [set(rng.choice(pool, 17, replace=False).tolist()) for _ in range(5)]
    others = [set((20 + rng.choice(380, 30, replace=False)).tolist()) for _ in range(10)]
    assert joined(variants + others) == [[0, 1, 2, 3, 4], *([5 + t] for t in range(10))]


def test_two_pools_that_share_a_few_owners_stay_two() -> None:
    assert joined([set(range(20)), set(range(16, 36))]) == [[0], [1]]


def test_a_chain_joins_nothing_beyond_its_neighbours() -> None:
    chain = [set(range(6 * i, 6 * i + 20)) for i in range(8)]  # neighbours share 14 of 26, the ends nothing
    assert max(map(len, joined(chain))) <= 2


def test_the_busiest_owners_use_everything_and_join_nothing() -> None:
    """Twenty owners send nearly all there is; two popular templates that they all use are not one for it."""
    activity = np.ones(OWNERS, np.int64)
    activity[:20] = 2000
    sets = [set(range(20)) | {30 + i for i in range(4)}, set(range(20)) | {50 + i for i in range(4)}]
    assert joined(sets) == [[0, 1]]
    assert joined(sets, activity) == [[0], [1]]


def test_templates_that_are_not_eligible_are_in_no_candidate() -> None:
    pool = set(range(20))
    assert joined([pool, pool, pool, {40, 41}], eligible=[0, 2]) == [[0, 2]]
    assert joined([pool], eligible=[]) == []


def test_owners_of_a_template_are_distinct_and_ascending() -> None:
    pairs = template_owners(np.array([1, 0, 1, 1]), np.array([5, 2, 3, 5]), 3)
    assert [pairs.of(t).tolist() for t in range(3)] == [[2], [3, 5], []]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_owners_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = [set(rng.choice(40, 20, replace=False).tolist()) for _ in range(6)]
    rename = rng.permutation(OWNERS)
    assert joined(sets) == joined([{int(rename[o]) for o in s} for s in sets])
