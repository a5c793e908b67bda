"""A world of many nights in which campaigns split, merge, pause, end, change pool, model and size, and its truth.

`write_nights` writes OUT/requests/day=... (the log without its late rows), OUT/late/<day>/day=... (rows that arrive on
that day, to be copied over OUT/requests before its night), OUT/truth.parquet (as `write_sample` does) and
OUT/nights.parquet: campaign, night, event, other, requests.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.errors import InputError
from refrain.simulate.campaigns import Campaign
from refrain.simulate.demo import demo_world
from refrain.simulate.scene import Scene
from refrain.simulate.scripts import Act, Script, Told
from refrain.simulate.streams import stream
from refrain.simulate.world import World, sample
from refrain.simulate.writing import CARD, refuse_foreign

FEWEST_NIGHTS = 16
NIGHTS_SCHEMA = pa.schema([
    ("campaign", pa.string()), ("night", pa.date32()), ("event", pa.string()), ("other", pa.string()),
    ("requests", pa.int64()),
])  # fmt: skip
LATE = "late"
_STATED_PER_DAY = 3000  # accounts below are stated for this many requests a day
_FEWEST_MEMBERS = 10
# Days of the story, from 0: each change has a window of five days before it and after it.
_SPLIT, _MERGE, _PIVOT, _GROWTH, _SHRINKING, _REPLACED, _PAUSE, _RETURN, _END = 7, 7, 6, 6, 11, 8, 4, 10, 5
_LATE_DAY, _LATE_BY, _LATE_SHARE = 9, 2, 0.1
_HALF, _LARGER = 0.5, 0.6


def nights_world(*, seed: int, nights: int, per_day: int) -> World:
    """The scripted world; it has the innocent groups of the bundled sample."""
    groups = demo_world(seed=seed, requests=per_day * nights, days=nights, campaigns=()).lookalikes
    return World(Scene(seed, nights, new_model_day=_PIVOT), per_day * nights, (), groups, scripts(nights, per_day))


def scripts(nights: int, per_day: int) -> tuple[Script, ...]:
    """The stories of the world; InputError where the nights are too few for them."""
    if nights < FEWEST_NIGHTS:
        raise InputError(f"the story needs {FEWEST_NIGHTS} nights", hint=f"--days {FEWEST_NIGHTS} or more")
    size = max(_FEWEST_MEMBERS, round(24 * per_day / _STATED_PER_DAY))

    def made(name: str, wrapper: str, **knobs: object) -> Campaign:
        settled: dict[str, object] = {
            "accounts": size, "per_account": 4.0, "fresh_share": 0.9, "card_share": 0.4, "client_share": 0.5,
        }  # fmt: skip
        return Campaign(name, wrapper, **{**settled, **knobs})  # type: ignore[arg-type]

    def whole(campaign: Campaign, *events: Told) -> Script:
        return Script((Act(campaign.name, campaign, 0, nights),), (Told(campaign.name, 0, "born"), *events))

    steady, pivot = made("steady", "ledger"), made("pivot", "switchboard", pivot_on=_PIVOT, pivot_share=0.7)
    relay, pause, over, swell = (
        made("relay", "relay"), made("pause", "mentor"), made("over", "veil"), made("swell", "trail", cover=0.3),
    )  # fmt: skip
    fork = [made("fork", wrapper, per_account=3.0, accounts=2 * size) for wrapper in ("sleeper", "scout")]
    left, right = ([made(name, wrapper) for wrapper in ("examiner", "panel")] for name in ("join_a", "join_b"))
    return (
        whole(steady),
        whole(pivot, Told("pivot", _PIVOT, "pivoted")),
        Script(
            (Act("relay", relay, 0, _REPLACED), Act("relay", relay, _REPLACED, nights, pool=1)),
            (Told("relay", 0, "born"), Told("relay", _REPLACED, "succeeded")),
        ),
        Script(
            (Act("pause", pause, 0, _PAUSE), Act("pause", pause, _RETURN, nights)),
            (Told("pause", 0, "born"), Told("pause", _PAUSE, "dormant"), Told("pause", _RETURN, "returned")),
        ),
        Script(
            (Act("over", over, 0, _END),),
            (Told("over", 0, "born"), Told("over", _END, "dormant"), Told("over", _END, "ended")),
        ),
        Script(
            (
                Act("swell", swell, 0, nights, (0.0, _HALF)),
                Act("swell", swell, _GROWTH, _SHRINKING, (_HALF, 1.0)),
            ),
            (Told("swell", 0, "born"), Told("swell", _GROWTH, "grew"), Told("swell", _SHRINKING, "shrank")),
        ),
        Script(
            (
                *(Act("fork", one, 0, _SPLIT) for one in fork),
                Act("fork", fork[0], _SPLIT, nights, (0.0, _LARGER)),
                Act("fork_b", fork[1], _SPLIT, nights, (_LARGER, 1.0)),
            ),
            (Told("fork", 0, "born"), Told("fork_b", _SPLIT, "split", "fork")),
        ),
        Script(
            (
                Act("join_a", left[0], 0, _MERGE),
                Act("join_b", right[1], 0, _MERGE),
                *(Act("join_a", one, _MERGE, nights) for one in (*left, *right)),
            ),
            (Told("join_a", 0, "born"), Told("join_b", 0, "born"), Told("join_a", _MERGE, "merged", "join_b")),
        ),
    )


def write_nights(out: Path, *, seed: int = 7, nights: int = FEWEST_NIGHTS, per_day: int = 3000) -> dict[str, int]:
    """Counts of what is written to OUT. The same arguments write the same bytes. InputError where OUT holds anything
    but an earlier sample, or an argument cannot be used."""
    if per_day < 1:
        raise InputError("a night needs at least one request")
    out = out.resolve()
    world = nights_world(seed=seed, nights=nights, per_day=per_day)
    refuse_foreign(out)
    made = sample(world)
    days = pc.strftime(made.log["timestamp"], format="%Y-%m-%d")
    late_day = world.scene.day(_LATE_DAY).date()
    late = pa.array([
        day == late_day.isoformat() and stream(seed, request, LATE).random() < _LATE_SHARE
        for day, request in zip(days.to_pylist(), made.log["request_id"].to_pylist(), strict=True)
    ])  # fmt: skip
    arrives = late_day + timedelta(days=_LATE_BY)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
        whole = Path(aside) / "sample"
        for day in sorted(set(days.to_pylist())):
            own = pc.equal(days, day)
            _write(made.log.filter(pc.and_not(own, late)), whole / "requests" / f"day={day}" / "part-0.parquet")
        place = whole / LATE / arrives.isoformat() / f"day={late_day}" / "late-0.parquet"
        _write(made.log.filter(late), place)
        _write(made.truth, whole / "truth.parquet")
        _write(nights_table(world, arrives, pc.sum(late).as_py() or 0), whole / "nights.parquet")
        files = sorted(str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file())
        made_with = {"seed": seed, "nights": nights, "per_day": per_day}
        (whole / CARD).write_text(json.dumps({**made_with, "files": files}, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        whole.rename(out)
    return {"nights": nights, **made.counts(), "late_rows": pc.sum(late).as_py() or 0}


def nights_table(world: World, arrives: date, late: int) -> pa.Table:
    """What happens when: the world's events, and on `arrives` the `late` rows."""
    told = [event for script in world.scripts for event in script.events]
    rows = [
        {
            "campaign": event.name, "night": world.scene.day(event.night).date(), "event": event.event,
            "other": event.other, "requests": 0,
        }
        for event in sorted(told, key=lambda event: (event.night, event.name, event.event))
    ]  # fmt: skip
    rows.append({"campaign": "", "night": arrives, "event": LATE, "other": "", "requests": late})
    return pa.Table.from_pylist(rows, schema=NIGHTS_SCHEMA)


def _write(table: pa.Table, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")
