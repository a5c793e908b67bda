"""Round the clock: the mean cosine of all pairs, a planted pool, and machines among the busiest owners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import START, awkward_setting, people, population_of
from scipy import stats

from refrain.coordination.results import TestResult, candidate
from refrain.coordination.rhythm import RhythmRule, Rhythms, concentration, round_the_clock
from refrain.population import DAY_US

RULE = RhythmRule(min_requests=4, max_requests=40, min_owners=5)


@given(st.lists(st.floats(0, 24, exclude_max=True), min_size=2, max_size=12))
def test_concentration_is_the_mean_cosine_of_all_pairs(hours: list[float]) -> None:
    angles = np.array(hours) * 2 * np.pi / 24
    pairs = np.cos(angles[:, None] - angles[None, :])[~np.eye(len(hours), dtype=bool)]
    assert float(concentration(np.array(hours))) == pytest.approx(pairs.mean(), abs=1e-12)


def test_concentration_is_unbiased_for_any_number_of_requests() -> None:
    rng = np.random.default_rng(0)
    for many in (2, 5, 40):
        assert abs(concentration(rng.uniform(0, 24, (20_000, many))).mean()) < 0.03
    assert concentration(np.full((1, 3), 23.5)).tolist() == pytest.approx([1])


def rhythm(pool: int, pool_requests: int = 24, controls: int = 500) -> TestResult:
    """The test of a pool that sends round the clock among people who sleep."""
    rng = np.random.default_rng(1)
    owner, time = people(0)
    more = np.repeat(240 + np.arange(pool), pool_requests)
    at = START + rng.integers(14 * DAY_US, size=len(more))
    population = population_of(np.concatenate([owner, more]), np.concatenate([time, at]), 240 + pool)
    setting = awkward_setting(population)
    own = candidate(np.flatnonzero(population.request_owner >= 240), population)
    return round_the_clock(own, setting, Rhythms(population, setting.strata, controls, 0), RULE)


@pytest.mark.parametrize("controls", [500, 60])
def test_a_pool_that_never_sleeps_is_seen(controls: int) -> None:
    result = rhythm(12, controls=controls)
    assert result.p_value is not None
    assert result.p_value < 1e-3
    assert abs(result.observed) < 0.1
    assert result.expected > 0.3


def test_it_is_off_for_few_users_and_for_few_requests() -> None:
    assert rhythm(4).off is not None
    assert rhythm(12, pool_requests=3).off is not None


def test_busy_owners_are_compared_with_busy_owners() -> None:
    """Machines are the busiest and never sleep; five heavy users of a popular template are likely machines."""
    rng = np.random.default_rng(2)
    owner, time = people(0, owners=200, requests=8)
    machine = np.repeat(200 + np.arange(60), 80)
    population = population_of(
        np.concatenate([owner, machine]),
        np.concatenate([time, START + rng.integers(14 * DAY_US, size=len(machine))]),
        260,
    )
    setting = awkward_setting(population)
    rhythms = Rhythms(population, setting.strata, 500, 0)
    p_values = []
    for _ in range(40):
        chosen = 200 + rng.choice(60, 8, replace=False)
        rows = np.concatenate([rng.choice(population.requests_of(int(o)), 6, replace=False) for o in chosen])
        result = round_the_clock(candidate(rows, population), setting, rhythms, RULE)
        assert result.p_value is not None
        p_values.append(result.p_value)
    assert stats.kstest(p_values, "uniform", alternative="greater").pvalue > 1e-6


def test_few_controls_of_many_widen_the_law() -> None:
    owner, time = people(0)
    population = population_of(owner, time, 240)
    strata = awkward_setting(population).strata
    some, all_of_them = Rhythms(population, strata, 60, 0).of(0, 10), Rhythms(population, strata, 500, 0).of(0, 10)
    assert len(some.values) == 60
    assert some.sampling == pytest.approx((1 - 60 / 240) / 60)
    assert (len(all_of_them.values), all_of_them.sampling) == (240, 0)
