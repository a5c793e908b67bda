"""Succession of pools: a planted handover, and groups that only begin, only end, or do neither."""

import numpy as np
import pytest
from populations import (
    HOUR_US,
    START,
    NullUse,
    awkward_population,
    awkward_setting,
    null_candidate,
    people,
    population_of,
)

from refrain.coordination.controls import Strata
from refrain.coordination.results import Candidate, Candidates, TestResult, candidate
from refrain.coordination.succession import Handovers, SuccessionRule, pools_replaced
from refrain.population import DAY_US, Population

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
    return of_one(candidate(own, population), population, rule)


def of_one(own: Candidate, population: Population, rule: SuccessionRule = RULE) -> TestResult:
    """The test of one candidate."""
    setting = awkward_setting(population)
    return pools_replaced(Candidates.of([own]), setting, Handovers(population, setting.strata, rule)).one(0)


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
    assert "less than 48 hours" in str(of_one(own, population).off)
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
    result = of_one(own, population)
    assert result.p_value is not None
    assert result.p_value > 0.01


def test_many_candidates_are_as_each_alone_and_as_a_loop_over_moments() -> None:
    population = awkward_population(0, owners=500, days=6)
    setting = awkward_setting(population)
    handovers = Handovers(population, setting.strata, RULE)
    rng = np.random.default_rng(0)
    own = [
        null_candidate(population, setting.strata, NullUse(users, 0.0, in_a_row=False), rng)
        for users in (2, 30, 150, 12, 300)
    ]
    first, last, _, _ = population.spans
    middle = START // DAY_US + 3
    for gone, later in ((8, 9), (20, 16), (5, 40)):
        ends, begins = (
            np.flatnonzero((t // DAY_US == day) & (population.activity >= 4))[:many]
            for t, day, many in ((last, middle - 1, gone), (first, middle, later))
        )
        rows = np.flatnonzero(np.isin(population.request_owner, np.concatenate([ends, begins])))
        own.append(candidate(rows, population))
    found = pools_replaced(Candidates.of(own), setting, handovers)
    assert np.isnan(found.p_values[0])
    assert (found.p_values < 0.05).any()
    for place, one in enumerate(own):
        alone = pools_replaced(Candidates.of([one]), setting, handovers)
        assert found.p_values[place].tobytes() == alone.p_values[0].tobytes()
        assert str(found.one(place)) == str(alone.one(0))
        if found.one(place).p_value is not None:
            assert found.p_values[place] == pytest.approx(_by_hand(one, population, setting.strata))


def _by_hand(one: Candidate, population: Population, strata: Strata) -> float:
    """The p-value by a loop over moments."""
    first, last, start, end = population.spans
    able = np.flatnonzero(population.activity >= RULE.min_requests)
    users = np.intersect1d(one.owners, able)
    window = RULE.hours * HOUR_US
    moments = range(start + window, end - window + 1, RULE.step_hours * HOUR_US)
    smallest = 1.0
    for moment in moments:
        tails, counts = [], []
        for times, low, high in (
            (last, moment - window, min(moment, end - window)),
            (first, max(moment, start + window), moment + window),
        ):
            kind = (times >= low) & (times < high)
            counts.append(int(kind[users].sum()))
            matched = [kind[able[strata.of_owner[able] == strata.of_owner[u]]].mean() for u in users]
            moved = []
            for user in users:
                shifts = [
                    times[user] + shift * DAY_US
                    for shift in range(-20, 21)
                    if start // DAY_US <= first[user] // DAY_US + shift
                    and last[user] // DAY_US + shift <= end // DAY_US
                ]
                moved.append(np.mean([low <= t < high for t in shifts]))
            for chances in (matched, moved):
                law = np.ones(1)
                for chance in chances:
                    law = np.convolve(law, [1 - chance, chance])
                tails.append(float(law[counts[-1] :].sum()))
        if min(counts) >= RULE.min_owners:
            smallest = min(smallest, max(tails) * len(moments))
    return smallest
