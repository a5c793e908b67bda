"""Synchrony: plain loops for agreement and coincidence, planted pools, jobs on the hour and at midnight."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from populations import HOUR_US, START, awkward_population, awkward_setting, people, population_of
from scipy import stats

from refrain.coordination import synchrony
from refrain.coordination.controls import draw
from refrain.coordination.results import Candidate, Setting, TestResult, candidate
from refrain.coordination.synchrony import MINUTE_US, Profile, drawn_requests, minutes_of, same_instants, same_minutes
from refrain.population import DAY_US, Population

Times = Callable[[int, np.random.Generator], NDArray[np.int64]]
POOL = 12


def both(own: Candidate, setting: Setting) -> tuple[TestResult, TestResult]:
    controls = drawn_requests(own, setting, draw(setting.strata, own.owners, setting.draws, setting.rng(own, 0)))
    return same_minutes(own, setting, controls, minutes_of(setting.population, 30)), same_instants(
        own, setting, controls, 2
    )


def planted(times: Times) -> tuple[float, float]:
    """P-values of a pool that sends at these times (of a number of requests) among people who send at any minute."""
    rng = np.random.default_rng(0)
    owner, time = people(0)
    more = np.repeat(240 + np.arange(POOL), 24)
    population = population_of(
        np.concatenate([owner, more]),
        np.concatenate([time, START + np.concatenate([times(24, rng) for _ in range(POOL)])]),
        240 + POOL,
    )
    own = candidate(np.flatnonzero(population.request_owner >= 240), population)
    minutes, instants = both(own, awkward_setting(population))
    assert minutes.p_value is not None
    assert instants.p_value is not None
    return minutes.p_value, instants.p_value


def test_a_pool_on_the_same_minutes_of_the_hour_is_seen() -> None:
    minutes, instants = planted(lambda n, rng: rng.integers(14 * 24, size=n) * HOUR_US + 17 * MINUTE_US)
    assert minutes < 1e-6
    assert instants > 0.01  # any of 336 hours: meeting is by chance


def test_a_pool_that_is_dispatched_together_is_seen() -> None:
    slots = np.random.default_rng(9).integers(14 * 24 * 60, size=60) * MINUTE_US
    _, instants = planted(lambda n, rng: rng.choice(slots, n, replace=False))
    assert instants < 1e-5


def test_people_are_not_seen() -> None:
    minutes, instants = planted(lambda n, rng: rng.integers(14 * DAY_US, size=n))
    assert min(minutes, instants) > 1e-3


def test_everybodys_jobs_at_midnight_are_no_appointment() -> None:
    rng = np.random.default_rng(3)
    owner = np.repeat(np.arange(200), 10)
    days = np.concatenate([rng.choice(14, 10, replace=False) for _ in range(200)])
    population = population_of(owner, START + days * DAY_US + rng.integers(30, size=2000) * 1_000_000, 200)
    setting = awkward_setting(population)
    p_values = []
    for _ in range(60):
        rows = np.concatenate([population.requests_of(int(o))[:6] for o in rng.choice(200, 10, replace=False)])
        _, instants = both(candidate(rows, population), setting)
        assert instants.p_value is not None
        p_values.append(instants.p_value)
    assert stats.kstest(p_values, "uniform", alternative="greater").pvalue > 1e-6


def test_both_are_off_for_one_user() -> None:
    population = population_of([0, 0, 1], [START, START + 1, START], 2)
    minutes, instants = both(candidate(np.array([0, 2]), population), awkward_setting(population))
    assert minutes.off == instants.off == "there are fewer than two users"


@given(
    st.lists(st.tuples(st.integers(0, 4), *[st.integers(0, 6)] * 3), min_size=1, max_size=40),
    st.sampled_from([0, 2**40]),
)
def test_coincidences_against_a_plain_loop(sent: list[tuple[int, int, int, int]], since: int) -> None:
    """Three sets, in which the same owners send at other minutes; since long ago, numbers need 64 bits."""
    owners, *minutes = (np.array(column) for column in zip(*sent, strict=True))
    expected = [
        sum(max(len({o for o, m in zip(owners.tolist(), row.tolist(), strict=True) if m == minute}) - 1, 0)
            for minute in range(7))
        for row in minutes
    ]  # fmt: skip
    many = np.concatenate([np.stack(minutes), np.full((1, len(owners)), -since)])
    assert synchrony._coincidences(owners, many)[:3].tolist() == expected
    assert synchrony._coincidences(np.tile(owners, (4, 1)), many)[:3].tolist() == expected


def test_agreement_is_the_mean_product_over_pairs_of_owners() -> None:
    rng = np.random.default_rng(4)
    owners, bins = np.sort(rng.integers(5, size=60)), rng.integers(6, size=60)
    profile = Profile.of(rng.dirichlet(np.ones(6)))
    distinct, rows = np.unique(owners, return_inverse=True)
    shares = synchrony._shares(rows[None], bins[None], len(distinct), 6)[0]
    deviation = (shares - profile.expected) * profile.scale
    expected = np.mean([(deviation[a] * deviation[b]).mean() for a, b in combinations(range(5), 2)])
    assert synchrony._agreement(shares[None], profile).tolist() == pytest.approx([expected])
    for owner in range(5):
        assert shares[owner].tolist() == [float(np.mean(bins[owners == owner] == part)) for part in range(6)]


def test_turned_round_the_hour_against_every_turn_of_two_owners() -> None:
    rng = np.random.default_rng(5)
    profile, shares = Profile.of(rng.dirichlet(np.ones(4))), rng.dirichlet(np.ones(4), size=2)
    every = []
    for one in range(4):
        for other in range(4):
            pair = np.stack([np.roll(shares[0], one), np.roll(shares[1], other)])
            every.append(synchrony._agreement(pair[None], profile)[0])
    turned = synchrony._turned(shares, profile, 4000, rng)
    assert {round(float(value), 9) for value in turned} == {round(float(value), 9) for value in every}
    assert turned.mean() == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(4000))


def test_people_of_one_time_zone_have_no_appointments() -> None:
    """Shifts by hours make their waking hours broader; among hundreds of them the few per cent would tell."""
    rng = np.random.default_rng(11)
    owner = np.repeat(np.arange(1600), 12)
    peak = np.where(np.arange(1600) < 600, 14.0, rng.uniform(0, 24, 1600))[owner]
    hours = rng.integers(4, size=len(owner)) * 24 + np.mod(rng.normal(peak, 2.5), 24)
    population = population_of(owner, START + (hours * HOUR_US).astype(np.int64), 1600)
    _, instants = both(
        candidate(np.flatnonzero(population.request_owner < 600), population), awkward_setting(population)
    )
    assert instants.p_value is not None
    assert instants.p_value > 0.01


@pytest.mark.parametrize(("owners", "one_job_in", "jobs", "many"), [(1600, 4, False, 200), (400, 8, True, 8)])
def test_neither_people_nor_jobs_on_the_hour_agree_on_minutes(
    owners: int, one_job_in: int, jobs: bool, many: int
) -> None:
    """Everybody's profile has the jobs' minute in it: people all deviate from it in the same way, and so do jobs."""
    rng = np.random.default_rng(6)
    owner = np.repeat(np.arange(owners), 12)
    within = np.where(
        owner % one_job_in == 0, rng.integers(MINUTE_US, size=len(owner)), rng.integers(HOUR_US, size=len(owner))
    )
    population = population_of(owner, START + rng.integers(14 * 24, size=len(owner)) * HOUR_US + within, owners)
    group = np.flatnonzero((np.arange(owners) % one_job_in == 0) == jobs)[:many]
    users = candidate(np.flatnonzero(np.isin(population.request_owner, group)), population)
    minutes, _ = both(users, awkward_setting(population))
    assert minutes.p_value is not None
    assert minutes.p_value > 0.01


def test_bursts_at_minutes_of_their_own_do_not_agree_by_chance() -> None:
    """Evaluation runs: hundreds of requests within a minute or two, at any minute of the hour."""
    rng = np.random.default_rng(8)
    owner, time = people(0)
    p_values = []
    for _ in range(200):
        bursts = START + rng.integers(14 * 24 * 60, size=10)[:, None] * MINUTE_US + np.arange(40) * 2_000_000
        population = population_of(
            np.concatenate([owner, np.repeat(240 + np.arange(10), 40)]), np.concatenate([time, bursts.ravel()]), 250
        )
        own = candidate(np.flatnonzero(population.request_owner >= 240), population)
        minutes, _ = both(own, awkward_setting(population))
        assert minutes.p_value is not None
        p_values.append(minutes.p_value)
    assert np.mean(np.array(p_values) <= 0.01) <= 0.03
    assert min(p_values) > 1e-5


def as_users(population: Population, places: list[NDArray[np.int64]]) -> Candidate:
    return candidate(np.concatenate([population.requests_of(o)[p] for o, p in enumerate(places)]), population)


def test_controls_use_it_as_the_users_did() -> None:
    """In a population of equal activity every control has the user's places in its own traffic."""
    owner, time = people(0, owners=60)
    population = population_of(owner, time, 60)
    places = [np.array([0, 1, 2]), np.array([3, 9, 20]), np.array([23])]
    own, setting = as_users(population, places), awkward_setting(population)
    controls = drawn_requests(own, setting, draw(setting.strata, own.owners, 40, setting.rng(own, 0)))
    for number in range(40):
        rows = controls.requests[number]
        assert population.position[rows].tolist() == np.concatenate(places).tolist()
        assert len(set(population.request_owner[rows].tolist())) == 3


def test_controls_who_sent_less_use_what_they_have() -> None:
    population = awkward_population(0, owners=200)
    setting = awkward_setting(population)
    busy = np.argsort(-population.activity)[:10]
    own = candidate(np.flatnonzero(np.isin(population.request_owner, busy)), population)
    controls = drawn_requests(own, setting, draw(setting.strata, own.owners, 30, setting.rng(own, 0)))
    assert controls.requests.shape == controls.control.shape == (30, len(own.requests))
    assert (controls.requests < len(population.request_owner)).all()
