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
from refrain.coordination.synchrony import MINUTE_US, drawn_requests, minutes_of, same_instants, same_minutes
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
    assert instants < 1e-6


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


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=40))
def test_coincidences_against_a_plain_loop(sent: list[tuple[int, int, int]]) -> None:
    sets, owners, minutes = (np.array(column) for column in zip(*sent, strict=True))
    expected = [
        sum(max(len({o for s, o, m in sent if (s, m) == (one, minute)}) - 1, 0) for minute in range(7))
        for one in range(3)
    ]
    assert synchrony._coincidences(sets, owners, minutes, 3).tolist() == expected


def test_agreement_is_the_mean_product_over_pairs_of_owners() -> None:
    rng = np.random.default_rng(4)
    owners, bins = np.sort(rng.integers(5, size=60)), rng.integers(6, size=60)
    profile = rng.dirichlet(np.ones(6))
    shares = np.array([np.bincount(bins[owners == o], minlength=6) / (owners == o).sum() for o in range(5)])
    deviation = (shares - profile) / np.sqrt(profile)
    expected = np.mean([(deviation[a] * deviation[b]).mean() for a, b in combinations(range(5), 2)])
    assert synchrony._agreement(np.zeros_like(owners), owners, bins, profile).tolist() == pytest.approx([expected])


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
        rows = controls.requests[controls.place == number]
        assert population.position[rows].tolist() == np.concatenate(places).tolist()
        assert len(set(population.request_owner[rows].tolist())) == 3


def test_controls_who_sent_less_use_what_they_have() -> None:
    population = awkward_population(0, owners=200)
    setting = awkward_setting(population)
    busy = np.argsort(-population.activity)[:10]
    own = candidate(np.flatnonzero(np.isin(population.request_owner, busy)), population)
    controls = drawn_requests(own, setting, draw(setting.strata, own.owners, 30, setting.rng(own, 0)))
    assert np.bincount(controls.place).tolist() == [len(own.requests)] * 30
    assert (controls.requests < len(population.request_owner)).all()
