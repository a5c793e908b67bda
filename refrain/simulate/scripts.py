"""Campaigns with a story: which pool sends which wrapper on which nights, and what a follower should say of it.

A script is acts: each has some of one pool's accounts send one wrapper for some days. What a run can see as one
campaign or as two is who sends what: a pool with two wrappers is one until its halves keep one wrapper each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from refrain.simulate.campaigns import Campaign, campaign_request, pool, tried
from refrain.simulate.requests import Request, ordinary_day
from refrain.simulate.rhythms import awake
from refrain.simulate.scene import Scene
from refrain.simulate.streams import poisson, stream

_EARLIER_LIFE = 1.5  # requests a day of an account that has no act on that day, as of one before its campaign
_NUMBERS_PER_ACT = 1000  # requests of one account, act and day have numbers of their own


@dataclass(frozen=True)
class Act:
    """`accounts` of the pool, as shares of it from and to, send the campaign's wrapper from day `first` until before
    day `end`; the truth calls it `name`. `pool` 1 is another pool of the same knobs."""

    name: str
    campaign: Campaign
    first: int
    end: int
    accounts: tuple[float, float] = (0.0, 1.0)
    pool: int = 0


@dataclass(frozen=True)
class Told:
    """What happens to the campaign `name` on a night (a day from 0): an event of refrain.lineage, and with whom."""

    name: str
    night: int
    event: str
    other: str = ""


@dataclass(frozen=True)
class Script:
    """The acts of one pool, or of some under one name, and the events that they come to."""

    acts: tuple[Act, ...]
    events: tuple[Told, ...]


def script_requests(scene: Scene, script: Script) -> Iterator[Request]:
    """All requests of a script's accounts, cover included, and of the strangers who tried its wrappers."""
    pools = {(act.campaign.name, act.pool): act.campaign for act in script.acts}
    members = {key: pool(scene, campaign, key[1]) for key, campaign in pools.items()}
    for day in range(scene.days):
        for (name, number), accounts in members.items():
            acts = [
                (at, act)
                for at, act in enumerate(script.acts)
                if (act.campaign.name, act.pool) == (name, number) and act.first <= day < act.end
            ]
            for place, account in enumerate(accounts):
                own = [(at, act) for at, act in acts if _plays(act, place, len(accounts))]
                rate = own[0][1].campaign.cover_rate if own else _EARLIER_LIFE
                ordinary = poisson(stream(scene.seed, account.account_id, "cover", day), rate)
                yield from ordinary_day(scene, account, day, ordinary, family=f"{name}:cover")
                for at, act in own:
                    if awake(scene, account, day) or not act.campaign.rests:
                        volume = stream(scene.seed, account.account_id, "volume", day, at)
                        for count in range(poisson(volume, act.campaign.per_account)):
                            made = campaign_request(scene, act.campaign, account, day, at * _NUMBERS_PER_ACT + count)
                            wording = str(made.template).rpartition("/")[2]
                            # Two pools with one wrapper have one template.
                            template = f"{act.campaign.wrapper}/{wording}"
                            yield made._replace(family=act.name, template=template)
        for campaign in {
            act.campaign.wrapper: act.campaign for act in script.acts if act.first <= day < act.end
        }.values():
            yield from tried(scene, replace(campaign, name=f"{campaign.name}-{campaign.wrapper}"), day)


def _plays(act: Act, place: int, accounts: int) -> bool:
    return act.accounts[0] <= place / accounts < act.accounts[1]
