"""Accounts with what a provider knows of them: addresses, client, card, company, sign-up date, rhythm.

Addresses lie in 240.0.0.0/4 and 2001:db8::/32, which belong to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from refrain.simulate.grammar import LANGUAGES, topic, topics
from refrain.simulate.scene import MODELS, Scene
from refrain.simulate.streams import opaque, stream

Rhythm = Literal["human", "flat", "cron", "batch"]
Manner = Literal["tidy", "hasty"]
CLIENTS = (
    "openai-python/1.88", "anthropic-sdk-python/0.61", "litellm/1.72", "axios/1.7", "okhttp/4.12", "aiohttp/3.11",
    "Mozilla/5.0 (chat)", "curl/8.7", "langchain/0.3", "Go-http-client/2.0",
)  # fmt: skip
_CLIENT_WEIGHTS = (22, 13, 10, 11, 6, 9, 18, 4, 5, 2)
_RHYTHMS: tuple[Rhythm, ...] = ("human", "flat", "cron", "batch")
_RHYTHM_WEIGHTS = (64, 15, 12, 9)
_LANGUAGE_WEIGHTS = (70, 7, 6, 6, 6, 5)
_MODEL_WEIGHTS = (50, 35, 15)
# Hours east of UTC where a language is mostly spoken; English on four continents.
_ZONES = {"en": (-8, -5, -5, 0, 1, 5, 10), "de": (1,), "fr": (1, 1, -5), "es": (1, -5, -3), "zh": (8,), "ru": (3, 5)}
_ZONE_DEVIATION = 1.0  # hours: people rise early or late
_AGE_POWER = 1.5  # more young accounts than old ones: a service that grows
_ADDRESS_KINDS = ("home", "mobile", "cloud", "office")
_ADDRESS_WEIGHTS = (54, 16, 18, 12)
_HOME, _MOBILE, _CLOUD = (1, 3), (4, 14), (1, 4)  # fewest and most addresses of an account
_IPV6_SHARE = 0.3  # of mobile accounts
_INTERESTS = (1, 1, 2, 3)
_CODE_SHARE = 0.08  # of interests, in any language: people paste code


@dataclass(frozen=True)
class Account:
    """One account; what the log shows of it and how its owner behaves."""

    account_id: str
    created_at: datetime
    addresses: tuple[str, ...]
    card: str | None
    org: str | None
    client: str
    model: str
    rhythm: Rhythm
    zone: float  # hours east of UTC
    batch_hour: float  # hour of the day (UTC) at which a batch account runs
    language: str
    interests: tuple[str, ...]  # topics, as `file/topic`
    manner: Manner
    preface: str | None  # stands in front of every prompt
    system: str | None


def network(seed: int, *names: str | int) -> str:
    """The first three numbers of a /24 that stands for this name."""
    rng = stream(seed, "network", *names)
    return f"{rng.randint(240, 254)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}"


def address_in(prefix: str, rng: Random) -> str:
    """An address of a /24."""
    return f"{prefix}.{rng.randint(1, 254)}"


def any_address(rng: Random) -> str:
    """An address that most likely nobody else has."""
    return f"{rng.randint(240, 254)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"


def _addresses(scene: Scene, rng: Random) -> tuple[str, ...]:
    kind = rng.choices(_ADDRESS_KINDS, _ADDRESS_WEIGHTS)[0]
    if kind == "home":
        return tuple(any_address(rng) for _ in range(rng.randint(*_HOME)))
    if kind == "mobile":
        if rng.random() < _IPV6_SHARE:
            carrier = f"2001:db8:{rng.getrandbits(16):x}"
            count = rng.randint(*_MOBILE)
            return tuple(f"{carrier}:{rng.getrandbits(16):x}::{rng.getrandbits(8):x}" for _ in range(count))
        return tuple(any_address(rng) for _ in range(rng.randint(*_MOBILE)))
    if kind == "cloud":
        nets = [rng.randrange(scene.habits.cloud_networks) for _ in range(rng.randint(*_CLOUD))]
        return tuple(address_in(network(scene.seed, "cloud", net), rng) for net in nets)
    return (address_in(network(scene.seed, "office", rng.randrange(scene.habits.office_networks)), rng),)


def _interests(language: str, rng: Random) -> tuple[str, ...]:
    known = sorted(topics(language))
    code = sorted(topics("code"))
    return tuple(
        rng.choice(code) if rng.random() < _CODE_SHARE else rng.choice(known) for _ in range(rng.choice(_INTERESTS))
    )


def aged(scene: Scene, rng: Random, youngest_days: float = 0.0) -> datetime:
    """A sign-up date before the log, `youngest_days` to the oldest age back."""
    span = scene.habits.oldest_days - youngest_days
    return scene.start - timedelta(days=youngest_days + span * rng.random() ** _AGE_POWER)


def ordinary_account(scene: Scene, family: str, number: int) -> Account:
    """An ordinary customer; families change what makes theirs different with `dataclasses.replace`."""
    habits, seed = scene.habits, scene.seed
    account_id = "acct-" + opaque(seed, "account", family, number)
    rng = stream(seed, account_id, "identity")
    language = rng.choices(LANGUAGES, _LANGUAGE_WEIGHTS)[0]
    money, habit = stream(seed, account_id, "money"), stream(seed, account_id, "habit")
    card: str | None = opaque(seed, account_id, "card")
    means = money.random()
    if means < habits.no_card:
        card = None
    elif means < habits.no_card + habits.shared_card:
        card = opaque(seed, "shared card", money.randrange(habits.cards_shared))
    in_company = money.random() < habits.small_company
    # Who signs up on the last day may still send something.
    new = timedelta(days=habit.random() * max(scene.days - 1, 1 / 2))
    joined = scene.start + new if habit.random() < habits.signed_up_during_log else aged(scene, habit)
    return Account(
        account_id=account_id,
        created_at=joined,
        addresses=_addresses(scene, stream(seed, account_id, "addresses")),
        card=card,
        org="org-" + opaque(seed, "company", money.randrange(habits.companies)) if in_company else None,
        client=rng.choices(CLIENTS, _CLIENT_WEIGHTS)[0],
        model=rng.choices(MODELS, _MODEL_WEIGHTS)[0],
        rhythm=rng.choices(_RHYTHMS, _RHYTHM_WEIGHTS)[0],
        zone=rng.choice(_ZONES[language]) + rng.gauss(0, _ZONE_DEVIATION),
        batch_hour=rng.uniform(0, 24),
        language=language,
        interests=_interests(language, rng),
        manner="hasty" if rng.random() < habits.hasty else "tidy",
        preface=topic("personas/persona").ask(habit) if habit.random() < habits.preface else None,
        system=topic("personas/persona").ask(habit) if habit.random() < habits.own_system_prompt else None,
    )
