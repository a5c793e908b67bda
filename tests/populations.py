"""Populations made up for tests of the score stage: people and machines with every feature that misleads a test.

Activity has a heavy tail; people sleep in several time zones and send in bursts; machines send on the hour, some all
day, some once a day at midnight UTC, and are the busiest; homes have networks of their own, offices and clouds share
theirs, phones wander over a carrier's many; some cards pay for several owners; clients are of unequal popularity with a
long tail; some columns are not known of everybody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refrain.assessment import Instruments, make_instruments
from refrain.coordination.controls import Strata, stratify
from refrain.coordination.results import Candidate, Setting, candidate, setting
from refrain.coordination.use import use_reference
from refrain.counting import Ints, distinct_pairs, slices
from refrain.population import DAY_US, MICROSECONDS, Population, Trait
from refrain.settings import load_settings

START = 20_000 * DAY_US
HOUR_US = 3_600 * MICROSECONDS
Floats = NDArray[np.float64]


def trait(owners: Sequence[int] | Ints, values: Sequence[int] | Ints, count: int) -> Trait:
    """The trait of aligned pairs, over `count` owners."""
    pair_owner, pair_value = distinct_pairs(np.asarray(owners, np.int64), np.asarray(values, np.int64))
    many = int(pair_value.max(initial=-1)) + 1
    return Trait(pair_value, slices(pair_owner, count), many, [f"value-{v}" for v in range(many)])


def population_of(
    request_owner: Sequence[int] | Ints,
    request_time: Sequence[int] | Ints,
    owners: int,
    *,
    age_days: Floats | None = None,
    client: Ints | None = None,
    card: Trait | None = None,
    network: Trait | None = None,
    asn: Trait | None = None,
    asn_share: float = 0.0,
    script: Ints | None = None,
    request_model: Ints | None = None,
) -> Population:
    """A population with these requests, sorted by time here; the log has no column that is not given."""
    owner, time = np.asarray(request_owner, np.int64), np.asarray(request_time, np.int64)
    order = np.lexsort((owner, time))
    owner, time = owner[order], time[order]
    by_owner = np.argsort(owner, kind="stable")
    nothing = trait([], [], owners)
    client = np.full(owners, -1) if client is None else client
    return Population(
        owners=owners,
        request_owner=owner,
        request_time=time,
        request_model=np.full(len(owner), -1) if request_model is None else request_model[order],
        by_owner=by_owner,
        bounds=slices(owner[by_owner], owners),
        activity=np.bincount(owner, minlength=owners),
        age_days=np.full(owners, np.nan) if age_days is None else age_days,
        client=client,
        clients=[f"client-{c}" for c in range(int(client.max(initial=-1)) + 1)],
        card=nothing if card is None else card,
        network=nothing if network is None else network,
        asn=nothing if asn is None else asn,
        asn_share=asn_share,
        script=np.zeros(owners, np.int64) if script is None else script,
    )


def awkward_population(seed: int, owners: int = 1200, days: int = 14, *, systems: bool = False) -> Population:
    """A population with all the features that the module names, and no coordination; with `systems` the log knows the
    autonomous system of every request."""
    rng = np.random.default_rng([seed, owners])
    machine = rng.random(owners) < 0.12
    activity = np.clip(rng.pareto(1.1, owners) * 6 + 1, 1, 400).astype(np.int64)
    activity[machine] = np.clip(activity[machine] * 4, 20, 600)
    joined = np.where(rng.random(owners) < 0.25, rng.integers(0, days - 1, owners), 0)
    times = [
        (_machine_times if machine[o] else _human_times)(int(activity[o]), int(joined[o]), days, rng)
        for o in range(owners)
    ]
    age = np.where(joined > 0, rng.exponential(0.3, owners), rng.lognormal(4, 1.5, owners))
    age[rng.random(owners) < 0.3] = np.nan
    popularity = 1 / np.arange(1, 301)
    client = rng.choice(300, owners, p=popularity / popularity.sum())
    client[machine] = rng.choice(4, int(machine.sum()), p=[0.6, 0.2, 0.1, 0.1])
    client[rng.random(owners) < 0.2] = -1
    owner, time = np.repeat(np.arange(owners), [len(t) for t in times]), np.concatenate(times)
    return population_of(
        owner,
        time,
        owners,
        request_model=_models(owner, time, owners, days, np.random.default_rng([seed, owners, days])),
        age_days=age,
        client=client,
        card=_cards(owners, rng),
        network=trait(*_coded(places := _networks(activity, machine, rng)), owners),
        asn=trait(*_coded(_systems(places, np.random.default_rng([seed, owners, 7]))), owners) if systems else None,
        asn_share=float(systems),
        script=rng.choice(4, owners, p=[0.7, 0.15, 0.1, 0.05]),
    )


def _coded(pairs: tuple[list[int], list[int]]) -> tuple[list[int], Ints]:
    """Aligned owners and values, these numbered from 0 in their order."""
    return pairs[0], np.unique(pairs[1], return_inverse=True)[1]


def _models(owner: Ints, time: Ints, owners: int, days: int, rng: np.random.Generator) -> Ints:
    """Two old models; a new one appears in the middle, that a third of the owners move to, sooner or later and more or
    less of their traffic."""
    release = START + days // 2 * DAY_US
    begins = release + rng.exponential(2, owners) * DAY_US
    share = np.where(rng.random(owners) < 1 / 3, rng.random(owners), 0)
    moved = (time >= begins[owner]) & (rng.random(len(owner)) < share[owner])
    return np.where(moved, 2, rng.integers(2, size=owners)[owner])


def _human_times(requests: int, joined: int, days: int, rng: np.random.Generator) -> Ints:
    """Sessions of a few minutes around an hour of the owner's own, on some days only."""
    zone = rng.choice([-8.0, -5.0, 0.0, 1.0, 5.5, 9.0])
    peak = rng.normal(14 - zone, 3)
    sessions = max(1, round(requests / rng.uniform(1, 6)))
    own_days = joined + np.sort(rng.choice(days - joined, rng.integers(1, days - joined + 1), replace=False))
    starts = rng.choice(own_days, sessions) * 24 + np.mod(rng.normal(peak, rng.uniform(1, 5), sessions), 24)
    hours = rng.choice(starts, requests) + rng.exponential(0.1, requests)
    return (START + np.minimum(hours, days * 24 - 0.001) * HOUR_US).astype(np.int64)


def _machine_times(requests: int, joined: int, days: int, rng: np.random.Generator) -> Ints:
    """Jobs within seconds of the hour: every hour, every few hours, or at midnight; or on a minute of their own."""
    step = int(rng.choice([1, 6, 24], p=[0.5, 0.2, 0.3]))
    minute = 0.0 if rng.random() < 0.7 else float(rng.integers(60))
    slots = np.arange(joined * 24, days * 24, step) + minute / 60
    hours = rng.choice(slots, requests) + rng.exponential(15, requests) / 3600
    return (START + np.minimum(hours, days * 24 - 0.001) * HOUR_US).astype(np.int64)


_OWN = 1000  # the first network of somebody's own


def _networks(activity: Ints, machine: NDArray[np.bool_], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Owners and their networks."""
    owners, values = [], []
    own = _OWN
    for owner, many in enumerate(activity):
        draw = rng.random()
        if machine[owner] or draw < 0.1:  # one of three clouds
            found = [int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
        elif draw < 0.3:  # one of forty offices, and some have a home too
            found = [10 + int(rng.integers(40))] + ([own] if draw < 0.2 else [])
        elif draw < 0.5:  # a phone: places in one of three carriers' networks
            carrier = 100 + 60 * int(rng.integers(3))
            found = (carrier + rng.integers(60, size=min(int(many), int(rng.integers(1, 25))))).tolist()
        elif draw < 0.9:
            found = [own]
        else:
            found = []
        own += 1
        owners += [owner] * len(found)
        values += found
    return owners, values


def _systems(places: tuple[list[int], list[int]], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Owners and the systems of their networks: clouds and carriers are one each, homes and offices share providers;
    one owner in twenty also comes through some of a proxy's."""
    cloud, office = 10, 100  # networks below are clouds', are offices'
    owners, values = list(places[0]), []
    for network in places[1]:
        shared = 20 + network % 7 if network < office else 30 + (network - office) // 60
        values.append(network if network < cloud else shared if network < _OWN else 40 + network % 12)
    for owner in sorted(set(owners)):
        if rng.random() < 1 / 20:
            through = rng.integers(100, 160, size=int(rng.integers(2, 9))).tolist()
            owners += [owner] * len(through)
            values += through
    return owners, values


def _cards(owners: int, rng: np.random.Generator) -> Trait:
    """A card each; families and firms of up to eight owners share one; some owners have none that is known."""
    card = np.arange(owners)
    shared = rng.permutation(owners)[: owners // 8]
    first = 0
    while first < len(shared):
        many = int(rng.integers(2, 9))
        card[shared[first : first + many]] = card[shared[first]]
        first += many
    known = np.flatnonzero(rng.random(owners) < 0.8)
    _, codes = np.unique(card[known], return_inverse=True)
    return trait(known, codes, owners)


def people(seed: int, owners: int = 240, days: int = 14, requests: int = 24) -> tuple[Ints, Ints]:
    """Owner and time of requests of people who are all alike: so many requests each, in the same waking hours."""
    rng = np.random.default_rng([seed, owners, requests])
    owner = np.repeat(np.arange(owners), requests)
    hour = np.mod(rng.normal(13, 3.5, len(owner)), 24)
    time = START + ((rng.integers(days, size=len(owner)) * 24 + hour) * HOUR_US).astype(np.int64)
    return owner, time


def awkward_setting(population: Population, draws: int = 300, seed: int = 0, bias: float = 1.0) -> Setting:
    """The setting of the default strata."""
    return setting(population, stratify(population, 6, 40), draws, seed, bias, by_systems=population.asn_share >= 0.9)


@dataclass(frozen=True)
class NullUse:
    """How the users of a template without coordination are chosen and use it.

    `tilt` is the power of a stratum's mean activity by which its owners are preferred: 0 is everybody alike, 1 heavy
    users, -1 light ones. With `in_a_row` an owner's uses follow one another, else they are any of its requests.
    """

    users: int
    tilt: float
    in_a_row: bool
    most: int = 1000  # uses of an owner


def null_candidate(population: Population, strata: Strata, use: NullUse, rng: np.random.Generator) -> Candidate:
    """A candidate under the null: inside a stratum any owners, and any of an owner's requests."""
    mean = np.array([population.activity[m].mean() for m in strata.members])
    weight = mean**use.tilt * strata.sizes
    wanted = np.minimum(rng.multinomial(use.users, weight / weight.sum()), strata.sizes)
    rows = []
    for stratum, many in enumerate(wanted):
        for owner in rng.choice(strata.members[stratum], many, replace=False):
            own = population.requests_of(int(owner))
            uses = min(len(own), use.most, int(rng.geometric(0.15)) if rng.random() < 0.5 else 1)
            first = int(rng.integers(len(own) - uses + 1))
            rows.append(own[first : first + uses] if use.in_a_row else rng.choice(own, uses, replace=False))
    return candidate(np.concatenate(rows), population)


def instruments(population: Population, setting: Setting, templates: Sequence[Candidate]) -> Instruments:
    """The instruments of the default configuration, where these are the recurrent templates of the log."""
    config = load_settings().config.score
    owners = np.concatenate([t.owners for t in templates])
    reference = use_reference(population, owners, np.concatenate([t.counts for t in templates]), config.activity_bins)
    return make_instruments(population, setting.strata, reference, config)


def without(population: Population, *columns: str) -> Population:
    """The same population from a log without some of age, client, card, network, systems."""
    nothing = trait([], [], population.owners)
    empty: dict[str, Any] = {
        "age_days": np.full(population.owners, np.nan),
        "client": np.full(population.owners, -1),
        "card": nothing,
        "network": nothing,
        "asn": nothing,
    }
    return replace(population, **{name: empty[name] for name in columns})
