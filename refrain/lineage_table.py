"""A night's map from the numbers of its run to stable ids, as `runs/nightly-<day>/lineage/lineage.parquet`.

Beside it `stories.jsonl`: what became of each of its campaigns until then (refrain.stories), one JSON object a line;
and, written last of all, `done.json`: that all was done that follows from the night, and whether the webhook heard.

It is written after the night is published and from the ledger alone, so it can be written again. It names the digest of
the exports that it belongs to: where these are others by now, their numbers mean other things.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import read_manifest, staged, sweep, write_text
from refrain.contract import METADATA_KEY, VERSION
from refrain.errors import StoreError

if TYPE_CHECKING:  # the report and `show` read maps, and need no database for that
    from refrain.ledger.rows import EventRow, SightingRow

FOLDER = "lineage"
FILE = "lineage.parquet"
STORIES = "stories.jsonl"
DONE = "done.json"
_CONTENT_KEY = b"refrain.exports"

SCHEMA = pa.schema(
    [
        pa.field("kind", pa.string(), nullable=False),
        pa.field("local_id", pa.int64()),
        pa.field("identity", pa.string(), nullable=False),
        pa.field("events", pa.list_(pa.string()), nullable=False),
        pa.field("others", pa.list_(pa.string()), nullable=False),
    ]
)
_KINDS = {"c": "campaign", "t": "template", "s": "cluster"}  # by the first letter of an id
CAMPAIGN: Final = "campaign"


def write_lineage(
    run: Path,
    content: str,
    sightings: "Sequence[SightingRow]",
    events: "Sequence[EventRow]",
    stories: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Nothing; the map of one night, whose exports have the digest `content`, then lies in its run's folder with the
    stories of its campaigns.

    One row for each campaign, template and cluster with a stable id, and one for each identity that something happened
    to though the run has none of it (`local_id` is null).
    """
    told: dict[str, list[EventRow]] = {}
    for event in events:
        told.setdefault(event.identity, []).append(event)
    rows: list[tuple[str, int | None, str]] = [(row.kind, row.local_id, row.identity) for row in sightings]
    here = {row.identity for row in sightings}
    rows += [(_KINDS[identity[0]], None, identity) for identity in told if identity not in here]
    rows.sort(key=lambda row: (list(_KINDS.values()).index(row[0]), row[1] is None, row[1] or 0, row[2]))
    table = pa.Table.from_pylist(
        [
            {
                "kind": kind,
                "local_id": local_id,
                "identity": identity,
                "events": [event.event for event in told.get(identity, ())],
                "others": sorted({other for event in told.get(identity, ()) for other in event.others}),
            }
            for kind, local_id, identity in rows
        ],
        schema=SCHEMA.with_metadata({METADATA_KEY: VERSION.encode(), _CONTENT_KEY: content.encode()}),
    )
    sweep(run)
    with staged(run / FOLDER) as out:
        pq.write_table(table, out / FILE, compression="zstd")
        lines = [json.dumps(one, sort_keys=True) + "\n" for one in stories]
        (out / STORIES).write_text("".join(lines), encoding="ascii")


def has_lineage(run: Path, content: str) -> bool:
    """Whether the run's folder has the map of exports with the digest `content`."""
    return _read(run, content) is not None


def mark_done(run: Path, night: str, *, told: bool) -> None:
    """Nothing; the map then says that all was done that follows from the night with the digest `night`, and whether the
    webhook heard what it had to hear. Another map knows nothing of it."""
    write_text(run / FOLDER / DONE, json.dumps({"night": night, "told": told}, sort_keys=True) + "\n")


def read_done(run: Path) -> tuple[str, bool] | None:
    """What `mark_done` was given; None where there is none that can be read."""
    try:
        data = json.loads((run / FOLDER / DONE).read_text(encoding="ascii"))
        return str(data["night"]), bool(data["told"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_names(run: Path) -> dict[int, dict[str, Any]]:
    """By a run's campaign number its `identity`, `events` and `others`; empty where no night was made of this run, or
    where it was computed anew since."""
    try:
        manifest = read_manifest(run / "exports")
    except StoreError:
        manifest = None
    table = None if manifest is None else _read(run, manifest.content)
    if table is None:
        return {}
    rows = [row for row in table.to_pylist() if row["kind"] == CAMPAIGN and row["local_id"] is not None]
    return {row["local_id"]: {name: row[name] for name in ("identity", "events", "others")} for row in rows}


def stable_ids(run: Path) -> dict[int, str]:
    """The stable id of each campaign of a run by its number; empty where `read_names` is."""
    return {number: row["identity"] for number, row in read_names(run).items()}


def read_stories(run: Path) -> dict[str, dict[str, Any]]:
    """The stories of a night's campaigns by stable id; empty where `read_names` is."""
    if not read_names(run):
        return {}
    try:
        lines = (run / FOLDER / STORIES).read_text(encoding="ascii").splitlines()
        return {one["id"]: one for one in map(json.loads, lines)}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def name_rows(run: Path, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Findings with their `identity` (None where there is none) and the night's `events`."""
    names = read_names(run)
    none: dict[str, Any] = {"identity": None, "events": []}
    found = [names.get(row["campaign_id"], none) for row in rows]
    return [
        {**row, "identity": name["identity"], "events": name["events"]} for row, name in zip(rows, found, strict=True)
    ]


def _read(run: Path, content: str) -> pa.Table | None:
    path = run / FOLDER / FILE
    try:
        table = pq.ParquetFile(path).read()
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException):
        return None  # torn: it is written again with the next night, from the ledger
    return table if (table.schema.metadata or {}).get(_CONTENT_KEY) == content.encode() else None
