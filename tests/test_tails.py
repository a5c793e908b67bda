"""Tails of ranks against exact laws and against counting."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from refrain.coordination.tails import (
    DrawnLaw,
    drawn_cumulants,
    sum_tail,
    top_tail,
    uniform_cumulants,
    uniform_sum_tail,
)


def uniforms(many: int, t: float) -> tuple[float, float, float]:
    """The cumulants at `t` of the sum of so many uniforms."""
    value, slope, curvature = (many * float(part[0]) for part in uniform_cumulants(np.array([t])))
    return value, slope, curvature


def sums_of_uniforms(observed: list[float], many: int) -> list[float]:
    """The tails of sums of so many."""
    return list(uniform_sum_tail(np.array(observed), np.full(len(observed), many)).tolist())


@pytest.mark.parametrize("many", [2, 3, 6, 20, 60])
@pytest.mark.parametrize("mean", [0.55, 0.7, 0.9, 0.99])
def test_the_tail_of_a_sum_of_uniforms_is_irwin_halls(many: int, mean: float) -> None:
    exact = stats.irwinhall.sf(many * mean, many)
    if exact > 1e-12 or many < 20:  # beyond, scipy's alternating sum has no digits left
        [found] = sums_of_uniforms([many * (mean - 0.5)], many)
        assert found == pytest.approx(exact, rel=0.1)


def test_the_tail_of_drawn_sums_is_that_of_all_that_could_be_drawn() -> None:
    pools = [(np.array([0.0, 1.0, 2.0, 7.0, 20.0]), 2), (np.array([0.0, 0.0, 0.0, 5.0]), 3)]
    sums = np.zeros(1)
    for pool, many in pools:
        for _ in range(many):
            sums = (sums[:, None] + pool - pool.mean()).ravel()
    for level in (0.05, 0.01, 0.002):
        observed = float(np.quantile(sums, 1 - level))
        # Between two sums that can occur the tail of a discrete law jumps.
        low, high = (sums > observed).mean(), (sums >= observed - 1e-9).mean()
        assert (
            low / 2
            <= sum_tail(observed, partial(drawn_cumulants, [(DrawnLaw(p - p.mean()), n) for p, n in pools]))
            <= high * 2
        )


def test_the_largest_sum_is_as_likely_as_it_is_and_a_larger_one_is_not() -> None:
    pool = np.arange(40) / 40
    tail = partial(drawn_cumulants, [(DrawnLaw(pool - pool.mean()), 6)])
    largest = 6 * (pool.max() - pool.mean())
    assert sum_tail(largest, tail) == pytest.approx(40.0**-6, rel=0.1)
    assert sum_tail(largest * 1.1, tail) < 1e-30


def test_tails_of_what_does_not_vary_say_nothing() -> None:
    assert sum_tail(0.0, partial(drawn_cumulants, [(DrawnLaw(np.zeros(5)), 3)])) == 1
    [low], [none] = sums_of_uniforms([-3.0], 9), sums_of_uniforms([0.0], 0)
    assert low > 0.99
    assert none == 1


@pytest.mark.parametrize("many", [1, 2, 3, 7, 40, 900, 50_000])
def test_tails_of_sums_of_uniforms_are_those_of_any_sum(many: int) -> None:
    means = [-0.4, 0.0, 1e-3, 0.01, 0.1, 0.3, 0.45, 0.499, 0.4999, 0.49999, 0.5, 0.6]
    observed = [many * mean for mean in means]
    found = sums_of_uniforms(observed, many)
    assert found == pytest.approx([sum_tail(x, partial(uniforms, many)) for x in observed], rel=1e-6)
    assert found == [alone for x in observed for alone in sums_of_uniforms([x], many)]


def test_tails_fall_as_the_sum_grows() -> None:
    tails = sums_of_uniforms(np.linspace(-1, 2.49, 60).tolist(), 5)
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in pairwise(tails))


@pytest.mark.parametrize("many", [5, 9, 60])
def test_top_tails_are_no_smaller_than_their_level(many: int) -> None:
    rng = np.random.default_rng(many)
    found = top_tail(rng.random(20_000 * many), np.repeat(np.arange(20_000), many), 20_000)
    for level in (0.1, 0.01, 0.001):
        assert (found <= level).sum() <= stats.binom.isf(1e-10, len(found), level)


def test_some_at_the_very_top_are_seen_among_many_in_the_middle() -> None:
    few = np.array([*[0.01] * 6, *[0.5] * 20])
    seen, unseen = top_tail(np.concatenate([few, np.full(26, 0.51)]), np.repeat([0, 1], 26), 2)
    assert seen < 1e-4
    assert unseen == 1
