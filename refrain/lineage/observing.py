"""What a run found, as signatures: its campaigns, templates and clusters with their members as keyed digests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.config import LineageConfig
from refrain.errors import StoreError
from refrain.key import keyed_digest
from refrain.lineage.changes import day_number
from refrain.lineage.signatures import Part, Signature, sketch
from refrain.lineage.types import Seen
from refrain.queries import database
from refrain.shingles import shingles
from refrain.suppressions import member_digest
from refrain.tables import parts

# MiB for the joins, which hold a few numbers for each use of a template or cluster; more spills.
_MEMORY_LIMIT_MIB = 1024
_DIGEST_BYTES = 8
_MODELS = 16  # of a campaign, those with most requests; a log may name as many as it has rows
_MODEL_CHARACTERS = 80
_NEEDED = ("requests", "clusters", "templates", "campaigns")

# Which request is in what: a request is in one campaign, in many templates and clusters. As the cluster stage counts,
# what stands in an earlier request of the same conversation was counted there.
_USES = """
CREATE TEMP TABLE parts AS
    SELECT 'campaign' AS kind, c.campaign_id AS id, t.segment_row
        FROM (SELECT campaign_id, unnest(templates) AS template_id FROM read_parquet($campaigns)) c
        JOIN read_parquet($template_segments) t USING (template_id)
    UNION SELECT 'template', template_id, segment_row FROM read_parquet($template_segments)
        WHERE template_id IN (SELECT id FROM followed WHERE kind = 'template')
    UNION SELECT 'cluster', cluster_id, segment_row FROM read_parquet($segment_clusters)
        WHERE cluster_id IN (SELECT id FROM followed WHERE kind = 'cluster');
CREATE TEMP TABLE sent AS
    SELECT p.kind, p.id, p.segment_row, s.request_row, bool_or(s.counted) AS counted
        FROM read_parquet($request_segments, hive_partitioning = false) s JOIN parts p USING (segment_row)
        GROUP BY ALL;
CREATE TEMP TABLE held AS
    SELECT 'campaign' AS kind, campaign_id AS id, request_row FROM read_parquet($labels) WHERE campaign_id IS NOT NULL
    UNION ALL SELECT 'template', template_id, request_row FROM read_parquet($request_templates)
        WHERE template_id IN (SELECT id FROM followed WHERE kind = 'template')
    UNION ALL SELECT DISTINCT kind, id, request_row FROM sent WHERE kind = 'cluster' AND counted;
CREATE TEMP TABLE uses AS
    SELECT DISTINCT h.kind, h.id, h.request_row, r.account_row, r.model, epoch_us(r.timestamp) AS time,
            CAST(epoch_us(r.timestamp) // 86400000000 AS INTEGER) AS day
        FROM held h JOIN read_parquet($requests, hive_partitioning = false) r USING (request_row);
"""
_ACCOUNTS = """SELECT kind, id, account_row AS member, count(*) AS weight, min(day) AS first, max(day) AS last
    FROM uses GROUP BY kind, id, account_row ORDER BY kind, id, member"""
_REQUESTS = "SELECT kind, id, request_row AS member, 1 AS weight, day AS first, day AS last FROM uses ORDER BY ALL"
_SEGMENTS = """SELECT s.kind, s.id, s.segment_row AS member, count(*) AS weight, min(u.day) AS first, max(u.day) AS last
    FROM sent s JOIN uses u USING (kind, id, request_row) GROUP BY s.kind, s.id, s.segment_row ORDER BY 1, 2, 3"""
_MODEL_DAYS = """SELECT id, model, day, count(*) AS requests FROM uses WHERE kind = 'campaign' AND model IS NOT NULL
    GROUP BY id, model, day ORDER BY id, model, day"""
_WHOLE = """SELECT kind, id, count(*) AS requests, count(DISTINCT account_row) AS accounts, min(time) AS first,
    max(time) AS last FROM uses GROUP BY kind, id ORDER BY kind, id"""
_FOLLOWED = """
CREATE TEMP TABLE followed AS
    SELECT DISTINCT 'template' AS kind, unnest(templates) AS id FROM read_parquet($campaigns)
    UNION SELECT 'template', template_id FROM
        (SELECT template_id FROM read_parquet($templates) ORDER BY owners DESC, template_id LIMIT $followed)
    UNION SELECT 'cluster', cluster_id FROM
        (SELECT cluster_id FROM read_parquet($clusters) ORDER BY owners DESC, cluster_id LIMIT $followed)
    UNION SELECT 'cluster', t.cluster_id FROM read_parquet($template_segments) t
        WHERE t.cluster_id >= 0 AND t.template_id IN (SELECT unnest(templates) FROM read_parquet($campaigns));
"""

_Key = tuple[str, int]


def observe(run: Path, key: bytes, rule: LineageConfig) -> list[Seen]:
    """Campaigns, templates and clusters of a run's folder, by kind and number; `key` is the store's.

    Needs the stage folders requests, clusters, templates and campaigns; StoreError where one is missing. Of the
    templates and clusters those of a campaign and the `rule.followed` with most owners. What no request is labelled
    with is left out.
    """
    for noun in _NEEDED:
        if not (run / noun).is_dir():
            raise StoreError(f"run {run.name} has no {noun} yet", hint=f"run all stages of {run.name} first")
    days = [day_number(_partition_day(path)) for path in parts(run / "requests" / "requests")]
    if not days:
        return []
    window = min(days), max(days)

    def limits(kind: str) -> int:
        return rule.campaign_members if kind == "campaign" else rule.other_members

    with database(_MEMORY_LIMIT_MIB) as connection:
        _prepare(connection, run, rule)
        digests = _digests(run, key)
        found = {
            name: _parts(connection.sql(sql).fetchnumpy(), digests[name], limits)
            for name, sql in (("accounts", _ACCOUNTS), ("requests", _REQUESTS), ("segments", _SEGMENTS))
        }
        models = _models(connection.sql(_MODEL_DAYS).fetchall())
        whole = connection.sql(_WHOLE).fetchall()
    words = _words(run, key, rule, [(kind, number) for kind, number, *_ in whole], limits)
    alerts = dict(_rows(run / "campaigns" / "campaigns.parquet", ("campaign_id", "alert")))
    return [
        Seen(
            kind, number, kind == "campaign" and bool(alerts[number]), accounts, requests,
            Signature(
                found["accounts"][kind, number], found["requests"][kind, number],
                found["segments"].get((kind, number), _NONE), words.get((kind, number), _NONE),
                models.get(number, ()) if kind == "campaign" else (), window, first, last,
            ),
        )
        for kind, number, requests, accounts, first, last in whole
    ]  # fmt: skip


_NONE = sketch([], [], [], [], 1)


def _partition_day(path: Path) -> date:
    return date.fromisoformat(path.parent.name.removeprefix("day="))


def _prepare(connection: duckdb.DuckDBPyConnection, run: Path, rule: LineageConfig) -> None:
    """Nothing; the connection then has the tables `sent` and `uses`."""
    places: dict[str, Any] = {
        "campaigns": str(run / "campaigns" / "campaigns.parquet"),
        "labels": str(run / "campaigns" / "request_campaigns.parquet"),
        "templates": str(run / "templates" / "templates.parquet"),
        "template_segments": str(run / "templates" / "template_segments.parquet"),
        "request_templates": str(run / "templates" / "request_templates.parquet"),
        "clusters": str(run / "clusters" / "clusters.parquet"),
        "segment_clusters": str(run / "clusters" / "segment_clusters.parquet"),
        "requests": [str(path) for path in parts(run / "requests" / "requests")],
        "request_segments": [str(path) for path in parts(run / "requests" / "request_segments")],
        "followed": rule.followed,
    }
    for statement in (_FOLLOWED + _USES).split(";"):
        wanted = {name: value for name, value in places.items() if f"${name})" in statement or f"${name}," in statement}
        if statement.strip():
            connection.execute(statement, wanted)


def _digests(run: Path, key: bytes) -> dict[str, Callable[[NDArray[np.int64]], NDArray[np.uint64]]]:
    """For each part, what gives the digests of its members' rows."""
    requests = run / "requests"

    def accounts(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        ids = pq.read_table(requests / "accounts.parquet", columns=["account_id"])["account_id"].take(rows)
        return np.array([int(member_digest(key, name)[: 2 * _DIGEST_BYTES], 16) for name in ids.to_pylist()], np.uint64)

    def texts(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        kept = pq.read_table(requests / "segments.parquet", columns=["digest"])["digest"].take(rows)
        return _numbers(kept.to_pylist())

    def names(rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        out, start = np.zeros(len(rows), np.uint64), 0
        for path in parts(requests / "requests"):
            ids = pq.ParquetFile(path).read(columns=["request_id"])["request_id"]
            own = (rows >= start) & (rows < start + len(ids))
            given = ids.take(rows[own] - start).to_pylist()
            out[own] = _numbers(keyed_digest(key, name.encode()) for name in given)
            start += len(ids)
        return out

    return {"accounts": accounts, "requests": names, "segments": texts}


def _numbers(digests: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.array([int.from_bytes(digest[:_DIGEST_BYTES], "big") for digest in digests], np.uint64)


def _parts(
    rows: dict[str, Any], digest: Callable[[NDArray[np.int64]], NDArray[np.uint64]], limits: Callable[[str], int]
) -> dict[_Key, Part]:
    """The sketch of each thing; the rows are sorted by kind and id."""
    members = np.asarray(rows["member"], np.int64)
    distinct, places = np.unique(members, return_inverse=True)
    digests = digest(distinct)[places]
    out = {}
    for name, own in _groups(np.asarray(rows["kind"]).astype(str), np.asarray(rows["id"], np.int64)):
        columns = (digests[own], rows["weight"][own], rows["first"][own], rows["last"][own])
        out[name] = sketch(*columns, limits(name[0]))
    return out


def _groups(kinds: NDArray[np.str_], ids: NDArray[np.int64]) -> Iterator[tuple[_Key, slice]]:
    if not len(ids):
        return
    starts = np.flatnonzero(np.concatenate([[True], (kinds[1:] != kinds[:-1]) | (ids[1:] != ids[:-1])])).tolist()
    for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
        yield (str(kinds[start]), int(ids[start])), slice(start, end)


def _models(rows: Sequence[tuple[int, str, int, int]]) -> dict[int, tuple[tuple[str, int, int], ...]]:
    """Requests by model and day of each campaign, of the models that it uses most."""
    found: dict[int, dict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for number, model, day, requests in rows:
        found[number][model[:_MODEL_CHARACTERS]].append((day, requests))
    out = {}
    for number, models in found.items():
        most = sorted(models, key=lambda model: (-sum(count for _, count in models[model]), model))[:_MODELS]
        out[number] = tuple((model, day, count) for model in sorted(most) for day, count in sorted(models[model]))
    return out


def _words(
    run: Path, key: bytes, rule: LineageConfig, wanted: Sequence[_Key], limits: Callable[[str], int]
) -> dict[_Key, Part]:
    """The shingles of the templates, and of the campaigns by theirs."""
    own = dict(_rows(run / "campaigns" / "campaigns.parquet", ("campaign_id", "templates")))
    templates = {key: own[key[1]] if key[0] == "campaign" else [key[1]] for key in wanted if key[0] != "cluster"}
    used = {number for numbers in templates.values() for number in numbers}
    skeletons = dict(_rows(run / "templates" / "templates.parquet", ("template_id", "skeleton")))
    runs = {number: shingles(skeletons[number], rule.shingle_words) for number in sorted(used)}
    out = {}
    for name, numbers in templates.items():
        texts = sorted({" ".join(words) for number in numbers for words in runs[number]})
        found = np.unique(_numbers(keyed_digest(key, text.encode()) for text in texts))
        ones = np.ones(len(found))
        out[name] = sketch(found, ones, 0 * ones, 0 * ones, limits(name[0]))
    return out


def _rows(table: Path, columns: tuple[str, str]) -> Iterator[tuple[Any, Any]]:
    data = pq.read_table(table, columns=list(columns))
    return zip(data[columns[0]].to_pylist(), data[columns[1]].to_pylist(), strict=True)
