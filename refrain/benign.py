"""Benign explanations: each a hypothesis that is tested, named and shown, and that explains some of the tests.

What a hypothesis explains is no evidence of coordination against it: a course in one building explains one network,
not shared cards. A finding alerts on what no hypothesis that holds explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.distributions import hypergeometric_upper
from refrain.coordination.results import Candidates, Setting
from refrain.coordination.rhythm import concentrations
from refrain.coordination.synchrony import Minutes
from refrain.counting import Ints, group_starts
from refrain.population import Population, Trait

Floats = NDArray[np.float64]
PRODUCT, HARNESS = "product on its users' own keys", "assistant harness"


@dataclass(frozen=True)
class BenignRule:
    """Shares and levels from which a hypothesis holds."""

    client_share: float  # of the users that one client must have to be a product's
    place_share: float  # of the users that one network must have to be a place
    place_concentration: float  # of the hours of all users together: one waking day in one time zone
    card_share: float  # of the users that one card must have to be one customer's
    once_share: float  # of the users that must have sent it once to be a fad
    few_owners_share: float  # of the requests that the busiest few owners must have sent to be a run
    few_owners: int
    service_share: float  # of the users that must send nothing else to be one service's keys
    gateway_factor: float  # owners of a network outside the candidate, for each user in it, that make it a gateway
    silent_p: float  # a test does not speak above this
    refuting_p: float  # a test refutes that a group is people, or one product's or place's, from this down


@dataclass(frozen=True)
class Hypothesis:
    """A benign explanation, whether it holds, which tests it explains, and a sentence for a person."""

    name: str
    holds: bool
    explains: tuple[str, ...]
    text: str
    mark: str | None = None  # what the owners of a group that it names have in common: each other's best controls


class _Kind(NamedTuple):
    """A kind of hypothesis: its name, the tests that it explains, and what a group that it names has in common."""

    name: str
    explains: tuple[str, ...]
    mark: str | None


_KINDS = (
    # A product has a first day.
    _Kind(PRODUCT, ("identity_client", "identity_young", "time_adoption", "time_pivot"), "client"),
    _Kind(
        "course, office or hackathon in one place",
        ("identity_network", "identity_young", "identity_client", "time_instants", "time_adoption", "time_succession"),
        "network",
    ),
    _Kind(
        "one customer's accounts",
        ("identity_card", "identity_network", "identity_client", "identity_young", "time_pivot"),
        "card",
    ),
    _Kind(
        "one service's keys",
        ("identity_client", "identity_young", "time_rhythm", "time_minutes", "use_dedication"),
        None,
    ),
    _Kind("gateway", ("identity_network",), None),
    _Kind("viral prompt", ("time_adoption", "time_instants", "time_succession"), None),
    _Kind("evaluation run", ("use_repetition", "use_dedication"), None),
    _Kind("popular template", ("use_repetition", "use_dedication"), None),
)


@dataclass(frozen=True)
class Hypotheses:
    """The verdicts on many candidates: `holds` (hypotheses, candidates), which tests each explains, and, on demand,
    what all of them say of one."""

    holds: NDArray[np.bool_]
    explains: tuple[tuple[str, ...], ...]
    read: Callable[[int], list[Hypothesis]]

    def explained(self, key: str) -> NDArray[np.bool_]:
        """(candidates,) whether a hypothesis that holds explains a test."""
        of_test = [key in explained for explained in self.explains]
        return np.asarray(self.holds[of_test].any(axis=0))


def benign_hypotheses(
    candidates: Candidates,
    setting: Setting,
    results: Mapping[str, Floats],
    minutes: Minutes,
    system: NDArray[np.bool_],
    rule: BenignRule,
) -> Hypotheses:
    """All hypotheses with their verdicts. `results` are the p-values of each test, NaN where it is off; `system`
    (candidates,) says whether the template stands in the system prompt."""
    many = len(candidates)
    said = {key: np.where(np.isnan(p), 1.0, p) for key, p in results.items()}
    silent = np.ones(many)

    def above(level: float, *keys: str) -> NDArray[np.bool_]:
        return np.asarray(np.logical_and.reduce([said.get(key, silent) > level for key in keys]))

    population = setting.population
    users, sizes = candidates.owners, candidates.sizes
    client, _ = _commonest(candidates.group, population.client[users], many)
    network, network_value = _commonest_value(population.network, candidates)
    card, _ = _commonest_value(population.card, candidates)
    client_share, network_share, card_share = client / sizes, network / sizes, card / sizes
    together = _together(candidates, population.hours)
    once = candidates.sums(candidates.counts == 1) / sizes
    busiest = candidates.sums(np.where(_rank(candidates) < rule.few_owners, candidates.counts, 0))
    busiest = busiest / np.diff(candidates.request_bounds)
    # What hardly speaks stays evidence beside the hypothesis; it does not give back all that this explains.
    human = above(rule.refuting_p, "time_rhythm", "time_minutes")
    own_cards = above(rule.refuting_p, "identity_card")
    own_networks = above(rule.refuting_p, "identity_network", "identity_addresses", "identity_systems")
    product = (client_share >= rule.client_share) & human & own_cards & own_networks
    one_place = (network_share >= rule.place_share) & (together >= rule.place_concentration) & human & own_cards
    alone = candidates.sums(candidates.counts >= population.activity[users]) / sizes
    # With cards and networks, one customer's accounts are one owner; without, nothing else tells its keys from a pool.
    service = np.zeros(many, bool)
    if not (population.card.present and population.network.present):
        service = (alone >= rule.service_share) & _on_the_hour(candidates, minutes)
    outside = np.where(network > 0, _owners_of(population.network, network_value), 0) - network
    gateway = (network_share >= rule.place_share) & (outside >= rule.gateway_factor * network)
    being = [key for key in results if key.startswith(("identity_", "time_"))]
    holds = (
        product,
        one_place,
        card_share >= rule.card_share,
        service,
        gateway,
        once >= rule.once_share,
        (busiest >= rule.few_owners_share) & human,
        above(rule.silent_p, *being),
    )

    def read(place: int) -> list[Hypothesis]:
        texts = (
            f"{client_share[place]:.0%} of the users have one client; cards, networks and hours are "
            + ("their own" if product[place] else "not all their own"),
            f"{network_share[place]:.0%} of the users come from one network; hours of all users lie together by "
            f"{together[place]:.2f}",
            f"{card_share[place]:.0%} of the users pay with one card",
            f"{alone[place]:.0%} of the users send nothing else; nothing in the log tells whether they are one "
            "customer's",
            f"the network of most users has {outside[place]} owners who do not use the template",
            f"{once[place]:.0%} of the users sent it once",
            f"the busiest {rule.few_owners} owners sent {busiest[place]:.0%} of the requests",
            "in who they are and when they send, the users look like anybody",
        )
        return [
            Hypothesis(
                HARNESS if kind.name == PRODUCT and system[place] else kind.name,
                bool(held[place]),
                kind.explains,
                text,
                kind.mark,
            )
            for kind, held, text in zip(_KINDS, holds, texts, strict=True)
        ]

    return Hypotheses(np.stack(holds), tuple(kind.explains for kind in _KINDS), read)


def apart_p(part: Ints, others: Ints, population: Population, mark: str) -> float:
    """P-value that the client, network or card that most of a part of some owners have is so rare among the others by
    chance (Fisher's exact test)."""
    both = np.concatenate([part, others])
    group = np.repeat([0, 1], [len(part), len(others)])
    if mark == "client":
        codes = population.client[both]
    else:
        trait = population.card if mark == "card" else population.network
        group = np.repeat(group, trait.bounds[both + 1] - trait.bounds[both])
        codes = trait.of_all(both)
    many, commonest = _commonest(group, codes, 2)
    marked = int((codes == commonest[0]).sum())
    return hypergeometric_upper(int(many[0]), len(part), marked, len(both)) if many[0] else 1.0


def _on_the_hour(candidates: Candidates, minutes: Minutes) -> NDArray[np.bool_]:
    """(candidates,) whether the users' minutes of the hour are everybody's favourite ones: jobs start where all do."""
    profile = minutes.profile
    favourite = int(profile.argmax())
    cells = candidates.group[candidates.user] * len(profile) + minutes.bins[candidates.requests]
    seen = np.bincount(cells, minlength=len(candidates) * len(profile)).reshape(-1, len(profile))
    own = seen / np.diff(candidates.request_bounds)[:, None]
    beyond = np.maximum(own - profile, 0)
    return np.asarray((own.argmax(axis=1) == favourite) & (2 * beyond[:, favourite] >= beyond.sum(axis=1)))


def _together(candidates: Candidates, hours: Floats) -> Floats:
    """(candidates,) how much the hours of all users' requests lie together, 0 of one request."""
    uses = np.diff(candidates.request_bounds)
    several = uses > 1
    out = np.zeros(len(candidates))
    out[several] = concentrations(hours[candidates.requests[np.repeat(several, uses)]], uses[several])
    return out


def _rank(candidates: Candidates) -> Ints:
    """(users,) the place of each user among those of its candidate by how often they send it."""
    order = np.lexsort((-candidates.counts, candidates.group))
    out = np.empty(len(order), np.int64)
    out[order] = candidates.place
    return out


def _commonest(group: Ints, codes: Ints, many: int) -> tuple[Ints, Ints]:
    """(many,) how often the most frequent code stands in each group, and that code, the smallest of several; 0 where
    there is none. `group` and `codes` are aligned, codes below 0 left out."""
    known = codes >= 0
    width = int(codes.max(initial=0)) + 1
    keys = np.sort(group[known] * width + codes[known])
    starts = group_starts(keys)
    counts = np.diff(np.append(starts, len(keys)))
    of_group, code = np.divmod(keys[starts], width)
    most = np.zeros(many, np.int64)
    np.maximum.at(most, of_group, counts)
    best = np.flatnonzero(counts == most[of_group])[::-1]  # the first one of a group is written last
    commonest = np.zeros(many, np.int64)
    commonest[of_group[best]] = code[best]
    return most, commonest


def _commonest_value(trait: Trait, candidates: Candidates) -> tuple[Ints, Ints]:
    """(candidates,) how many users have the value that most of each one's users have, and that value."""
    many = trait.bounds[candidates.owners + 1] - trait.bounds[candidates.owners]
    return _commonest(np.repeat(candidates.group, many), trait.of_all(candidates.owners), len(candidates))


def _owners_of(trait: Trait, values: Ints) -> Ints:
    """How many owners have each of some values."""
    return trait.owners_of_values[values] if trait.present else np.zeros(len(values), np.int64)
