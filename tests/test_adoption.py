"""Adoption from one day on: enumeration for the tail and the chances, a planted pool, and honest bursts."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import START, awkward_setting, population_of

from refrain.coordination.adoption import adopted_together, poisson_binomial_tail
from refrain.coordination.results import TestResult, candidate
from refrain.population import DAY_US


@given(st.lists(st.floats(0, 1), max_size=7), st.integers(0, 8))
def test_the_poisson_binomial_tail_against_enumeration(chances: list[float], at_least: int) -> None:
    total = 0.0
    for outcome in product([0, 1], repeat=len(chances)):
        if sum(outcome) >= at_least:
            total += float(np.prod([c if o else 1 - c for c, o in zip(chances, outcome, strict=True)]))
    assert poisson_binomial_tail(np.array(chances), at_least) == pytest.approx(total, abs=1e-12)


def adoption(use_from: list[int], use_days: list[int], days: int = 14) -> TestResult:
    """The test of owners who send twice on every day and use the template from one day on for some days in a row."""
    owners = len(use_from)
    owner, day = np.repeat(np.arange(owners), 2 * days), np.tile(np.repeat(np.arange(days), 2), owners)
    population = population_of(owner, START + day * DAY_US + np.tile([0, 1], owners * days), owners)
    first, many = np.array(use_from)[population.request_owner], np.array(use_days)[population.request_owner]
    used = (population.days >= first) & (population.days < first + many)
    return adopted_together(candidate(np.flatnonzero(used), population), awkward_setting(population))


def test_owners_who_take_it_up_on_one_day_are_seen() -> None:
    result = adoption([7] * 12, [7] * 12)
    assert result.p_value is not None
    assert result.p_value < 1e-3
    assert (result.observed, "day 8 " in result.text) == (12, True)


def test_owners_who_use_it_for_some_days_at_any_time_are_not() -> None:
    """The chance that a run of u days among n begins on day d or later is (n - u - d + 1) / (n - u + 1), not that of u
    days here and there."""
    rng = np.random.default_rng(0)
    smallest = []
    for _ in range(300):
        use_days = rng.integers(3, 8, 30)
        result = adoption([int(rng.integers(14 - u + 1)) for u in use_days], use_days.tolist())
        assert result.p_value is not None
        smallest.append(result.p_value)
    assert np.mean(np.array(smallest) <= 0.05) <= 0.05 + 5 * np.sqrt(0.05 / 300)


def test_the_chance_is_counted_over_the_places_where_a_use_of_this_length_fits() -> None:
    # One owner, four days, used on the last two: it could have begun on day 0, 1 or 2; by requests on 0 to 4 of 8.
    result = adoption([2], [2], days=4)
    assert result.expected == pytest.approx(1 / 3)


def test_it_is_off_where_nothing_can_be_adopted() -> None:
    assert adoption([0], [1], days=1).off == "the log covers one day only"
    everything = adoption([0, 0], [14, 14])
    assert everything.p_value is None
    assert everything.off == "no user could have used it earlier or later"
