"""Adoption from one day on: enumeration for the tail and the chances, a planted pool, and honest bursts."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import START, NullUse, awkward_population, awkward_setting, null_candidate, population_of
from scipy import stats

from refrain.coordination.adoption import adopted_together, poisson_binomial_tails
from refrain.coordination.results import Candidate, Candidates, TestResult, candidate
from refrain.population import DAY_US, Population


@given(st.lists(st.floats(0, 1), max_size=7), st.integers(0, 8))
def test_the_poisson_binomial_tail_against_enumeration(chances: list[float], at_least: int) -> None:
    total = 0.0
    for outcome in product([0, 1], repeat=len(chances)):
        if sum(outcome) >= at_least:
            total += float(np.prod([c if o else 1 - c for c, o in zip(chances, outcome, strict=True)]))
    found = poisson_binomial_tails(np.array(chances), np.array([len(chances)]), np.array([at_least]))
    assert found.tolist() == [pytest.approx(total, abs=1e-12)]


@given(st.lists(st.integers(0, 40), min_size=1, max_size=30), st.integers(0, 1000))
def test_poisson_binomial_tails_of_many_are_those_of_each(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    many = np.array(sizes, np.int64)
    chances, at_least = rng.random(many.sum()), rng.integers(0, many + 2)
    found = poisson_binomial_tails(chances, many, at_least)
    parts = np.split(chances, np.cumsum(many)[:-1])
    alone = [
        poisson_binomial_tails(*(np.atleast_1d(x) for x in one))[0] for one in zip(parts, many, at_least, strict=True)
    ]
    assert found.tolist() == alone


@pytest.mark.parametrize("shape", [(0.02, 900), (0.3, 300), (0.9, 500), (0.999, 40)])
def test_long_tails_keep_their_digits(shape: tuple[float, int]) -> None:
    chance, many = shape
    counts = np.unique(np.clip(np.array([0.5, 1, 1.1, 1.5, 3]) * chance * many, 1, many).astype(int))
    found = poisson_binomial_tails(np.full(many * len(counts), chance), np.full(len(counts), many), counts)
    exact = stats.binom.sf(counts - 1, many, chance)
    assert found.tolist() == pytest.approx(exact.tolist(), rel=1e-9, abs=1e-300)


def adoption(use_from: list[int], use_days: list[int], days: int = 14) -> TestResult:
    """The test of owners who send twice on every day and use the template from one day on for some days in a row."""
    owners = len(use_from)
    owner, day = np.repeat(np.arange(owners), 2 * days), np.tile(np.repeat(np.arange(days), 2), owners)
    population = population_of(owner, START + day * DAY_US + np.tile([0, 1], owners * days), owners)
    first, many = np.array(use_from)[population.request_owner], np.array(use_days)[population.request_owner]
    used = (population.days >= first) & (population.days < first + many)
    own = Candidates.of([candidate(np.flatnonzero(used), population)])
    return adopted_together(own, awkward_setting(population)).one(0)


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


def test_many_candidates_are_as_each_alone_and_as_a_loop_over_days() -> None:
    population = awkward_population(0, owners=400)
    setting = awkward_setting(population)
    rng = np.random.default_rng(0)
    own = [
        null_candidate(population, setting.strata, NullUse(users, tilt, in_a_row=True), rng)
        for users, tilt in ((1, 0.0), (4, 0.0), (5, 1.0), (60, 0.0), (9, -1.0), (250, 0.0), (12, 1.0))
    ]
    own.append(candidate(population.requests_of(0), population))  # all that the owner sends: no room
    late = np.flatnonzero(population.days >= 9)
    own += [candidate(rng.choice(late, 15, replace=False), population) for _ in range(6)]
    found = adopted_together(Candidates.of(own), setting)
    assert np.isnan(found.p_values[7])
    assert (found.p_values < 0.5).sum() >= 3
    for place, one in enumerate(own):
        alone = adopted_together(Candidates.of([one]), setting)
        assert found.p_values[place].tobytes() == alone.p_values[0].tobytes()
        assert str(found.one(place)) == str(alone.one(0))
        assert found.p_values[place] == pytest.approx(_by_hand(one, population), nan_ok=True)


def _by_hand(one: Candidate, population: Population) -> float:
    """The p-value by a loop over days and users."""
    last = int(population.days.max())
    smallest = np.nan
    for day in range(1, last + 1):
        chances, adopted = [], 0
        for owner in one.owners:
            sent = population.days[population.requests_of(int(owner))]
            used = np.flatnonzero(np.isin(population.requests_of(int(owner)), one.requests))
            active = np.unique(sent)
            span_days = ((active >= sent[used[0]]) & (active < sent[used[-1]])).sum()
            by_days = max(len(active) - span_days - (active < day).sum(), 0) / (len(active) - span_days)
            places = len(sent) - (used[-1] - used[0])
            chance = max(by_days, max(places - (sent < day).sum(), 0) / places)
            if 0 < chance < 1:
                chances.append(float(chance))
                adopted += int(sent[used[0]] >= day)
        if chances:
            law = np.ones(1)
            for chance in chances:
                law = np.convolve(law, [1 - chance, chance])
            smallest = np.nanmin([smallest, law[adopted:].sum()])
    return float(np.minimum(1, smallest * last))
