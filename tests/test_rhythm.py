"""Round the clock: the mean cosine of all pairs, a planted pool, and machines among the busiest owners."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import (
    START,
    NullUse,
    awkward_population,
    awkward_setting,
    null_candidate,
    people,
    population_of,
)
from scipy import stats

from refrain.coordination.controls import middle_rank
from refrain.coordination.results import Candidate, Candidates, Setting, TestResult, candidate
from refrain.coordination.rhythm import (
    RhythmRule,
    Rhythms,
    concentration,
    concentrations,
    own_rhythms,
    round_the_clock,
)
from refrain.coordination.tails import uniform_sum_tail
from refrain.population import DAY_US

RULE = RhythmRule(min_requests=4, max_requests=40, min_owners=5)


@given(st.lists(st.floats(0, 24, exclude_max=True), min_size=2, max_size=12))
def test_concentration_is_the_mean_cosine_of_all_pairs(hours: list[float]) -> None:
    angles = np.array(hours) * 2 * np.pi / 24
    pairs = np.cos(angles[:, None] - angles[None, :])[~np.eye(len(hours), dtype=bool)]
    assert float(concentration(np.array(hours))) == pytest.approx(pairs.mean(), abs=1e-12)


@given(st.lists(st.lists(st.floats(0, 24, exclude_max=True), min_size=2, max_size=30), max_size=6))
def test_concentrations_of_many_are_those_of_each(hours: list[list[float]]) -> None:
    flat, many = np.array([h for user in hours for h in user], float), np.array([len(user) for user in hours], np.int64)
    expected = [float(concentration(np.array(user))) for user in hours]
    assert concentrations(flat, many).tolist() == pytest.approx(expected, abs=1e-12)


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
    return of_one(own, setting, Rhythms(population, setting.strata, controls, 0))


def of_one(own: Candidate, setting: Setting, rhythms: Rhythms) -> TestResult:
    """The test of one candidate."""
    return round_the_clock(Candidates.of([own]), setting, rhythms, RULE).one(0)


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
        result = of_one(candidate(rows, population), setting, rhythms)
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


def test_many_candidates_are_as_each_alone_and_as_a_loop_over_the_users() -> None:
    population = awkward_population(0, owners=600)
    setting = awkward_setting(population)
    rhythms = Rhythms(population, setting.strata, 40, 0)
    rng = np.random.default_rng(0)
    rule = RhythmRule(min_requests=3, max_requests=6, min_owners=5)
    own = [
        null_candidate(population, setting.strata, NullUse(users, 1.0, in_a_row=False), rng)
        for users in (3, 12, 15, 60, 14, 250)
    ]
    many = Candidates.of(own)
    found, ranks = round_the_clock(many, setting, rhythms, rule), own_rhythms(many, setting, rhythms, rule)
    assert np.isnan(found.p_values).any()
    assert (~np.isnan(found.p_values)).sum() >= 3
    for place, one in enumerate(own):
        single = Candidates.of([one])
        alone, theirs = round_the_clock(single, setting, rhythms, rule), own_rhythms(single, setting, rhythms, rule)
        assert found.p_values[place].tobytes() == alone.p_values[0].tobytes()
        assert str(found.one(place)) == str(alone.one(0))
        mine = many.group[ranks.user] == place
        assert ranks.rank[mine].tolist() == theirs.rank.tolist()
        assert (ranks.user[mine] - many.bounds[place]).tolist() == theirs.user.tolist()
        shared: dict[int, list[float]] = {}
        for user, rank in zip(theirs.user, theirs.rank, strict=True):
            owner, stratum = one.owners[user], int(setting.strata.of_owner[one.owners[user]])
            rows = one.requests[one.request_owner == owner]
            pool = rhythms.of(stratum, min(len(rows), 6))
            assert len(rows) >= 3
            if len(rows) <= 6:
                value = float(concentration(population.hours[rows]))
                assert rank == pytest.approx(middle_rank(pool.values, value), abs=1.01 / len(pool.values))
            shared.setdefault(stratum, []).append(pool.sampling)
        if alone.one(0).p_value is not None:
            wider = 1 + sum(len(s) ** 2 * max(s) for s in shared.values()) / len(theirs.rank)
            beyond = (0.5 - theirs.rank).sum() / np.sqrt(wider)
            [p] = uniform_sum_tail(np.array([beyond]), np.array([len(theirs.rank)]))
            assert found.one(place).p_value == pytest.approx(p)


def test_which_requests_of_a_busy_user_are_looked_at_is_drawn_by_lot() -> None:
    """Half of the requests lie together, half do not: the concentration of six of them varies around that of all."""
    hours = np.tile([6.0, 0.0, 6.0, 12.0, 6.0, 18.0], 50)
    owner = np.repeat(np.arange(60), len(hours))
    population = population_of(owner, START + np.tile((hours * 3600e6).astype(np.int64), 60), 60)
    setting = awkward_setting(population)
    rule = RhythmRule(min_requests=4, max_requests=6, min_owners=5)
    own = Candidates.of([candidate(np.arange(len(owner)), population)])
    values = own_rhythms(own, setting, Rhythms(population, setting.strata, 60, 0), rule).value
    assert len(set(values.round(6).tolist())) > 3
    assert values.mean() == pytest.approx(float(concentration(hours)), abs=0.12)
