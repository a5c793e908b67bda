"""The requests of a run's campaigns in a database, with whom and where they came from, and the texts of some of them.

The table `own` has one row a labelled request. Texts are read for the requests that are asked for and no others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from refrain.networks import exit_network
from refrain.queries import ROW_GROUP_ROWS
from refrain.tables import parts
from refrain.thresholds import Decision

_OWN = """
CREATE TEMP TABLE own AS
SELECT l.campaign_id, l.template_id, r.request_row, r.request_id, a.account_id, a.owner_row, r.timestamp, r.ip,
       r.network, r.asn, r.user_agent AS client, r.payment_hash AS card, coalesce(u.system, FALSE) AS system,
       CASE WHEN u.system THEN coalesce(r.system_text_row, r.prompt_text_row)
            ELSE coalesce(r.prompt_text_row, r.system_text_row) END AS text_row
FROM read_parquet($labels) l
JOIN read_parquet($requests) r USING (request_row)
JOIN read_parquet($accounts) a USING (account_row)
LEFT JOIN (
    SELECT request_row, template_id, bool_and(role = 'system') AS system FROM read_parquet($uses) GROUP BY ALL
) u ON u.request_row = l.request_row AND u.template_id = l.template_id
WHERE l.campaign_id IS NOT NULL
"""

# A segment that holds a unit of the template is one of its rewordings, where the skeleton does not show it.
_SAMPLED = """
CREATE TEMP TABLE read_texts AS
SELECT text_row, left(text, $characters) AS text FROM read_parquet($texts)
WHERE text_row IN (SELECT o.text_row FROM sampled JOIN own o USING (request_row));
"""
_REWORDED = """
CREATE TEMP TABLE reworded AS
SELECT DISTINCT s.request_row, g.raw
FROM read_parquet($segments) s
JOIN sampled USING (request_row)
JOIN own o USING (request_row)
JOIN read_parquet($held) h ON h.template_id = o.template_id AND h.segment_row = s.segment_row
JOIN read_parquet($distinct) g ON g.segment_row = s.segment_row
"""
_TOLD = """
CREATE TEMP TABLE told AS
SELECT o.*, coalesce(t.text, '') AS text, coalesce(w.rewordings, []) AS rewordings
FROM own o JOIN sampled USING (request_row) LEFT JOIN read_texts t USING (text_row)
LEFT JOIN (SELECT request_row, list(raw ORDER BY raw) AS rewordings FROM reworded GROUP BY ALL) w USING (request_row);
DROP TABLE read_texts;
DROP TABLE reworded;
"""
_OF_CAMPAIGN = "SELECT request_row, template_id, text, rewordings FROM told WHERE campaign_id = ? ORDER BY 1"
_ABSENT = """
SELECT count(coalesce(r.ip, r.network)) = 0 AS ip, count(r.user_agent) = 0 AS user_agent,
       count(r.payment_hash) = 0 AS payment_hash, count(r.asn) = 0 AS asn,
       (SELECT count(created_at) = 0 FROM read_parquet($accounts)) AS account_created_at
FROM read_parquet($requests) r
"""


@dataclass(frozen=True)
class Folders:
    """The folders of the stages that a finding is told from."""

    requests: Path
    templates: Path
    campaigns: Path


@dataclass(frozen=True)
class Sampled:
    """A labelled request with its text, cut, and the segments of it that are of its template."""

    request_row: int
    template_id: int
    text: str
    reworded: tuple[str, ...]


def load_own(connection: duckdb.DuckDBPyConnection, folders: Folders, decision: Decision) -> frozenset[str]:
    """The columns that the log lacks; `own` and `places` (ip, network) then stand in the database."""
    logs = [str(path) for path in parts(folders.requests / "requests")]
    files: dict[str, Any] = {"requests": logs, "accounts": str(folders.requests / "accounts.parquet")}
    labels = str(folders.campaigns / "request_campaigns.parquet")
    uses = str(folders.templates / "request_templates.parquet")
    connection.execute(_OWN, {**files, "labels": labels, "uses": uses}).fetchall()
    _load_places(connection, logs, decision)
    [row] = connection.execute(_ABSENT, files).fetchall()
    names = [column[0] for column in connection.description or ()]
    return frozenset(name for name, absent in zip(names, row, strict=True) if absent)


def load_texts(
    connection: duckdb.DuckDBPyConnection, folders: Folders, request_rows: Iterable[int], characters: int
) -> None:
    """Nothing; `told` has the rows of some labelled requests in `own`, with their texts, cut, and the `rewordings` of
    their template."""
    rows = pa.table({"request_row": pa.array(sorted(set(request_rows)), pa.int64())})
    connection.register("chosen", rows)
    connection.execute("CREATE TEMP TABLE sampled AS SELECT request_row FROM chosen").fetchall()
    connection.unregister("chosen")
    texts = str(folders.requests / "texts.parquet")
    connection.execute(_SAMPLED, {"texts": texts, "characters": characters}).fetchall()
    files = {
        "segments": [str(path) for path in parts(folders.requests / "request_segments")],
        "held": str(folders.templates / "template_segments.parquet"),
        "distinct": str(folders.requests / "segments.parquet"),
    }
    connection.execute(_REWORDED, files).fetchall()
    connection.execute(_TOLD).fetchall()


def sampled_texts(connection: duckdb.DuckDBPyConnection, campaign_id: int) -> dict[int, Sampled]:
    """The loaded requests of a campaign by row; the text is empty where a request has none."""
    found = connection.execute(_OF_CAMPAIGN, [campaign_id]).fetchall()
    return {row: Sampled(row, template, text, tuple(reworded)) for row, template, text, reworded in found}


def _load_places(connection: duckdb.DuckDBPyConnection, requests: list[str], decision: Decision) -> None:
    """Nothing; `places` has the addresses of the log that lie in a network of some campaign's."""

    def networks(sql: str, **files: list[str] | str) -> Iterator[tuple[list[str], list[str]]]:
        for batch in connection.sql(sql, params=files).to_arrow_reader(ROW_GROUP_ROWS):
            addresses = batch.column(0).to_pylist()
            yield addresses, [exit_network(ip, decision.ipv4_prefix, decision.ipv6_prefix) or "" for ip in addresses]

    theirs = {name for _, names in networks("SELECT DISTINCT ip FROM own WHERE ip IS NOT NULL") for name in names}
    rows: list[tuple[str, str]] = []
    # The whole octets that a network's addresses have in common, with the full stops behind them.
    octets = f"^([0-9]+[.]){{{min(decision.ipv4_prefix // _OCTET_BITS, _OCTETS_BEFORE_LAST)}}}"
    for addresses, names in networks(_NEAR, requests=requests, networks=sorted(theirs), octets=octets):
        rows += [(ip, name) for ip, name in zip(addresses, names, strict=True) if name in theirs]
    table = pa.table({"ip": [ip for ip, _ in rows], "network": [name for _, name in rows]}, schema=_PLACES)
    connection.register("found", table)
    connection.execute("CREATE TEMP TABLE places AS SELECT * FROM found").fetchall()
    connection.unregister("found")


_OCTET_BITS, _OCTETS_BEFORE_LAST = 8, 3
# What is plainly an IPv4 address and begins like no network of theirs is in none; the others are looked at one by one.
_NEAR = """
SELECT ip FROM (SELECT DISTINCT ip FROM read_parquet($requests) WHERE ip IS NOT NULL)
WHERE regexp_extract(ip, $octets) IN (SELECT regexp_extract(name, $octets) FROM (SELECT unnest($networks) AS name))
    OR NOT regexp_full_match(ip, '[0-9]{1,3}([.][0-9]{1,3}){3}')
ORDER BY ip
"""
_PLACES = pa.schema([("ip", pa.string()), ("network", pa.string())])
