"""Which requests of a campaign to show: those that tie its accounts together, then some of everybody.

Ties come first, two requests of two owners each: the same text word for word, the same network or card that few others
have, the same minute. The rest of the places go to other owners, each the first in its part of the campaign's time, a
template that is not shown yet before one that is.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb
import pyarrow as pa

_MINUTE = "epoch_us(timestamp) // 60000000"
# A tie's two sides: the first request of each of two owners.
_SIDES = 2
# The text that most owners of a campaign sent alike. What more than half of them send is the template, and ties nobody.
_TEXTS = """
SELECT campaign_id, text_row, owners FROM (
    SELECT campaign_id, text_row, count(DISTINCT owner_row) AS owners FROM own WHERE text_row IS NOT NULL GROUP BY ALL
) JOIN (SELECT campaign_id, count(DISTINCT owner_row) AS everybody FROM own GROUP BY ALL) USING (campaign_id)
WHERE owners > 1 AND owners * 2 <= everybody
QUALIFY row_number() OVER (PARTITION BY campaign_id ORDER BY owners DESC, text_row) = 1
"""
_BUSIEST = f"""
SELECT campaign_id, minute, owners FROM (
    SELECT campaign_id, {_MINUTE} AS minute, count(DISTINCT owner_row) AS owners FROM own GROUP BY ALL
) WHERE owners > 1
QUALIFY row_number() OVER (PARTITION BY campaign_id ORDER BY owners DESC, minute) = 1
"""
# `wanted` has what each campaign's requests are to share.
_FIRST = f"""
SELECT campaign_id, request_row FROM (
    SELECT campaign_id, owner_row, min(request_row) AS request_row FROM {{table}} JOIN wanted USING (campaign_id)
    WHERE {{condition}} GROUP BY ALL
)
QUALIFY row_number() OVER (PARTITION BY campaign_id ORDER BY request_row) <= {_SIDES}
ORDER BY ALL
"""
# One request an owner, template and part of the time: a campaign has as many parts as places are left, the first of
# them one request longer where they cannot be equal (as ntile makes them).
_SPREAD = """
SELECT campaign_id, part, request_row, owner_row, template_id FROM (
    SELECT campaign_id, request_row, owner_row, template_id,
        CASE WHEN nth < more * (size + 1) THEN nth // (size + 1) ELSE more + (nth - more * (size + 1)) // size END
            AS part
    FROM (
        SELECT *, many // places AS size, many % places AS more FROM (
            SELECT *, row_number() OVER (PARTITION BY campaign_id ORDER BY request_row) - 1 AS nth,
                count(*) OVER (PARTITION BY campaign_id) AS many
            FROM own JOIN wanted USING (campaign_id)
        )
    )
)
QUALIFY row_number() OVER (PARTITION BY campaign_id, part, owner_row, template_id ORDER BY request_row) = 1
ORDER BY campaign_id, part, request_row
"""


@dataclass(frozen=True)
class Chosen:
    """A request to show, and why: `kind` is text, network, card, minute or spread, `value` what is shared."""

    request_row: int
    kind: str
    owners: int  # that the tie joins in the campaign, 0 where there is none
    value: str | None
    why: str


def choose_messages(
    connection: duckdb.DuckDBPyConnection,
    campaigns: Sequence[int],
    shared: Mapping[int, Sequence[dict[str, Any]]],
    most: int,
) -> dict[int, list[Chosen]]:
    """By campaign, at most `most` of its requests, ties first; each request once."""
    kinds = [
        _text_ties(connection),
        *(_value_ties(connection, what, shared) for what in ("network", "card")),
        _minute_ties(connection),
    ]
    ties = {number: [tie for kind in kinds for tie in kind.get(number, [])][:most] for number in campaigns}
    chosen = {number: list({tie.request_row: tie for tie in reversed(ties[number])}.values())[::-1] for number in ties}
    owners = _owners(connection, [tie.request_row for few in chosen.values() for tie in few])
    free = {number: most - len(chosen[number]) for number in campaigns if most > len(chosen[number])}
    spread = _spread(connection, free, {n: {owners[tie.request_row] for tie in chosen[n]} for n in free})
    return {number: [*chosen[number], *spread.get(number, [])] for number in campaigns}


def _text_ties(connection: duckdb.DuckDBPyConnection) -> dict[int, list[Chosen]]:
    found = {campaign: (text, owners) for campaign, text, owners in connection.execute(_TEXTS).fetchall()}
    rows = _first(connection, "own", "text_row = wanted.value", {number: text for number, (text, _) in found.items()})
    return {
        number: [
            Chosen(row, "text", found[number][1], None, f"{found[number][1]} owners sent this same text, word for word")
            for row in rows[number]
        ]
        for number in rows
    }


def _value_ties(
    connection: duckdb.DuckDBPyConnection, what: str, shared: Mapping[int, Sequence[dict[str, Any]]]
) -> dict[int, list[Chosen]]:
    """The value of a kind whose owners are most nearly the campaign's alone."""
    best: dict[int, dict[str, Any]] = {}
    for number, rows in shared.items():
        values = [row for row in rows if row["what"] == what]
        if values:
            best[number] = max(
                values, key=lambda row: (row["owners"] / (row["owners"] + row["outside"]), row["owners"])
            )
    wanted = {number: row["value"] for number, row in best.items()}
    found = _first(connection, "theirs", f"what = '{what}' AND theirs.value = wanted.value", wanted)
    out: dict[int, list[Chosen]] = {}
    for number, sides in found.items():
        row = best[number]
        others = f"{row['outside']} owners outside the campaign" if row["outside"] else "nobody outside the campaign"
        why = f"{row['owners']} owners share this {what}, and {others}"
        out[number] = [Chosen(side, what, row["owners"], row["value"], why) for side in sides]
    return out


def _minute_ties(connection: duckdb.DuckDBPyConnection) -> dict[int, list[Chosen]]:
    found = {campaign: (minute, owners) for campaign, minute, owners in connection.execute(_BUSIEST).fetchall()}
    minutes = {number: minute for number, (minute, _) in found.items()}
    rows = _first(connection, "own", f"{_MINUTE} = wanted.value", minutes)
    return {
        number: [
            Chosen(row, "minute", found[number][1], None, f"{found[number][1]} owners sent within this minute")
            for row in rows[number]
        ]
        for number in rows
    }


@contextmanager
def _wanted(connection: duckdb.DuckDBPyConnection, name: str, values: Mapping[int, Any]) -> Iterator[None]:
    """The table `wanted` (campaign_id, and `name` with each one's value) stands in the database meanwhile."""
    connection.register("wanted", pa.table({"campaign_id": pa.array(values, pa.int64()), name: list(values.values())}))
    try:
        yield
    finally:
        connection.unregister("wanted")


def _first(
    connection: duckdb.DuckDBPyConnection, table: str, condition: str, values: Mapping[int, Any]
) -> dict[int, list[int]]:
    """By campaign, the first request of each of the _SIDES owners who first met the condition."""
    out: dict[int, list[int]] = {}
    if not values:
        return out
    with _wanted(connection, "value", values):
        found = connection.execute(_FIRST.format(table=table, condition=condition)).fetchall()
    for campaign, row in found:
        out.setdefault(campaign, []).append(row)
    return out


def _owners(connection: duckdb.DuckDBPyConnection, request_rows: Sequence[int]) -> dict[int, int]:
    wanted = ", ".join(map(str, request_rows)) or "NULL"
    found = connection.execute(f"SELECT request_row, owner_row FROM own WHERE request_row IN ({wanted})").fetchall()
    return dict(found)


def _spread(
    connection: duckdb.DuckDBPyConnection, places: Mapping[int, int], owners: Mapping[int, set[int]]
) -> dict[int, list[Chosen]]:
    """By campaign, requests for the places left, of owners who are not among its `owners` yet."""
    out: dict[int, list[Chosen]] = {}
    if not places:
        return out
    with _wanted(connection, "places", places):
        found = connection.execute(_SPREAD).fetchall()
    templates: dict[int, set[int]] = {}
    for (campaign, _), entries in groupby(found, key=lambda entry: entry[:2]):
        there, shown = owners[campaign], templates.setdefault(campaign, set())
        free = [(row, owner, template) for _, _, row, owner, template in entries if owner not in there]
        if not free:
            continue
        row, owner, template = min(free, key=lambda entry: (entry[2] in shown, entry[0]))
        there.add(owner)
        shown.add(template)
        why = "one more owner, from another part of the campaign's time"
        out.setdefault(campaign, []).append(Chosen(row, "spread", 0, None, why))
    return out
