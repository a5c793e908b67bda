"""What a run holds of some segments: who sent them, in which templates and campaigns; plain values that JSON knows.

Texts and account ids are as they came: hostile. Whoever shows them makes them fit first (refrain.search_view).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.config import IngestConfig
from refrain.counting import Ints
from refrain.errors import InputError
from refrain.formats import plain
from refrain.segments import SegmentRules, cut
from refrain.tables import parts
from refrain.text import repair

Row = dict[str, Any]
_SEGMENT = ("segment_row", "raw", "words", "requests", "accounts", "owners", "first_seen", "last_seen")
_TEMPLATE = ("template_id", "skeleton", "kind", "words", "requests", "accounts", "owners")
_CAMPAIGN = ("campaign_id", "alert", "score", "q_value", "accounts", "owners", "requests", "first_seen", "last_seen")
_QUERIES = 64  # segments of one query: some thousand words; each costs one more product over all vectors


@dataclass(frozen=True)
class Query:
    """A text as the log's texts are cut: normalised `segments` to look for, and how many more it has."""

    segments: tuple[str, ...]
    left_out: int


def read_query(text: str, config: IngestConfig) -> Query:
    """The segments of a text that have a letter, each once; InputError where there is none."""
    rules = SegmentRules(config.segment_max_words, config.segment_window_words, config.max_segments)
    found = dict.fromkeys(normal for normal, _ in cut(repair(text)[0], rules) if any(map(str.isalpha, normal)))
    if not found:
        raise InputError("the text has no word to look for")
    return Query(tuple(found)[:_QUERIES], max(0, len(found) - _QUERIES))


def describe_hits(run: Path, segment_rows: Ints, cosines: NDArray[np.float64], *, accounts: int) -> Row:
    """What the run says of segments at some rows (n,), in the order given, with their cosines (n,).

    `hits` has one dict a segment: its text and counts, `cosine`, cluster, `templates` that are made of it, `campaigns`
    that its requests are labelled with (each with the number of these), and the first `accounts` of those that sent it
    most. `templates` and `campaigns` describe those that are named, `accounts` and `requests` count what holds any of
    the segments. What the run has not come to is left empty.
    """
    wanted, hits = np.unique(segment_rows), [int(row) for row in segment_rows]
    segments = _segments(run / "requests", wanted)
    said = _said(run / "requests", wanted)
    clusters = _lookup(run / "clusters" / "segment_clusters.parquet", "segment_row", wanted, ["cluster_id"])
    made_of = _lookup(run / "templates" / "template_segments.parquet", "segment_row", wanted, ["template_id"])
    labels = _lookup(
        run / "campaigns" / "request_campaigns.parquet", "request_row", np.unique(said["request_row"]), ["campaign_id"]
    )
    campaign_of = dict(zip(labels["request_row"], labels["campaign_id"], strict=True))
    cluster_of = dict(zip(clusters["segment_row"], clusters["cluster_id"], strict=True))
    ids = _account_ids(run / "requests", said["account_row"])
    rows: list[Row] = []
    for hit, cosine in zip(hits, cosines.tolist(), strict=True):
        mine = said["segment_row"] == hit
        labelled = [campaign_of.get(row) for row in np.unique(said["request_row"][mine]).tolist()]
        numbers = sorted({number for number in labelled if number is not None})
        templates = [
            t for s, t in zip(made_of["segment_row"], made_of["template_id"], strict=True) if s == hit and t is not None
        ]
        rows.append({
            **segments[hit],
            "cosine": cosine,
            "cluster_id": cluster_of.get(hit, -1),
            "templates": sorted(set(templates)),
            "campaigns": [{"campaign_id": n, "requests": labelled.count(n)} for n in numbers],
            "top_accounts": _most_active(said["account_row"][mine], ids, accounts),
        })  # fmt: skip
    templates = sorted({template for row in rows for template in row["templates"]})
    campaigns = sorted({entry["campaign_id"] for row in rows for entry in row["campaigns"]})
    found: Row = plain({
        "hits": rows,
        "requests": len(np.unique(said["request_row"])),
        "accounts": len(np.unique(said["account_row"])),
        "templates": _rows(run / "templates" / "templates.parquet", "template_id", templates, _TEMPLATE),
        "campaigns": _rows(run / "campaigns" / "campaigns.parquet", "campaign_id", campaigns, _CAMPAIGN),
    })  # fmt: skip
    return found


def _segments(requests: Path, wanted: Ints) -> dict[int, Row]:
    """Text and counts of the segments at some rows, ascending; only their row groups are read."""
    found: dict[int, Row] = {}
    with pq.ParquetFile(requests / "segments.parquet") as file:
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            inside = wanted[(wanted >= start) & (wanted < end)] - start
            if len(inside):
                rows = file.read_row_group(group, columns=list(_SEGMENT)).take(pa.array(inside)).to_pylist()
                for row in rows:
                    row["text"] = row.pop("raw")
                    found[row["segment_row"]] = row
            start = end
    return found


def _said(requests: Path, wanted: Ints) -> dict[str, Ints]:
    """One entry for each request that says each of the segments, resent history left out: segment_row, request_row and
    account_row, aligned."""
    columns = ["segment_row", "request_row"]
    pairs = [np.empty((0, 2), np.int64)]
    accounts = [np.empty((0, 2), np.int64)]
    for path in parts(requests / "request_segments"):
        table = pq.ParquetFile(path).read(columns=[*columns, "counted"])
        held = table.filter(pc.and_(table["counted"], pc.is_in(table["segment_row"], pa.array(wanted))))
        pairs.append(np.stack([held[name].to_numpy() for name in columns], axis=1))
    both = np.unique(np.concatenate(pairs), axis=0)
    rows = np.unique(both[:, 1])
    for path in parts(requests / "requests"):
        table = pq.ParquetFile(path).read(columns=["request_row", "account_row"])
        held = table.filter(pc.is_in(table["request_row"], pa.array(rows)))
        accounts.append(np.stack([held[name].to_numpy() for name in ("request_row", "account_row")], axis=1))
    owners = np.concatenate(accounts)
    owners = owners[np.argsort(owners[:, 0], kind="stable")]
    return {
        "segment_row": both[:, 0],
        "request_row": both[:, 1],
        "account_row": owners[np.searchsorted(owners[:, 0], both[:, 1]), 1],
    }


def _lookup(file: Path, key: str, wanted: Ints, columns: Sequence[str]) -> dict[str, list[Any]]:
    """The columns `key` and others of the rows of a table whose key is wanted; empty where the run lacks the table."""
    if not file.exists():
        return {name: [] for name in (key, *columns)}
    table = pq.ParquetFile(file).read(columns=[key, *columns])
    found = table.filter(pc.is_in(table[key], pa.array(wanted)))
    return {name: found[name].to_pylist() for name in (key, *columns)}


def _rows(file: Path, key: str, wanted: Sequence[int], columns: Sequence[str]) -> list[Row]:
    """Some columns of the rows of a table whose key is wanted, by key."""
    if not wanted:
        return []
    table = pq.ParquetFile(file).read(columns=list(columns))
    rows: list[Row] = table.filter(pc.is_in(table[key], pa.array(wanted, pa.int64()))).sort_by(key).to_pylist()
    return rows


def _account_ids(requests: Path, account_rows: Ints) -> Mapping[int, str]:
    """The ids of accounts by row."""
    wanted = np.unique(account_rows)
    ids = pq.ParquetFile(requests / "accounts.parquet").read(columns=["account_id"])["account_id"]
    return dict(zip(wanted.tolist(), ids.take(pa.array(wanted)).to_pylist(), strict=True))


def _most_active(account_rows: Ints, ids: Mapping[int, str], limit: int) -> list[Row]:
    """The accounts of some requests with their numbers of these, most first and then by id."""
    rows, counts = np.unique(account_rows, return_counts=True)
    told = sorted(zip((-counts).tolist(), (ids[row] for row in rows.tolist()), strict=True))
    return [{"account_id": account, "requests": -count} for count, account in told[:limit]]
