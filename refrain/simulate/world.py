"""A world and the sample that it gives: the log as a provider holds it, and the truth apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from refrain.simulate.accounts import ordinary_account
from refrain.simulate.campaigns import Campaign, campaign_requests
from refrain.simulate.lookalikes import Lookalike, lookalike_requests
from refrain.simulate.requests import Request, ordinary_day
from refrain.simulate.scene import Scene
from refrain.simulate.scripts import Script, script_requests
from refrain.simulate.streams import poisson, stream

_TIME = pa.timestamp("us", tz="UTC")
LOG_SCHEMA = pa.schema(
    [
        ("request_id", pa.string()),
        ("account_id", pa.string()),
        ("timestamp", _TIME),
        ("prompt", pa.string()),
        ("system_prompt", pa.string()),
        ("conversation_id", pa.string()),
        ("model", pa.string()),
        ("ip", pa.string()),
        ("user_agent", pa.string()),
        ("payment_hash", pa.string()),
        ("org_id", pa.string()),
        ("end_user", pa.string()),
        ("account_created_at", _TIME),
    ]
)
TRUTH_SCHEMA = pa.schema([(name, pa.string()) for name in ("request_id", "account_id", "family", "kind", "template")])
ORGANIC = "organic"


@dataclass(frozen=True)
class World:
    """A scene and who acts in it. Campaigns and look-alikes are whole; people fill the log up to `requests`."""

    scene: Scene
    requests: int
    campaigns: tuple[Campaign, ...] = ()
    lookalikes: tuple[Lookalike, ...] = ()
    scripts: tuple[Script, ...] = ()

    def __post_init__(self) -> None:
        names = [campaign.name for campaign in self.campaigns] + [group.name for group in self.lookalikes]
        if len(set(names)) < len(names):
            raise ValueError("two families of one world have the same name")
        if self.requests < 1:
            raise ValueError("a world needs at least one request")


@dataclass(frozen=True)
class Sample:
    """Log and truth, row by row of the same requests, sorted by (timestamp, request_id)."""

    log: pa.Table  # LOG_SCHEMA
    truth: pa.Table  # TRUTH_SCHEMA

    def counts(self) -> dict[str, int]:
        """Requests, accounts, campaigns, accounts in campaigns, and requests of each kind."""
        kinds = self.truth["kind"].to_pylist()
        owned = list(zip(self.truth["account_id"].to_pylist(), self.truth["family"].to_pylist(), kinds, strict=True))
        hidden = [(account, family) for account, family, kind in owned if kind == "campaign"]
        return {
            "requests": len(kinds),
            "accounts": len({account for account, _, _ in owned}),
            "campaigns": len({family for _, family in hidden}),
            "campaign_accounts": len({account for account, _ in hidden}),
            **{f"{kind}_requests": count for kind, count in sorted(Counter(kinds).items())},
        }


def sample(world: World) -> Sample:
    """The world's traffic; the same world gives the same tables."""
    requests = list(_planted(world))
    room = max(world.requests, len(requests))
    person = 0
    while len(requests) < room:
        requests.extend(_person(world.scene, person))
        person += 1
    del requests[room:]
    requests.sort(key=lambda r: (r.when, r.request_id))
    return Sample(_table(map(_logged, requests), LOG_SCHEMA), _table(map(_true, requests), TRUTH_SCHEMA))


def _planted(world: World) -> Iterator[Request]:
    for campaign in world.campaigns:
        yield from campaign_requests(world.scene, campaign)
    for group in world.lookalikes:
        yield from lookalike_requests(world.scene, group)
    for script in world.scripts:
        yield from script_requests(world.scene, script)


def _person(scene: Scene, number: int) -> Iterator[Request]:
    """Every request of one ordinary customer."""
    account, habits = ordinary_account(scene, ORGANIC, number), scene.habits
    rng = stream(scene.seed, account.account_id, "volume")
    volume = rng.lognormvariate(habits.volume_log_mean, habits.volume_log_deviation)
    for day in range(scene.days):
        if rng.random() < habits.active:
            count = min(habits.volume_limit, 1 + poisson(rng, volume))
            yield from ordinary_day(scene, account, day, count, family=ORGANIC)


def _logged(r: Request) -> tuple[object, ...]:
    a = r.account
    return (
        r.request_id, a.account_id, r.when, r.prompt, r.system, r.conversation, r.model, r.address, a.client, a.card,
        a.org, r.end_user, a.created_at,
    )  # fmt: skip


def _true(r: Request) -> tuple[object, ...]:
    return r.request_id, r.account.account_id, r.family, r.kind, r.template


def _table(rows: Iterator[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
