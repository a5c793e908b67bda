"""A hidden campaign: its knobs, its accounts, its requests.

Every knob turns one thing. All draws come from streams of their own, so that two worlds which differ in one knob differ
in nothing else (`requests` of the world aside: ordinary people fill what the campaigns leave).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from random import Random

from refrain.simulate.accounts import CLIENTS, Account, address_in, aged, any_address, network, ordinary_account
from refrain.simulate.disguise import disguised
from refrain.simulate.prompts import passage, question, task
from refrain.simulate.requests import Request, ordinary_day, request
from refrain.simulate.rhythms import Rhythm, awake, moment
from refrain.simulate.scene import NEW_MODEL, Scene
from refrain.simulate.streams import opaque, poisson, stream
from refrain.simulate.wording import fill, insert, wrappers

_SMALLEST_POOL = 2  # one account is no campaign
_FRESH_DAYS, _AGED_DAYS = 14.0, 60.0  # signed up at most, at least so long before the log
_HOSTED_ADDRESSES = 2  # addresses of an account in the campaign's own networks
_EARLIER_LIFE = 1.5  # requests a day of an account before the campaign takes it up
_RESTING = ("own", "human")  # rhythms in which people rest at weekends
_SHARES = frozenset(
    ("rewording", "obfuscation", "cover", "pivot_share", "card_share", "subnet_share", "client_share", "fresh_share")
)


@dataclass(frozen=True)
class Campaign:
    """One campaign. Shares are between 0 and 1; days count from 0."""

    name: str  # its family in the truth; never in the log
    wrapper: str  # a table of texts/wrappers.toml
    # What it says
    variants: int = 1  # hand-written wordings in use
    languages: tuple[str, ...] = ("en",)
    rewording: float = 0.0  # share of the wrapper's words that vary which are drawn anew for each request
    obfuscation: float = 0.0  # share of the wrapper's letters that are disguised
    # How much
    accounts: int = 30
    per_account: float = 4.0  # wrapped requests an account and day, Poisson
    cover: float = 0.15  # ordinary requests among all requests of an account, below 1
    tried_by: float = 0.7  # strangers a day who come across the wrapper and try it once
    # When
    rhythm: Rhythm = "flat"
    first_day: int = 0  # the pool takes the wrapper up on this day
    replaced_on: int | None = None  # from this day another pool of the same size sends instead
    pivot_on: int | None = None  # from this day the new model is used
    pivot_share: float = 0.5  # in so many of the requests
    # From where
    # (one card and one network together make accounts one owner: a pool that hides shares one of the two)
    card_share: float = 0.0  # accounts on one of the campaign's cards
    accounts_per_card: int = 10
    subnet_share: float = 0.0  # accounts in one of the campaign's networks
    accounts_per_subnet: int = 15
    addresses: int = 0  # rotating addresses of every account outside those networks; 0: as anybody has
    client_share: float = 0.0  # accounts that use the campaign's one client
    fresh_share: float = 0.5  # accounts that signed up within the last two weeks; the others are older than two months

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in _SHARES and not 0 <= getattr(self, field.name) <= 1:
                raise ValueError(f"{field.name} is a share between 0 and 1")
        if self.cover == 1:
            raise ValueError("cover is a share below 1: a campaign sends something of its own")
        if self.accounts < _SMALLEST_POOL:
            raise ValueError("a campaign has at least two accounts")
        texts = wrappers("wrappers")[self.wrapper].texts
        if any(language not in texts or not 0 < self.variants <= len(texts[language]) for language in self.languages):
            raise ValueError(f"the wrapper {self.wrapper} has no {self.variants} variants in each of the languages")

    @property
    def cover_rate(self) -> float:
        """Ordinary requests an account and day."""
        return self.per_account * self.cover / (1 - self.cover)

    @property
    def rests(self) -> bool:
        """Whether its people rest at weekends."""
        return self.rhythm in _RESTING

    def wordings(self) -> Iterator[tuple[str, str, int]]:
        """Every (template id, language, variant) in use."""
        for language in self.languages:
            for variant in range(self.variants):
                yield f"{self.name}/{language}-{variant}", language, variant


def pool(scene: Scene, campaign: Campaign, number: int) -> list[Account]:
    """The accounts of the campaign's pool of that number (1 is the one that replaces pool 0)."""
    return [_member(scene, campaign, number, at) for at in range(campaign.accounts)]


def _member(scene: Scene, campaign: Campaign, pool_number: int, at: int) -> Account:
    def dice(what: str) -> tuple[float, float]:
        rng = stream(scene.seed, campaign.name, pool_number, at, what)
        return rng.random(), rng.random()

    def shared(what: str, per: int, second: float) -> str:
        groups = max(1, campaign.accounts // per)
        return f"{what} {pool_number} {int(second * groups)}"

    account = ordinary_account(scene, f"{campaign.name} pool {pool_number}", at)
    rng = stream(scene.seed, account.account_id, "places")
    addresses = account.addresses
    if campaign.addresses:
        addresses = tuple(any_address(rng) for _ in range(campaign.addresses))
    hosted, which = dice("subnet")
    if hosted < campaign.subnet_share:
        net = network(scene.seed, campaign.name, shared("subnet", campaign.accounts_per_subnet, which))
        addresses = tuple(address_in(net, rng) for _ in range(_HOSTED_ADDRESSES))
    paid, which = dice("card")
    card = account.card
    if paid < campaign.card_share:
        card = opaque(scene.seed, campaign.name, shared("card", campaign.accounts_per_card, which))
    same_client, _ = dice("client")
    own_client = stream(scene.seed, campaign.name, "client").choice(CLIENTS)
    fresh, age = dice("age")
    created = aged(scene, stream(scene.seed, account.account_id, "age"), _AGED_DAYS)
    if fresh < campaign.fresh_share:
        begins = campaign.first_day if pool_number == 0 else campaign.replaced_on or 0
        created = scene.day(begins) - timedelta(days=_FRESH_DAYS * age)
    return replace(
        account,
        addresses=addresses,
        card=card,
        org=None,
        client=own_client if same_client < campaign.client_share else account.client,
        created_at=created,
        rhythm="human" if campaign.rhythm == "human" else account.rhythm,
    )


def wrapped(
    scene: Scene, campaign: Campaign, account: Account, name: tuple[str | int, ...]
) -> tuple[str, str | None, str]:
    """One wrapped request's prompt, system prompt (None: the account's own) and template id."""

    def rng(what: str) -> Random:
        return stream(scene.seed, account.account_id, campaign.name, what, *name)

    wrapper = wrappers("wrappers")[campaign.wrapper]
    template, language, variant = rng("variant").choice(list(campaign.wordings()))
    text = wrapper.worded(language, variant, campaign.rewording, rng("words"))
    letters, task_rng = rng("letters"), rng("task")

    def touched(part: str) -> str:
        return disguised(part, campaign.obfuscation, letters)

    if wrapper.place == "inside":
        return insert(touched(text), question(account, scene.habits, task_rng), rng("place")), None, template
    asked = task(wrapper.tasks_in(language), task_rng)
    if wrapper.place == "system":
        return asked, touched(text), template
    pasted = rng("passage")
    slots = {"task": lambda: asked, "passage": lambda: passage(pasted), "other": lambda: passage(pasted)}
    return fill(text, slots, touched), None, template


def campaign_requests(scene: Scene, campaign: Campaign) -> Iterator[Request]:
    """All requests of a campaign's accounts, cover included, and of the strangers who tried its wrapper."""
    first, second = pool(scene, campaign, 0), [] if campaign.replaced_on is None else pool(scene, campaign, 1)
    cover = f"{campaign.name}:cover"
    for day in range(scene.days):
        replaced = campaign.replaced_on is not None and day >= campaign.replaced_on
        for account in second if replaced else first:
            begun = day >= campaign.first_day
            rate = campaign.cover_rate if begun else _EARLIER_LIFE
            ordinary = poisson(stream(scene.seed, account.account_id, "cover", day), rate)
            yield from ordinary_day(scene, account, day, ordinary, family=cover)
            if begun and (awake(scene, account, day) or not campaign.rests):
                volume = stream(scene.seed, account.account_id, "volume", day)
                for number in range(poisson(volume, campaign.per_account)):
                    yield campaign_request(scene, campaign, account, day, number)
        yield from tried(scene, campaign, day)


def campaign_request(scene: Scene, campaign: Campaign, account: Account, day: int, number: int) -> Request:
    """One wrapped request of an account; `number` tells apart those of a day."""
    name = ("campaign", day, number)
    prompt, system, template = wrapped(scene, campaign, account, name)
    rng = stream(scene.seed, account.account_id, "when", *name)
    when = moment(scene, account, day, rng, campaign.rhythm)
    pivots = campaign.pivot_on is not None and day >= campaign.pivot_on and rng.random() < campaign.pivot_share
    return request(
        scene, account, name, when, prompt, family=campaign.name, kind="campaign", template=template, system=system,
        model=NEW_MODEL if pivots else None,
    )  # fmt: skip


def tried(scene: Scene, campaign: Campaign, day: int) -> Iterator[Request]:
    """The strangers who come across the wrapper on that day, with the rest of what they send."""
    family = f"{campaign.name}:tried"
    rng = stream(scene.seed, campaign.name, "tried", day)
    for at in range(poisson(rng, campaign.tried_by)):
        account = ordinary_account(scene, f"{family} {day}", at)
        if awake(scene, account, day):
            prompt, system, template = wrapped(scene, campaign, account, ("tried", day))
            yield request(
                scene, account, ("tried", day), moment(scene, account, day, rng), prompt, family=family,
                kind="organic", template=template, system=system,
            )  # fmt: skip
            yield from ordinary_day(scene, account, day, poisson(rng, _EARLIER_LIFE), family=family)
