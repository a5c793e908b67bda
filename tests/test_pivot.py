"""Pivot to a new model: a planted pool, latecomers, and what switches the test off."""

import numpy as np
import pytest
from populations import START, awkward_setting, people, population_of

from refrain.coordination.models import moved_shares
from refrain.coordination.pivot import moved_together
from refrain.coordination.results import Candidates, TestResult, candidate
from refrain.population import DAY_US

OLD, NEW = 0, 1
POOL = 12
RELEASE = START + 7 * DAY_US


def pivot(pool_share: float, others_share: float, *, seed: int = 0) -> TestResult:
    owner, time = people(seed)
    rng = np.random.default_rng(seed)
    share = np.where(owner < POOL, pool_share, others_share)
    model = np.where((time >= RELEASE) & (rng.random(len(owner)) < share), NEW, OLD)
    population = population_of(owner, time, int(owner.max()) + 1, request_model=model)
    own = candidate(np.flatnonzero(population.request_owner < POOL), population)
    return moved_together(Candidates.of([own]), awkward_setting(population)).one(0)


def test_a_pool_that_moves_half_of_its_traffic_is_seen() -> None:
    result = pivot(0.5, 0.1)
    assert result.p_value is not None
    assert result.p_value < 1e-4
    assert result.observed == pytest.approx(0.5, abs=0.12)
    assert result.expected == pytest.approx(0.12, abs=0.06)


def test_users_who_move_as_everybody_does_are_not() -> None:
    p_values = [pivot(0.3, 0.3, seed=seed).p_value for seed in range(40)]
    assert np.mean([p is not None and p <= 0.05 for p in p_values]) <= 0.2


def test_who_came_after_the_release_has_no_share() -> None:
    # Owner 0 sends before and after, owner 1 after only, owner 2 before only.
    time = START + np.array([0, 7, 8, 8, 9, 0]) * DAY_US
    population = population_of([0, 0, 0, 1, 1, 2], time, 3, request_model=np.array([OLD, NEW, OLD, NEW, NEW, OLD]))
    (shares,) = moved_shares(population)
    assert shares[0] == pytest.approx(1 / 2)
    assert np.isnan(shares[1:]).all()


def test_a_log_without_models_or_without_a_new_one_switches_it_off() -> None:
    owner, time = people(0)
    for model, reason in ((np.full(len(owner), -1), "no model"), (np.zeros(len(owner), np.int64), "no model is new")):
        population = population_of(owner, time, int(owner.max()) + 1, request_model=model)
        own = Candidates.of([candidate(np.arange(50), population)])
        found = moved_together(own, awkward_setting(population))
        result = found.one(0)
        assert np.isnan(found.p_values).all()
        assert result.p_value is None
        assert reason in str(result.off)


def test_many_candidates_are_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    owner, time = people(0)
    late = owner >= 200  # owners who come when the models are there already
    time = np.where(late, np.maximum(time, RELEASE + 4 * DAY_US), time)
    newest = (time >= RELEASE + 3 * DAY_US) & (rng.random(len(owner)) < np.where(owner < POOL, 0.8, 0.1))
    model = np.where(newest, 2, np.where((time >= RELEASE) & (rng.random(len(owner)) < 0.3), NEW, OLD))
    population = population_of(owner, time, 240, request_model=model)
    setting = awkward_setting(population)
    assert len(setting.moved) == 2
    chosen = [np.arange(POOL), np.arange(200, 205), *(rng.choice(240, n, replace=False) for n in (1, 5, 30, 100))]
    alone = [candidate(np.flatnonzero(np.isin(population.request_owner, own)), population) for own in chosen]
    together = moved_together(Candidates.of(alone), setting)
    for place, own in enumerate(alone):
        single = moved_together(Candidates.of([own]), setting)
        assert np.array_equal(single.p_values, together.p_values[place : place + 1], equal_nan=True)
        # A result that is off has no numbers, and nan equals nothing.
        assert repr(single.one(0)) == repr(together.one(place))
    assert together.p_values[0] < 1e-4
    assert np.flatnonzero(np.isnan(together.p_values)).tolist() == [1]
    assert moved_together(Candidates.of([]), setting).p_values.tolist() == []
