"""What the accounts of a campaign have in common: networks, cards, clients and autonomous systems, and how
many others have them. A system is shown and is no evidence: people of one country have a few providers."""

from collections.abc import Mapping
from typing import Any

import duckdb

KINDS = ("network", "card", "client", "asn")

_THEIRS = """
CREATE TEMP TABLE theirs AS
SELECT campaign_id, request_row, owner_row, what, value FROM (
    SELECT campaign_id, request_row, owner_row, coalesce(own.network, places.network) AS network, card, client, own.asn
    FROM own LEFT JOIN places USING (ip)
) UNPIVOT (value FOR what IN (network, card, client, asn))
"""
# The values of each kind that most of a campaign's owners share; then their owners in the whole log.
_SHARED = """
WITH shared AS (
    SELECT campaign_id, what, value, count(DISTINCT owner_row) AS owners, count(*) AS requests
    FROM theirs GROUP BY campaign_id, what, value HAVING owners > 1
    QUALIFY row_number() OVER (PARTITION BY campaign_id, what ORDER BY owners DESC, value) <= $most
),
everybody AS (
    SELECT DISTINCT what, value, owner_row FROM (
        SELECT a.owner_row, coalesce(r.network, p.network) AS network, r.payment_hash AS card,
               r.user_agent AS client, r.asn
        FROM read_parquet($requests) r
        JOIN read_parquet($accounts) a USING (account_row)
        LEFT JOIN places p USING (ip)
    ) UNPIVOT (value FOR what IN (network, card, client, asn))
    WHERE (what, value) IN (SELECT (what, value) FROM shared)
)
SELECT s.campaign_id, s.what, s.value, s.owners, s.requests, count(*) - any_value(s.owners) AS outside
FROM shared s JOIN everybody e ON e.what = s.what AND e.value = s.value
GROUP BY ALL
"""


def shared_values(
    connection: duckdb.DuckDBPyConnection, files: Mapping[str, Any], most: int
) -> dict[int, list[dict[str, Any]]]:
    """By campaign, at most `most` values of each of KINDS that two or more of its owners have, the most shared first.

    A value has its `owners` and `requests` in the campaign, and the owners `outside`: those of the whole log that have
    it too. `own` and `places` stand in the database; `files` names the Parquet files of requests and of accounts.
    """
    connection.execute(_THEIRS).fetchall()
    found = connection.execute(_SHARED, {**files, "most": most}).fetchall()
    names = ("what", "value", "owners", "requests", "outside")
    out: dict[int, list[dict[str, Any]]] = {}
    for campaign, *values in sorted(found, key=lambda row: (row[0], KINDS.index(row[1]), -row[3], row[2])):
        out.setdefault(campaign, []).append(dict(zip(names, values, strict=True)))
    return out
