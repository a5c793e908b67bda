"""Benign explanations: each a hypothesis that is tested, named and shown, and that explains some of the tests.

What a hypothesis explains is no evidence of coordination against it: a course in one building explains one network,
not shared cards. A finding alerts on what no hypothesis that holds explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from refrain.coordination.results import Candidate, Setting, TestResult
from refrain.coordination.rhythm import concentration
from refrain.coordination.synchrony import Minutes
from refrain.counting import Ints
from refrain.population import Trait


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
    of_group: bool = False  # it names a group of owners, whose members are each other's best controls


def benign_hypotheses(
    candidate: Candidate,
    setting: Setting,
    results: Mapping[str, TestResult],
    minutes: Minutes,
    system: bool,
    rule: BenignRule,
) -> list[Hypothesis]:
    """All hypotheses with their verdicts. `system` says whether the template stands in the system prompt."""

    def above(level: float, *keys: str) -> bool:
        return all(_p(results, key) > level for key in keys)

    users = candidate.owners
    population = setting.population
    client = _largest(population.client[users][population.client[users] >= 0], len(users))
    network, network_users, network_owners = _place(population.network, users)
    card, _, _ = _place(population.card, users)
    hours = float(concentration(population.hours[candidate.requests])) if len(candidate.requests) > 1 else 0.0
    once = float((candidate.counts == 1).mean())
    busiest = float(np.sort(candidate.counts)[::-1][: rule.few_owners].sum() / candidate.counts.sum())
    # What hardly speaks stays evidence beside the hypothesis; it does not give back all that this explains.
    human = above(rule.refuting_p, "time_rhythm", "time_minutes")
    own_cards = above(rule.refuting_p, "identity_card")
    own_networks = above(rule.refuting_p, "identity_network", "identity_addresses")
    product = client >= rule.client_share and human and own_cards and own_networks
    place = network >= rule.place_share and hours >= rule.place_concentration and human and own_cards
    alone = float((candidate.counts >= population.activity[users]).mean())
    # With cards and networks, one customer's accounts are one owner; without, nothing else tells its keys from a pool.
    untold = not (population.card.present and population.network.present)
    service = untold and alone >= rule.service_share and _on_the_hour(candidate, minutes)
    outside = network_owners - network_users
    gateway = network >= rule.place_share and outside >= rule.gateway_factor * network_users
    return [
        Hypothesis(
            "assistant harness" if system else "product on its users' own keys",
            product,
            ("identity_client", "identity_young", "time_adoption", "time_pivot"),  # a product has a first day
            f"{client:.0%} of the users have one client; cards, networks and hours are "
            + ("their own" if product else "not all their own"),
            of_group=True,
        ),
        Hypothesis(
            "course, office or hackathon in one place",
            place,
            (
                "identity_network",
                "identity_young",
                "identity_client",
                "time_instants",
                "time_adoption",
                "time_succession",
            ),
            f"{network:.0%} of the users come from one network; hours of all users lie together by {hours:.2f}",
            of_group=True,
        ),
        Hypothesis(
            "one customer's accounts",
            card >= rule.card_share,
            ("identity_card", "identity_network", "identity_client", "identity_young", "time_pivot"),
            f"{card:.0%} of the users pay with one card",
            of_group=True,
        ),
        Hypothesis(
            "one service's keys",
            service,
            ("identity_client", "identity_young", "time_rhythm", "time_minutes", "use_dedication"),
            f"{alone:.0%} of the users send nothing else; nothing in the log tells whether they are one customer's",
        ),
        Hypothesis(
            "gateway",
            gateway,
            ("identity_network",),
            f"the network of most users has {outside} owners who do not use the template",
        ),
        Hypothesis(
            "viral prompt",
            once >= rule.once_share,
            ("time_adoption", "time_instants", "time_succession"),
            f"{once:.0%} of the users sent it once",
        ),
        Hypothesis(
            "evaluation run",
            busiest >= rule.few_owners_share and human,
            ("use_repetition", "use_dedication"),
            f"the busiest {rule.few_owners} owners sent {busiest:.0%} of the requests",
        ),
        Hypothesis(
            "popular template",
            above(rule.silent_p, *(k for k in results if k.startswith(("identity_", "time_")))),
            ("use_repetition", "use_dedication"),
            "in who they are and when they send, the users look like anybody",
        ),
    ]


def _on_the_hour(candidate: Candidate, minutes: Minutes) -> bool:
    """Whether the users' minutes of the hour are everybody's favourite ones: jobs start where all jobs do."""
    profile = minutes.profile
    own = np.bincount(minutes.bins[candidate.requests], minlength=len(profile)) / len(candidate.requests)
    beyond = np.maximum(own - profile, 0)
    return bool(own.argmax() == profile.argmax() and 2 * beyond[profile.argmax()] >= beyond.sum())


def _p(results: Mapping[str, TestResult], key: str) -> float:
    result = results.get(key)
    return 1.0 if result is None or result.p_value is None else result.p_value


def _largest(codes: Ints, users: int) -> float:
    return float(np.bincount(codes).max() / users) if len(codes) else 0.0


def _place(trait: Trait, users: Ints) -> tuple[float, int, int]:
    """The share of users that have the most common value, their number, and all owners that have it."""
    values = trait.of_all(users)
    if not len(values):
        return 0.0, 0, 0
    counts = np.bincount(values)
    best = int(counts.argmax())
    return float(counts[best] / len(users)), int(counts[best]), int(trait.owners_of_values[best])
