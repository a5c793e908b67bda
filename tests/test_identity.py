"""Identity: plain loops for the counts, a planted pool for every test, and columns that are missing or partly known."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import (
    NullUse,
    awkward_population,
    awkward_setting,
    null_candidate,
    people,
    population_of,
    trait,
    without,
)
from scipy import stats

from refrain.coordination.controls import Strata
from refrain.coordination.drawing import draw
from refrain.coordination.holdings import Holdings
from refrain.coordination.identity import (
    TESTS,
    TESTS_BY_DRAWS,
    concentrated_p,
    many_networks,
    many_systems,
    one_client,
    repeats,
)
from refrain.coordination.results import Candidate, Candidates, Setting, TestResult, TestResults, candidate
from refrain.population import Population, Trait
from refrain.traits import partners

HAVING = st.lists(st.sets(st.integers(0, 8), max_size=4), min_size=1, max_size=12)
POOL = np.arange(20)


def of_everything(population: Population, owners: np.ndarray) -> Candidate:
    return candidate(np.flatnonzero(np.isin(population.request_owner, owners)), population)


def base() -> Population:
    """240 people, alike in activity, with cards, networks and clients of their own mixture."""
    rng = np.random.default_rng(0)
    owner, time = people(0)
    clients = rng.choice(40, 240, p=(w := 1 / np.arange(1, 41)) / w.sum())
    network = trait(
        np.arange(240), np.where(rng.random(240) < 0.3, rng.integers(6, size=240), 10 + np.arange(240)), 240
    )
    system = trait(np.arange(240), np.random.default_rng(9).integers(9, size=240), 240)
    card = trait(np.arange(240), np.where(rng.random(240) < 0.1, rng.integers(8, size=240), 10 + np.arange(240)), 240)
    return population_of(
        owner, time, 240, age_days=rng.lognormal(4, 1, 240), client=clients, card=card, network=network, asn=system
    )


def made(candidates: Candidates, setting: Setting) -> list[TestResults]:
    """All tests of these candidates."""
    sets = draw(candidates, setting.strata, setting.draws, setting.seed, 0)
    found = [test(candidates, setting) for test in TESTS]
    return found + [test(candidates, setting, sets) for test in TESTS_BY_DRAWS]


def all_tests(population: Population, owners: np.ndarray = POOL) -> dict[str, TestResult]:
    own = Candidates.of([of_everything(population, owners)])
    return {found.name: found.one(0) for found in made(own, awkward_setting(population))}


def p_of(result: TestResult) -> float:
    assert result.p_value is not None, result.off
    return result.p_value


def test_people_who_have_nothing_in_common_are_not_seen() -> None:
    assert {name: p_of(r) > 0.01 for name, r in all_tests(base()).items()} == dict.fromkeys(
        ["young", "client", "addresses", "systems", "card", "network"], True
    )


def test_young_accounts_are_seen() -> None:
    population = base()
    age = population.age_days.copy()
    age[POOL] = np.random.default_rng(1).uniform(0, 3, 20)
    result = all_tests(replace(population, age_days=age))["young"]
    assert p_of(result) < 1e-6
    assert result.observed < 3
    assert result.expected > 30


@pytest.mark.parametrize("code", [0, 30])
def test_one_client_is_seen_be_it_common_or_rare(code: int) -> None:
    population = base()
    client = population.client.copy()
    client[POOL] = code
    assert p_of(all_tests(replace(population, client=client))["client"]) < 1e-6


def test_a_pair_with_one_rare_client_is_no_evidence() -> None:
    population = awkward_population(0, owners=600)
    client = 10 + np.arange(600) // 2  # everybody shares a client with one other owner
    owners = np.array([0, 1, 50, 100, 200])
    result = all_tests(replace(population, client=client, clients=[str(c) for c in range(310)]), owners)["client"]
    # Five of 600 owners include a pair with a probability of 4/599 + 3/599 + ... = 1.7%.
    assert p_of(result) >= 10 / 599


def test_the_expected_share_of_a_client_counts_owners_whose_client_is_known() -> None:
    population = base()
    client = np.where(np.arange(240) % 2, 0, -1)
    result = all_tests(replace(population, client=client))["client"]
    assert (result.observed, result.expected, p_of(result)) == pytest.approx((1, 1, 1))


def shared_by(values_of_pool: np.ndarray, others: int = 240) -> Population:
    """The base with other values for the pool's cards and networks."""
    population = base()
    own = np.concatenate([300 + values_of_pool.ravel(), 1000 + np.arange(20, others)])
    owners = np.concatenate([np.repeat(POOL, values_of_pool.size // 20), np.arange(20, others)])
    return replace(population, card=trait(owners, own, 240), network=trait(owners, own, 240))


@pytest.mark.parametrize("name", ["card", "network"])
def test_values_shared_a_little_by_many_and_one_value_shared_by_all_are_seen(name: str) -> None:
    assert p_of(all_tests(shared_by(POOL // 4))[name]) < 1e-3
    assert p_of(all_tests(shared_by(np.zeros(20, int)))[name]) < 1e-6


def test_two_phones_on_the_same_many_networks_are_one_coincidence() -> None:
    values = np.arange(200).reshape(20, 10)
    values[1] = values[0]
    assert p_of(all_tests(shared_by(values))["network"]) > 1e-3


def test_many_networks_for_one_account_are_seen() -> None:
    population = base()
    owners = np.concatenate([np.repeat(POOL, 12), np.arange(20, 240)])
    spread = replace(population, network=trait(owners, np.arange(len(owners)), 240))
    assert p_of(all_tests(spread)["addresses"]) < 1e-6


def through(systems_of_pool: list[list[int]], *, known: bool = True) -> Population:
    """The base, whose pool's networks lie in these systems and everybody else's in one of nine: two networks a system
    for the pool, where it has several, twenty in one, where that is a carrier's. `known`: of all requests."""
    rng = np.random.default_rng(3)
    owners, networks, systems = list(range(20, 240)), list(range(220)), rng.integers(9, size=220).tolist()
    for owner, own in zip(POOL.tolist(), systems_of_pool, strict=True):
        for system in own:
            many = 20 if len(own) == 1 else 2
            owners += [owner] * many
            networks += (1000 + 1000 * system + rng.permutation(1000)[:many]).tolist()
            systems += [system] * many
    return replace(
        base(),
        network=trait(owners, np.unique(networks, return_inverse=True)[1], 240),
        asn=trait(owners, np.unique(systems, return_inverse=True)[1], 240),
        asn_share=1.0 if known else 0.5,
    )


def test_proxies_in_many_systems_are_seen_and_phones_on_one_carrier_are_not() -> None:
    phones = through([[at % 3] for at in range(20)])
    proxies = through([[20 + (at + step) % 40 for step in range(6)] for at in range(20)])
    assert p_of(all_tests(phones)["systems"]) > 0.1
    assert p_of(all_tests(proxies)["systems"]) < 1e-6
    # By networks both are many, so these are not counted where it is known of what systems they are.
    for population in (phones, proxies):
        counted = all_tests(population)["addresses"]
        assert (counted.p_value, counted.off) == (None, "autonomous systems are counted instead")
        assert p_of(all_tests(replace(population, asn=without(population, "asn").asn, asn_share=0))["addresses"]) < 1e-6


def test_where_systems_are_known_of_some_requests_networks_are_counted_beside_them() -> None:
    proxies = through([[20 + (at + step) % 40 for step in range(6)] for at in range(20)], known=False)
    found = all_tests(proxies)
    assert max(p_of(found["systems"]), p_of(found["addresses"])) < 1e-6


def test_one_system_for_all_the_users_is_no_evidence() -> None:
    """As people of one country have it: no test of identity moves, be it rare elsewhere or not."""
    before = all_tests(base())
    shared = replace(base(), asn=trait(np.arange(240), np.where(np.arange(240) < 20, 7, 3 + np.arange(240) % 3), 240))
    assert {name: found.p_value for name, found in all_tests(shared).items()} == {
        name: found.p_value for name, found in before.items()
    }


def test_who_has_one_system_wanders_as_little_as_anybody_who_has() -> None:
    """Most have one, so the fewer requests, the more systems for each."""
    rng = np.random.default_rng(2)
    activity = rng.permutation(np.geomspace(20, 400, 240).astype(int))
    owner = np.repeat(np.arange(240), activity)
    several = np.where(rng.random(240) < activity / 800, 2, 1)
    wandering = trait(np.repeat(np.arange(240), several), rng.integers(50, size=several.sum()), 240)
    population = population_of(owner, np.arange(len(owner)), 240, asn=wandering, asn_share=1.0)
    setting = awkward_setting(population)
    for part in (slice(None, 20), slice(-20, None)):
        users = np.concatenate([m[np.argsort(activity[m])][part] for m in setting.strata.members])
        own = Candidates.of([of_everything(population, np.sort(users))])
        assert p_of(many_systems(own, setting).one(0)) > 1e-2


def test_owners_who_send_less_than_their_stratum_do_not_seem_to_wander() -> None:
    """Phones meet a few networks however much they send: the fewer requests, the more networks for each."""
    rng = np.random.default_rng(2)
    activity = rng.permutation(np.geomspace(20, 400, 240).astype(int))
    owner = np.repeat(np.arange(240), activity)
    networks = rng.integers(1, 6, 240)
    wandering = trait(np.repeat(np.arange(240), networks), np.arange(networks.sum()), 240)
    population = population_of(owner, np.arange(len(owner)), 240, network=wandering)
    setting = awkward_setting(population)
    light = np.concatenate([m[np.argsort(activity[m])][: len(m) // 2] for m in setting.strata.members])
    own = Candidates.of([of_everything(population, np.sort(light))])
    assert p_of(many_networks(own, setting).one(0)) > 1e-3


@pytest.mark.parametrize(
    ("column", "tests"),
    [
        ("age_days", ["young"]),
        ("client", ["client"]),
        ("card", ["card"]),
        ("network", ["network", "addresses"]),
        ("asn", ["systems"]),
    ],
)
def test_a_missing_column_switches_its_tests_off_and_no_other(column: str, tests: list[str]) -> None:
    found = all_tests(without(base(), column))
    for name, result in found.items():
        assert (result.p_value is None) == (name in tests)
        assert bool(result.off) == (name in tests)
        assert not result.off or result.off in result.text


def of_one_stratum(values: Trait) -> Holdings:
    owners = len(values.bounds) - 1
    strata = Strata(np.zeros(owners, np.int64), (np.arange(owners),))
    return Holdings.of(values, strata, strata.sizes)


def repeats_of(values: Trait, sets: np.ndarray) -> list[float]:
    """What repeats in each of equally large sets."""
    row = np.repeat(np.arange(len(sets)), sets.shape[1])
    found: list[float] = repeats(of_one_stratum(values), row, sets.ravel(), len(sets)).tolist()
    return found


@given(HAVING, st.data())
def test_repeats_against_a_plain_loop(having: list[set[int]], data: st.DataObject) -> None:
    values = trait(*_pairs(having), len(having))
    size = data.draw(st.integers(1, len(having)))
    sets = np.array([data.draw(st.permutations(range(len(having))))[:size] for _ in range(3)])
    for row, found in zip(sets.tolist(), repeats_of(values, sets), strict=True):
        expected = 0.0
        for value in range(9):
            weights = [1 / len(having[o]) for o in row if value in having[o]]
            if weights:
                expected += (len(weights) - 1) * sum(weights) / len(weights)
        assert found == pytest.approx(expected)


@given(HAVING, st.data())
def test_partners_against_a_plain_loop(having: list[set[int]], data: st.DataObject) -> None:
    values = trait(*_pairs(having), len(having))
    size = data.draw(st.integers(1, len(having)))
    sets = np.array([data.draw(st.permutations(range(len(having))))[:size] for _ in range(3)])
    expected = [
        [max((sum(v in having[o] for o in row) - 1 for v in having[owner]), default=0) for owner in row]
        for row in sets.tolist()
    ]
    assert partners(values, sets).tolist() == expected


@given(HAVING)
def test_owners_with_one_value_each_repeat_it_once_fewer_than_they_are(having: list[set[int]]) -> None:
    single = [set(list(h)[:1]) for h in having]
    counts = Counter(v for h in single for v in h)
    found = repeats_of(trait(*_pairs(single), len(single)), np.arange(len(single))[None, :])
    assert found == [sum(n - 1 for n in counts.values())]


@given(st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=12, max_size=20), st.data())
def test_concentrated_p_against_a_plain_loop(having: list[set[int]], data: st.DataObject) -> None:
    count = len(having)
    population = population_of(np.arange(count), np.arange(count), count)
    setting = awkward_setting(population)
    owners = np.array(sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=2))))
    possible = [v for v in range(5) if sum(v in h for h in having) > 1]
    best = 1.0
    for value in possible:
        seen = sum(value in having[o] for o in owners)
        rate = sum(value in h for h in having) / count  # one stratum: everybody sent one request
        if seen > 1:
            best = min(best, float(stats.binom.sf(seen - 1, len(owners), rate)) * len(possible))
    _, codes = np.unique([v for h in having for v in sorted(h)], return_inverse=True)
    values = trait(_pairs(having)[0], codes, count)
    own = Candidates.of([of_everything(population, owners)])
    assert concentrated_p(of_one_stratum(values), own, setting).tolist() == pytest.approx([best])


def _pairs(having: list[set[int]]) -> tuple[list[int], list[int]]:
    return [o for o, h in enumerate(having) for _ in h], [v for h in having for v in sorted(h)]


def test_traits_are_runs_of_each_owner() -> None:
    values = trait([2, 0, 2, 0], [7, 7, 1, 7], 3)
    runs = [values.values[a:b].tolist() for a, b in pairwise(values.bounds.tolist())]
    assert (runs, values.present, trait([], [], 3).present) == ([[7], [], [1, 7]], True, False)


@pytest.fixture(scope="module")
def beside_one_another() -> tuple[Setting, list[Candidate]]:
    """Candidates of one user to half of a stratum, some of whom nothing is known, some with much in common."""
    population = replace(awkward_population(0, owners=600, systems=True), asn_share=0.5)  # networks count, too
    setting = awkward_setting(population, draws=60)
    rng = np.random.default_rng(0)
    wanted = [1, 2, 3, 5, 8, 8, 13, 20, 40, 200]
    found = [null_candidate(population, setting.strata, NullUse(n, 0, False), rng) for n in wanted]
    busiest = np.argsort(population.network.values, kind="stable")[:12]  # of one cloud
    cloud = np.searchsorted(population.network.bounds, busiest, "right") - 1
    found.append(of_everything(population, cloud))
    of_nothing = np.isnan(population.age_days) & (population.client < 0)
    found.append(of_everything(population, np.flatnonzero(of_nothing)[:4]))
    return setting, found


def test_many_candidates_are_as_each_alone(beside_one_another: tuple[Setting, list[Candidate]]) -> None:
    setting, candidates = beside_one_another
    together = made(Candidates.of(candidates), setting)
    backwards = made(Candidates.of(candidates[::-1]), setting)
    for place, own in enumerate(candidates):
        alone = made(Candidates.of([own]), setting)
        for one, many, turned in zip(alone, together, backwards, strict=True):
            assert np.array_equal(one.p_values[0], many.p_values[place], equal_nan=True)
            assert np.array_equal(one.p_values[0], turned.p_values[-1 - place], equal_nan=True)
            # A result that is off has no numbers, and nan equals nothing.
            assert repr(one.one(0)) == repr(many.one(place)) == repr(turned.one(len(candidates) - 1 - place))
    assert min(float(np.nanmin(many.p_values)) for many in together) < 1e-3
    assert any(np.isnan(many.p_values).any() for many in together)


def test_of_no_candidates_nothing_is_told(beside_one_another: tuple[Setting, list[Candidate]]) -> None:
    setting, _ = beside_one_another
    assert [found.p_values.tolist() for found in made(Candidates.of([]), setting)] == [[]] * 6


def test_what_is_read_is_what_was_found(beside_one_another: tuple[Setting, list[Candidate]]) -> None:
    setting, candidates = beside_one_another
    for found in made(Candidates.of(candidates), setting):
        for place, p in enumerate(found.p_values.tolist()):
            result = found.one(place)
            assert (result.key, result.p_value) == (found.key, None if np.isnan(p) else p)


def test_one_client_against_a_plain_loop(beside_one_another: tuple[Setting, list[Candidate]]) -> None:
    setting, candidates = beside_one_another
    client, strata = setting.population.client, setting.strata
    for own, found in zip(candidates, one_client(Candidates.of(candidates), setting).p_values.tolist(), strict=True):
        owners = [o for o in own.owners.tolist() if client[o] >= 0]
        best = 1.0 if owners else np.nan
        for code in {int(client[o]) for o in owners}:
            rate = 0.0
            for owner in owners:
                known = [int(client[o]) for o in strata.members[strata.of_owner[owner]] if client[o] >= 0]
                rate += known.count(code) / len(known) / len(owners)
            seen = sum(client[o] == code for o in owners)
            best = min(best, float(stats.binom.sf(seen - 1, len(owners), min(rate, 1))) / rate)
        assert found == pytest.approx(best, nan_ok=True)


def test_draws_that_are_looked_at_a_few_at_a_time_tell_the_same(
    beside_one_another: tuple[Setting, list[Candidate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting, candidates = beside_one_another
    whole = made(Candidates.of(candidates), setting)
    monkeypatch.setattr("refrain.coordination.identity._TOGETHER", 1000)
    for few, all_draws in zip(made(Candidates.of(candidates), setting), whole, strict=True):
        assert np.array_equal(few.p_values, all_draws.p_values, equal_nan=True)


@given(HAVING, st.lists(st.integers(0, 2), min_size=12, max_size=12), st.data())
def test_rates_against_a_plain_loop(having: list[set[int]], stratum: list[int], data: st.DataObject) -> None:
    values = trait(*_pairs(having), len(having))
    of_owner = np.array(stratum[: len(having)])
    strata = Strata(of_owner, tuple(np.flatnonzero(of_owner == s) for s in range(3)))
    holdings = Holdings.of(values, strata, strata.sizes)
    shared = [v for v in range(9) if sum(v in h for h in having) > 1]
    assert holdings.count == len(shared)
    parts = np.array(data.draw(st.lists(st.integers(0, 5), min_size=3, max_size=3)), float)
    expected = [
        sum(parts[s] * np.mean([value in having[o] for o in strata.members[s]]) for s in range(3) if strata.sizes[s])
        for value in shared
    ]
    at = np.arange(len(shared))
    assert holdings.rates(at, np.zeros(len(at), np.int64), parts[None]).tolist() == pytest.approx(expected)
