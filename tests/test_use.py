"""Use: planted pools that repeat and that do nothing else, and a log without other templates."""

import numpy as np
import pytest
from populations import awkward_setting, people, population_of

from refrain.coordination.results import candidate
from refrain.coordination.use import UseReference, dedication, repetition, use_reference
from refrain.population import Population


def population_and_reference() -> tuple[Population, UseReference]:
    """240 people with 24 requests each; every one uses five templates a few times."""
    population = population_of(*people(0), 240)
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(240), 5)
    return population, use_reference(population, owners, rng.geometric(0.6, len(owners)), 6)


def p_values(uses: int, seed: int = 1) -> tuple[float, float]:
    """Of twelve users with so many uses each."""
    population, reference = population_and_reference()
    rng = np.random.default_rng(seed)
    rows = [rng.choice(population.requests_of(int(o)), uses, replace=False) for o in rng.choice(240, 12, replace=False)]
    own, setting = candidate(np.concatenate(rows), population), awkward_setting(population)
    repeated, dedicated = repetition(own, setting, reference), dedication(own, setting, reference)
    assert repeated.observed == uses
    assert dedicated.observed == pytest.approx(uses / 24)
    assert repeated.p_value is not None
    assert dedicated.p_value is not None
    return repeated.p_value, dedicated.p_value


def test_a_pool_that_does_little_else_is_seen() -> None:
    assert max(p_values(12)) < 1e-6


def test_users_who_try_it_once_are_not() -> None:
    assert min(p_values(1)) > 0.1


def test_owners_are_compared_with_owners_who_are_as_active() -> None:
    """Ten requests of a busy owner are few, of an owner with twelve many."""
    activity = np.array([12] * 100 + [200] * 100)
    owner = np.repeat(np.arange(200), activity)
    population = population_of(owner, np.arange(len(owner)), 200)
    reference = use_reference(population, np.arange(200), activity // 10, 2)
    setting = awkward_setting(population)

    def p_value(owners: range) -> float:
        rows = np.concatenate([population.requests_of(o)[:10] for o in owners])
        result = repetition(candidate(rows, population), setting, reference)
        assert result.p_value is not None
        return result.p_value

    assert p_value(range(10)) < 1e-6
    assert p_value(range(100, 110)) > 0.8


def test_it_is_off_where_no_other_template_recurs() -> None:
    population = population_of(*people(0), 240)
    nothing = use_reference(population, np.zeros(0, np.int64), np.zeros(0, np.int64), 6)
    own = candidate(np.arange(50), population)
    for test in (repetition, dedication):
        assert (
            test(own, awkward_setting(population), nothing).off == "no other template recurs among owners this active"
        )
