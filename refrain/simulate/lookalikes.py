"""Innocent groups that send one text from many accounts: each has one strong sign of a campaign."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Literal

from refrain.simulate.accounts import Account, Rhythm, address_in, network, ordinary_account
from refrain.simulate.prompts import passage, task
from refrain.simulate.requests import Request, ordinary_day, request
from refrain.simulate.rhythms import awake, clamped, moment
from refrain.simulate.scene import Scene
from refrain.simulate.streams import opaque, poisson, stream
from refrain.simulate.wording import fill, wrappers

Style = Literal["popular", "company", "class", "viral", "application", "harness", "own_keys", "evaluation", "gateway"]
_OWN_PROMPTS = 2.0  # ordinary requests a day beside the template
_CLASS_IN_PLACE = 0.8  # the others work from home
_CLASS_ZONE = 1.0  # hours east of UTC
_END_USERS = 60  # of one application
_ITEM_PAUSE = 2.0  # seconds between the items of an evaluation
_GATEWAY_ADDRESSES = 6


@dataclass(frozen=True)
class Lookalike:
    """One innocent group. `per_account` counts requests an account and active day (Poisson); an evaluation sends that
    many items in one go."""

    name: str  # its family in the truth; never in the log
    style: Style
    wrapper: str | None = None  # a table of texts/lookalikes.toml; a gateway has none
    accounts: int = 30
    per_account: float = 3.0
    active: float = 1.0  # share of days on which an account uses it
    day: int | None = None  # the only day: of a craze, of an evaluation
    joined: tuple[float, float] | None = None  # signed up so many days before the log; None: as anybody
    client: str | None = None  # the one client of all accounts
    org: bool = True  # whether a company says that its keys belong together

    def __post_init__(self) -> None:
        if (self.wrapper is None) != (self.style == "gateway"):
            raise ValueError("every look-alike but a gateway has a wrapper")
        if self.accounts < 1:
            raise ValueError("a look-alike has at least one account")


def lookalike_requests(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """All requests of one innocent group."""
    return _STYLES[group.style](scene, group)


def _accounts(scene: Scene, group: Lookalike) -> Iterator[tuple[Account, Random]]:
    """Each account with a stream of its own that says where it differs from an ordinary customer."""
    for at in range(group.accounts):
        account = ordinary_account(scene, group.name, at)
        if group.client is not None:
            account = replace(account, client=group.client)
        rng = stream(scene.seed, account.account_id, "group")
        if group.joined is not None:
            account = replace(account, created_at=scene.start - timedelta(days=rng.uniform(*group.joined)))
        yield account, rng


def _text(group: Lookalike, rng: Random) -> tuple[str, str | None, str]:
    """Prompt, system prompt and template id of one request."""
    assert group.wrapper is not None
    wrapper = wrappers("lookalikes")[group.wrapper]
    variant = rng.randrange(len(wrapper.texts["en"]))
    worded, template = wrapper.worded("en", variant, 0, rng), f"{group.name}/en-{variant}"
    asked = task(wrapper.tasks, rng)
    if wrapper.place == "system":
        return asked, worded, template
    slots = {"task": lambda: asked, "passage": lambda: passage(rng), "other": lambda: passage(rng)}
    return fill(worded, slots, str), None, template


def _use(scene: Scene, group: Lookalike, account: Account, day: int, count: int) -> Iterator[Request]:
    """The template, `count` times on one day; nothing while the account rests."""
    if not awake(scene, account, day):
        return
    for number in range(count):
        name = ("template", day, number)
        rng = stream(scene.seed, account.account_id, *name)
        prompt, system, template = _text(group, rng)
        user = f"u{rng.randrange(_END_USERS)}" if group.style == "application" else None
        yield request(
            scene, account, name, moment(scene, account, day, rng), prompt, family=group.name, kind="benign_template",
            template=template, system=system, end_user=user,
        )  # fmt: skip


def _daily(
    scene: Scene, group: Lookalike, account: Account, rng: Random, *, least: int = 0, own: float = 0.0
) -> Iterator[Request]:
    """The template on the account's active days, at least `least` times, and `own` ordinary requests beside it."""
    for day in range(scene.days):
        if group.day in (None, day) and rng.random() < group.active:
            yield from _use(scene, group, account, day, least + poisson(rng, group.per_account - least))
            yield from ordinary_day(scene, account, day, poisson(rng, own), family=group.name + ":own")


def _popular(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """A public template that unrelated people and services fill in; also a craze, where there is one day."""
    for account, rng in _accounts(scene, group):
        yield from _daily(scene, group, account, rng, least=1, own=_OWN_PROMPTS)


def _company(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """One company: a key a team, one card, one exit address, jobs at night; says so by an organisation, or does not."""
    net, card = network(scene.seed, group.name), opaque(scene.seed, group.name, "card")
    exits = (address_in(net, stream(scene.seed, group.name, "exit")),)
    rhythms: tuple[Rhythm, Rhythm] = ("cron", "flat")
    for plain, rng in _accounts(scene, group):
        account = replace(
            plain,
            addresses=exits,
            card=card,
            org="org-" + opaque(scene.seed, group.name) if group.org else None,
            rhythm=rng.choice(rhythms),
            preface=None,
            system=None,
        )
        yield from _daily(scene, group, account, rng)


def _class(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """A course, or a hackathon where all are new: one place, one time zone, no cards."""
    net = network(scene.seed, group.name)
    for plain, rng in _accounts(scene, group):
        account = replace(
            plain,
            addresses=(address_in(net, rng),) if rng.random() < _CLASS_IN_PLACE else plain.addresses,
            card=None,
            org=None,
            rhythm="human",
            zone=_CLASS_ZONE,
        )
        yield from _daily(scene, group, account, rng, least=1, own=_OWN_PROMPTS)


def _application(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """One customer's product: its account speaks for many end users."""
    for plain, rng in _accounts(scene, group):
        org = "org-" + opaque(scene.seed, group.name)
        yield from _daily(scene, group, replace(plain, org=org, rhythm="flat", preface=None, system=None), rng)


def _harness(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """An assistant that people install: one client, one long system prompt, everybody's own work."""
    for plain, rng in _accounts(scene, group):
        yield from _daily(scene, group, replace(plain, preface=None, system=None), rng)


def _own_keys(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """A young product that runs on its users' own keys: one client, one wrapper, many young customers."""
    for plain, rng in _accounts(scene, group):
        yield from _daily(scene, group, replace(plain, rhythm="human"), rng)


def _evaluation(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """Researchers who run the same public items: few accounts, each one long burst."""
    for account, rng in _accounts(scene, group):
        day = rng.randrange(scene.days) if group.day is None else group.day
        if day >= scene.days or not awake(scene, account, day):
            continue
        start = moment(scene, account, day, rng)
        for item in range(round(group.per_account)):
            prompt, system, template = _text(group, stream(scene.seed, group.name, "item", item))
            when = clamped(scene, account, start + timedelta(seconds=item * _ITEM_PAUSE))
            yield request(
                scene, account, ("item", item), when, prompt, family=group.name, kind="benign_template",
                template=template, system=system,
            )  # fmt: skip


def _gateway(scene: Scene, group: Lookalike) -> Iterator[Request]:
    """A reseller: one place and one client, unrelated people with ordinary prompts behind it."""
    net = network(scene.seed, group.name)
    exits = tuple(address_in(net, stream(scene.seed, group.name, "exit", at)) for at in range(_GATEWAY_ADDRESSES))
    for plain, rng in _accounts(scene, group):
        account = replace(plain, addresses=(rng.choice(exits),))
        for day in range(scene.days):
            count = poisson(rng, group.per_account)
            yield from ordinary_day(scene, account, day, count, family=group.name)


_STYLES: dict[Style, Callable[[Scene, Lookalike], Iterator[Request]]] = {
    "popular": _popular,
    "viral": _popular,
    "company": _company,
    "class": _class,
    "application": _application,
    "harness": _harness,
    "own_keys": _own_keys,
    "evaluation": _evaluation,
    "gateway": _gateway,
}
