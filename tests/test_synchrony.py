"""Synchrony: plain loops for agreement and coincidence, planted pools, jobs on the hour and at midnight."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
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
from scipy import stats

from refrain.coordination import synchrony
from refrain.coordination.drawing import draw
from refrain.coordination.drawn_requests import DrawnRequests
from refrain.coordination.results import Candidate, Candidates, Setting, TestResult, TestResults, candidate
from refrain.coordination.synchrony import Profile, minutes_of, same_instants, same_minutes
from refrain.population import DAY_US, MINUTE_US, Population

Times = Callable[[int, np.random.Generator], NDArray[np.int64]]
POOL = 12


def controls_of(own: Candidates, setting: Setting) -> DrawnRequests:
    return DrawnRequests(own, setting.population, draw(own, setting.strata, setting.draws, setting.seed, 0))


def side_by_side(own: Candidates, setting: Setting) -> tuple[TestResults, TestResults]:
    controls = controls_of(own, setting)
    return same_minutes(own, setting, controls, minutes_of(setting.population, 30)), same_instants(
        own, setting, controls, 2
    )


def both(own: Candidate, setting: Setting) -> tuple[TestResult, TestResult]:
    minutes, instants = side_by_side(Candidates.of([own]), setting)
    return minutes.one(0), instants.one(0)


def owners_with(uses: Sequence[int]) -> Candidates:
    """One candidate whose owners have so many requests each; of nothing else is anything to be asked."""
    rows = np.arange(sum(uses))
    return Candidates.made(rows, np.arange(len(uses)), np.array(uses), np.array([0, len(uses)]))


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
    order = np.argsort(owners, kind="stable")
    _, uses = np.unique(owners, return_counts=True)
    own = owners_with(uses.tolist())
    many = np.concatenate([np.stack(minutes), np.full((1, len(owners)), -since)])[:, order]
    assert synchrony._coincidences(own, many)[0, :3].tolist() == expected


def test_agreement_is_the_mean_product_over_pairs_of_owners() -> None:
    rng = np.random.default_rng(4)
    owners, bins = np.sort(rng.integers(5, size=60)), rng.integers(6, size=60)
    profile = Profile.of(rng.dirichlet(np.ones(6))[None])
    shares = np.array([[np.mean(bins[owners == owner] == part) for part in range(6)] for owner in range(5)])
    deviation = (shares - profile.expected) * profile.scale
    expected = np.mean([(deviation[a] * deviation[b]).mean() for a, b in combinations(range(5), 2)])
    own = owners_with(np.bincount(owners).tolist())
    found = synchrony._agreement(synchrony._Shares.of(own, bins[None], 6), own, profile)
    assert found.tolist() == [pytest.approx([expected])]


def test_turned_round_the_hour_against_every_turn_of_two_owners() -> None:
    rng = np.random.default_rng(5)
    profile = Profile.of(rng.dirichlet(np.ones(4))[None])
    own, bins = owners_with([7, 9]), rng.integers(4, size=16)
    shares = synchrony._Shares.of(own, bins[None], 4)
    every = []
    for one in range(4):
        for other in range(4):
            turned_bins = (bins + np.repeat([one, other], [7, 9])) % 4
            every.append(synchrony._agreement(synchrony._Shares.of(own, turned_bins[None], 4), own, profile)[0, 0])
    owner, time = people(0, 20)
    setting = replace(awkward_setting(population_of(owner, time, 20)), draws=4000)
    turned = synchrony._turned(shares, own, profile, setting)[0]
    assert {round(float(value), 9) for value in turned} == {round(float(value), 9) for value in every}
    assert turned.mean() == pytest.approx(np.mean(every), abs=4 * np.std(every) / np.sqrt(4000))


def test_side_by_side_is_as_alone() -> None:
    population = awkward_population(1, owners=500)
    setting = awkward_setting(population, draws=40)
    rng = np.random.default_rng(2)
    alone = [
        null_candidate(population, setting.strata, NullUse(users, tilt, False), rng)
        for users, tilt in ((5, 0), (60, 1), (1, 0), (9, -1), (200, 0))
    ]
    together = side_by_side(Candidates.of(alone), setting)
    for place, own in enumerate(alone):
        assert repr([found.one(place) for found in together]) == repr(list(both(own, setting)))  # nan is not nan


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
    for drawn in np.concatenate(list(controls_of(Candidates.of([own]), setting).some())):
        rows = population.by_owner[drawn]
        assert population.position[rows].tolist() == np.concatenate(places).tolist()
        assert len(set(population.request_owner[rows].tolist())) == 3


def test_controls_who_sent_less_use_what_they_have() -> None:
    population = awkward_population(0, owners=200)
    setting = awkward_setting(population)
    busy = np.argsort(-population.activity)[:10]
    own = candidate(np.flatnonzero(np.isin(population.request_owner, busy)), population)
    rows = population.by_owner[np.concatenate(list(controls_of(Candidates.of([own]), setting).some()))]
    assert rows.shape == (setting.draws, len(own.requests))
    assert (np.diff(population.request_owner[rows[0]]) != 0).sum() + 1 == 10
