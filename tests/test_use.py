"""Use: planted pools that repeat and that do nothing else, and a log without other templates."""

import numpy as np
import pytest
from numpy.typing import NDArray
from populations import NullUse, awkward_population, awkward_setting, null_candidate, people, population_of

from refrain.coordination.combine import cauchy_combination
from refrain.coordination.controls import middle_rank, upper_shares
from refrain.coordination.results import Candidates, candidate
from refrain.coordination.tails import top_tail, uniform_sum_tail
from refrain.coordination.use import UseReference, dedication, repetition, use_reference
from refrain.population import Population

Floats = NDArray[np.float64]


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
    own = Candidates.of([candidate(np.concatenate(rows), population)])
    setting = awkward_setting(population)
    repeated, dedicated = (test(own, setting, reference).one(0) for test in (repetition, dedication))
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
        result = repetition(Candidates.of([candidate(rows, population)]), setting, reference).one(0)
        assert result.p_value is not None
        return result.p_value

    assert p_value(range(10)) < 1e-6
    assert p_value(range(100, 110)) > 0.8


def test_it_is_off_where_no_other_template_recurs() -> None:
    population = population_of(*people(0), 240)
    nothing = use_reference(population, np.zeros(0, np.int64), np.zeros(0, np.int64), 6)
    own = Candidates.of([candidate(np.arange(50), population)])
    for test in (repetition, dedication):
        found = test(own, awkward_setting(population), nothing)
        assert np.isnan(found.p_values).all()
        assert found.one(0).off == "no other template recurs among owners this active"


def _by_hand(pairs: list[tuple[Floats, float]]) -> float:
    """The p-value of values, each with the pool that it is compared with."""
    beyond = sum(middle_rank(pool, value) - 0.5 for pool, value in pairs)
    upper = np.array([upper_shares(pool, np.array([value]))[0] for pool, value in pairs])
    total = uniform_sum_tail(np.array([beyond]), np.array([len(pairs)]))
    tops = top_tail(upper, np.zeros(len(pairs), np.int64), 1)
    return cauchy_combination([float(total[0]), float(tops[0])])


def test_many_candidates_are_as_each_alone() -> None:
    """Owners of some bins use no other template: some candidates have none to compare, others some users without."""
    population = awkward_population(0, owners=400)
    setting = awkward_setting(population)
    rng = np.random.default_rng(0)
    owners = np.repeat(np.flatnonzero(population.activity > 6), 3)
    reference = use_reference(population, owners, np.minimum(rng.geometric(0.5, len(owners)), 4), 6)
    own = [
        null_candidate(population, setting.strata, NullUse(users, tilt, in_a_row=False), rng)
        for users, tilt in ((1, -2.0), (3, -2.0), (8, 0.0), (30, 1.0), (200, 0.0))
    ]
    own.append(candidate(population.requests_of(int(np.argmin(population.activity))), population))
    many = Candidates.of(own)
    for test, pools in ((repetition, reference.counts), (dedication, reference.shares)):
        found = test(many, setting, reference)
        assert np.isnan(found.p_values).any()
        assert (~np.isnan(found.p_values)).sum() >= 3
        for place, one in enumerate(own):
            alone = test(Candidates.of([one]), setting, reference)
            assert found.p_values[place].tobytes() == alone.p_values[0].tobytes()
            assert str(found.one(place)) == str(alone.one(0))
            values = [
                count if pools is reference.counts else count / population.activity[owner]
                for owner, count in zip(one.owners, one.counts, strict=True)
            ]
            pairs = [
                (pools.values[reference.bin_of_owner[owner]], value)
                for owner, value in zip(one.owners, values, strict=True)
            ]
            pairs = [(pool, value) for pool, value in pairs if len(pool)]
            assert (not pairs) == np.isnan(found.p_values[place])
            if pairs:
                assert found.one(place).p_value == pytest.approx(_by_hand(pairs), rel=1e-9)
