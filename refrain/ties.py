"""Which requests of a campaign to show: those that tie its accounts together, then some of everybody.

Ties come first, two requests of two owners each: the same text word for word, the same network or card that few others
have, the same minute. The rest of the places go to other owners, each the first in its part of the campaign's time, a
template that is not shown yet before one that is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import duckdb

_MINUTE = "epoch_us(timestamp) // 60000000"
# A tie's two sides: the first request of each of two owners.
_SIDES = 2
# The text that most owners sent alike. What more than half of them send is the template, and ties nobody.
_TEXT = """
SELECT text_row, count(DISTINCT owner_row) AS owners FROM own WHERE campaign_id = $campaign AND text_row IS NOT NULL
GROUP BY text_row HAVING owners > 1
    AND owners * 2 <= (SELECT count(DISTINCT owner_row) FROM own WHERE campaign_id = $campaign)
ORDER BY owners DESC, text_row LIMIT 1
"""
_BUSIEST = f"""
SELECT {_MINUTE} AS minute, count(DISTINCT owner_row) AS owners FROM own WHERE campaign_id = $campaign
GROUP BY minute HAVING owners > 1 ORDER BY owners DESC, minute LIMIT 1
"""
# One request an owner and part of the time: the number of parts is that of the places left.
_SPREAD = """
SELECT part, request_row, owner_row, template_id FROM (
    SELECT *, ntile($parts) OVER (ORDER BY request_row) AS part FROM own WHERE campaign_id = $campaign
)
QUALIFY row_number() OVER (PARTITION BY part, owner_row, template_id ORDER BY request_row) = 1
ORDER BY part, request_row
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
    connection: duckdb.DuckDBPyConnection, campaign: int, shared: Sequence[dict[str, Any]], most: int
) -> list[Chosen]:
    """At most `most` requests of the campaign, ties first; each request once."""
    ties = [
        *_text_tie(connection, campaign),
        *(tie for what in ("network", "card") for tie in _value_tie(connection, campaign, what, shared)),
        *_minute_tie(connection, campaign),
    ]
    chosen = list({tie.request_row: tie for tie in reversed(ties[:most])}.values())[::-1]
    owners = _owners(connection, [tie.request_row for tie in chosen])
    return [*chosen, *_spread(connection, campaign, set(owners), most - len(chosen))]


def _text_tie(connection: duckdb.DuckDBPyConnection, campaign: int) -> list[Chosen]:
    for text, owners in connection.execute(_TEXT, {"campaign": campaign}).fetchall():
        why = f"{owners} owners sent this same text, word for word"
        return [Chosen(row, "text", owners, None, why) for row in _sides(connection, campaign, "text_row = ?", text)]
    return []


def _value_tie(
    connection: duckdb.DuckDBPyConnection, campaign: int, what: str, shared: Sequence[dict[str, Any]]
) -> list[Chosen]:
    """The value of a kind whose owners are most nearly the campaign's alone."""
    values = [row for row in shared if row["what"] == what]
    if not values:
        return []
    best = max(values, key=lambda row: (row["owners"] / (row["owners"] + row["outside"]), row["owners"]))
    rows = connection.execute(
        "SELECT min(request_row) FROM theirs WHERE campaign_id = ? AND what = ? AND value = ? "
        f"GROUP BY owner_row ORDER BY 1 LIMIT {_SIDES}",
        [campaign, what, best["value"]],
    ).fetchall()
    others = f"{best['outside']} owners outside the campaign" if best["outside"] else "nobody outside the campaign"
    why = f"{best['owners']} owners share this {what}, and {others}"
    return [Chosen(row, what, best["owners"], best["value"], why) for (row,) in rows]


def _minute_tie(connection: duckdb.DuckDBPyConnection, campaign: int) -> list[Chosen]:
    for minute, owners in connection.execute(_BUSIEST, {"campaign": campaign}).fetchall():
        why = f"{owners} owners sent within this minute"
        rows = _sides(connection, campaign, f"{_MINUTE} = ?", minute)
        return [Chosen(row, "minute", owners, None, why) for row in rows]
    return []


def _sides(connection: duckdb.DuckDBPyConnection, campaign: int, condition: str, value: int) -> list[int]:
    rows = connection.execute(
        f"SELECT min(request_row) FROM own WHERE campaign_id = ? AND {condition} "
        f"GROUP BY owner_row ORDER BY 1 LIMIT {_SIDES}",
        [campaign, value],
    ).fetchall()
    return [row for (row,) in rows]


def _owners(connection: duckdb.DuckDBPyConnection, request_rows: Sequence[int]) -> list[int]:
    wanted = ", ".join(map(str, request_rows)) or "NULL"
    found = connection.execute(f"SELECT owner_row FROM own WHERE request_row IN ({wanted})").fetchall()
    return [owner for (owner,) in found]


def _spread(connection: duckdb.DuckDBPyConnection, campaign: int, owners: set[int], places: int) -> list[Chosen]:
    if places <= 0:
        return []
    found = connection.execute(_SPREAD, {"campaign": campaign, "parts": places}).fetchall()
    templates: set[int] = set()
    out = []
    for _, entries in groupby(found, key=lambda entry: entry[0]):
        free = [(row, owner, template) for _, row, owner, template in entries if owner not in owners]
        if not free:
            continue
        row, owner, template = min(free, key=lambda entry: (entry[2] in templates, entry[0]))
        owners.add(owner)
        templates.add(template)
        out.append(Chosen(row, "spread", 0, None, "one more owner, from another part of the campaign's time"))
    return out
