"""Succession of pools: a planted handover, and groups that only begin, only end, or do neither."""

import numpy as np
from populations import START, awkward_setting, people, population_of

from refrain.coordination.results import TestResult, candidate
from refrain.coordination.succession import SuccessionRule, pools_replaced
from refrain.population import DAY_US

RULE = SuccessionRule(hours=24, step_hours=6, min_requests=4, min_owners=5)
POOL = 20
HANDOVER = START + 8 * DAY_US


def succession(
    first_half_ends: bool, second_half_begins: bool, *, seed: int = 0, rule: SuccessionRule = RULE
) -> TestResult:
    owner, time = people(seed, requests=40)
    gone = first_half_ends & (owner < POOL // 2) & (time >= HANDOVER)
    later = second_half_begins & (owner >= POOL // 2) & (owner < POOL) & (time < HANDOVER)
    kept = ~(gone | later)
    population = population_of(owner[kept], time[kept], int(owner.max()) + 1)
    own = np.flatnonzero(population.request_owner < POOL)
    return pools_replaced(candidate(own, population), awkward_setting(population), rule)


def test_a_pool_that_is_replaced_is_seen_with_its_moment() -> None:
    result = succession(True, True)
    assert result.p_value is not None
    assert result.p_value < 0.005
    assert result.observed >= POOL // 4
    assert str(np.datetime64(HANDOVER, "us"))[:7] in result.text  # the month; the day may be the one before or after


def test_users_who_only_end_or_only_begin_are_no_succession() -> None:
    for ends, begins in ((True, False), (False, True), (False, False)):
        result = succession(ends, begins)
        assert result.p_value is not None
        assert result.p_value > 0.01


def test_a_log_of_two_days_and_a_handful_of_users_switch_it_off() -> None:
    owner, time = people(0)
    time = START + (time - START) % (2 * DAY_US - 1)
    population = population_of(owner, time, int(owner.max()) + 1)
    own = candidate(np.arange(len(owner)), population)
    assert "less than 48 hours" in str(pools_replaced(own, awkward_setting(population), RULE).off)
    few = SuccessionRule(hours=24, step_hours=6, min_requests=4, min_owners=POOL)
    assert "fewer than 40 users" in str(succession(True, True, rule=few).off)


def test_users_of_fewer_days_are_no_succession_by_that_alone() -> None:
    """On a log of four days, whoever sends on two of them ends early or begins late more often than the others."""
    rng = np.random.default_rng(2)
    owner = np.repeat(np.arange(1200), 12)
    few = np.arange(1200) % 4 == 0
    days = [rng.choice(4, 2, replace=False) if short else np.arange(4) for short in few]
    time = (
        START + np.concatenate([rng.choice(own, 12) for own in days]) * DAY_US + rng.integers(DAY_US, size=len(owner))
    )
    population = population_of(owner, time, 1200)
    group = np.flatnonzero(few)[:200]
    own = candidate(np.flatnonzero(np.isin(population.request_owner, group)), population)
    result = pools_replaced(own, awkward_setting(population), RULE)
    assert result.p_value is not None
    assert result.p_value > 0.01
