"""The exports: the tables that other tools read, by the contract in refrain/contract.py and outputs/README.md.

What wins where a request has many segments and may hold several templates stands in docs: its template and campaign
come from the scoring; its cluster is the one with most owners among its segments inside that template, else among all
its segments, else -1.
"""

import logging
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import Store
from refrain.config import ExportConfig
from refrain.contract import ACCOUNTS, CAMPAIGNS, CLUSTERS, LABELS, REQUEST_SEGMENTS, TEMPLATES, campaigns_schema
from refrain.errors import StoreError
from refrain.labelled import Folders
from refrain.packet_lines import write_packets
from refrain.packets import packets
from refrain.progress import Progress
from refrain.queries import batches, conform, database, write_table

logger = logging.getLogger(__name__)

# The best of a request's clustered segments, as the smallest (outside its template, rank by owners, -strength).
_LABELS = """
WITH best AS (
    SELECT s.request_row, min({'outside': t.segment_row IS NULL, 'rank': c.rank, 'doubt': -c.strength,
                               'cluster_id': c.cluster_id}) AS cluster
    FROM read_parquet($segments) s
    JOIN clustered c USING (segment_row)
    LEFT JOIN labelled l USING (request_row)
    LEFT JOIN fixed t ON t.template_id = l.template_id AND t.segment_row = s.segment_row
    GROUP BY s.request_row
)
SELECT r.request_id, a.account_id,
       coalesce(best.cluster.cluster_id, -1) AS cluster_id, coalesce(-best.cluster.doubt, 0) AS strength,
       l.template_id, l.campaign_id
FROM read_parquet($requests) r
JOIN accounts a USING (account_row)
LEFT JOIN labelled l USING (request_row)
LEFT JOIN best USING (request_row)
ORDER BY r.request_row
"""

# A segment is part of those templates that are made of it and that its request holds.
_REQUEST_SEGMENTS = """
WITH held AS (
    SELECT s.request_row, s.position, list(t.template_id ORDER BY t.template_id) AS templates
    FROM read_parquet($segments) s
    JOIN fixed t USING (segment_row)
    JOIN holding h ON h.request_row = s.request_row AND h.template_id = t.template_id
    GROUP BY s.request_row, s.position
)
SELECT r.request_id, s.position, s.role, coalesce(c.cluster_id, -1) AS cluster_id,
       CASE WHEN list_contains(held.templates, l.template_id) THEN l.template_id ELSE held.templates[1] END
           AS template_id,
       coalesce(held.templates, []::BIGINT[]) AS templates
FROM read_parquet($segments) s
JOIN read_parquet($requests) r USING (request_row)
LEFT JOIN clustered c USING (segment_row)
LEFT JOIN labelled l USING (request_row)
LEFT JOIN held ON held.request_row = s.request_row AND held.position = s.position
ORDER BY s.request_row, s.position
"""

_BROKEN_LABELS = """
WITH members AS (SELECT DISTINCT campaign_id, account_row FROM read_parquet($members)),
     sung AS (SELECT DISTINCT campaign_id, unnest(templates) AS template_id FROM read_parquet($campaigns))
SELECT count(*)
FROM labelled l
LEFT JOIN read_parquet($requests) r USING (request_row)
LEFT JOIN members m ON m.campaign_id = l.campaign_id AND m.account_row = r.account_row
LEFT JOIN sung ON sung.campaign_id = l.campaign_id AND sung.template_id = l.template_id
WHERE l.campaign_id IS NOT NULL AND (m.account_row IS NULL OR sung.template_id IS NULL)
"""


def write_exports(
    requests: Path,
    clusters: Path,
    templates: Path,
    campaigns: Path,
    out: Path,
    config: ExportConfig,
    *,
    store: Store,
    progress: Progress,
) -> dict[str, int]:
    """Rows written for each table of the contract, as Parquet files in `out`, and the packets beside them.

    The long tables are joined and written a day at a time under the memory limit. Raises StoreError where the inputs
    contradict each other: a request without an account or labelled twice, a campaign label outside the campaign.
    """
    days = sorted(folder.name for folder in (requests / "requests").glob("day=*"))
    counts: dict[str, int] = {}
    with database(config.memory_limit_mib, out) as connection, progress.task("export", 2 * len(days)) as advance:
        _load(connection, requests, clusters, templates, campaigns)
        _check_labels(connection, requests, campaigns)
        for name, sql, schema in (
            ("labels", _LABELS, LABELS),
            ("request_segments", _REQUEST_SEGMENTS, REQUEST_SEGMENTS),
        ):

            def portions(sql: str = sql, schema: pa.Schema = schema) -> Iterator[pa.Table]:
                for day in days:
                    files = {
                        "requests": _part(requests / "requests" / day),
                        "segments": _part(requests / "request_segments" / day),
                    }
                    yield from batches(connection, sql, schema, files)
                    advance(1)

            counts[name] = write_table(out / f"{name}.parquet", schema, portions())
    expected = {
        "labels": sum(_rows(requests / "requests" / day) for day in days),
        "request_segments": sum(_rows(requests / "request_segments" / day) for day in days),
    }
    for name, rows in expected.items():
        if counts[name] != rows:
            raise StoreError(f"{name} would have {counts[name]} rows where the requests have {rows}")
    accounts = _accounts(requests, campaigns)
    for name, table in (
        ("clusters", _clusters(requests, clusters)),
        ("templates", _templates(templates, campaigns, config.examples)),
        ("campaigns", _campaigns(campaigns)),
        ("accounts", accounts),
    ):
        counts[name] = write_table(out / f"{name}.parquet", table.schema, [table])
    with database(config.memory_limit_mib, out) as connection:
        told = packets(connection, Folders(requests, templates, campaigns), accounts, config)
        counts["packets"] = write_packets(out, told)
    logger.info(
        "exported %d labels, %d campaigns, %d members", counts["labels"], counts["campaigns"], counts["accounts"]
    )
    return counts


def _part(folder: Path) -> list[str]:
    return [str(folder / "part-0.parquet")]


def _rows(folder: Path) -> int:
    return int(pq.read_metadata(folder / "part-0.parquet").num_rows)


def _load(
    connection: duckdb.DuckDBPyConnection, requests: Path, clusters: Path, templates: Path, campaigns: Path
) -> None:
    """Nothing; the tables that every day is joined with stand in the database, in their shortest form."""
    for name, sql, file in (
        ("accounts", "SELECT account_row, account_id FROM read_parquet($file)", requests / "accounts.parquet"),
        (
            "ranks",
            "SELECT cluster_id, row_number() OVER (ORDER BY owners DESC, cluster_id) AS rank FROM read_parquet($file)",
            clusters / "clusters.parquet",
        ),
        (
            "clustered",  # an inner join: noise has no rank
            "SELECT segment_row, cluster_id, strength, rank FROM read_parquet($file) JOIN ranks USING (cluster_id)",
            clusters / "segment_clusters.parquet",
        ),
        (
            "fixed",
            "SELECT DISTINCT template_id, segment_row FROM read_parquet($file)",
            templates / "template_segments.parquet",
        ),
        (
            "holding",  # distinct: a template may be held in two roles
            "SELECT DISTINCT request_row, template_id FROM read_parquet($file)",
            templates / "request_templates.parquet",
        ),
        (
            "labelled",
            "SELECT request_row, template_id, campaign_id "
            "FROM read_parquet($file) WHERE template_id IS NOT NULL OR campaign_id IS NOT NULL",
            campaigns / "request_campaigns.parquet",
        ),
    ):
        connection.execute(f"CREATE TEMP TABLE {name} AS {sql}", {"file": [str(file)]}).fetchall()


def _check_labels(connection: duckdb.DuckDBPyConnection, requests: Path, campaigns: Path) -> None:
    """Nothing; StoreError where a request's campaign lacks its account or its template."""
    files = {
        "requests": [str(path) for path in sorted((requests / "requests").glob("day=*/part-0.parquet"))],
        "members": [str(campaigns / "members.parquet")],
        "campaigns": [str(campaigns / "campaigns.parquet")],
    }
    if not files["requests"]:
        return
    [(broken,)] = connection.execute(_BROKEN_LABELS, files).fetchall()
    if broken:
        raise StoreError(f"{broken} requests are labelled with a campaign that they are not part of")


def _clusters(requests: Path, clusters: Path) -> pa.Table:
    """The clusters, each with the readable form of its exemplar."""
    table = pq.read_table(clusters / "clusters.parquet").sort_by("cluster_id")
    exemplars = table.column("exemplar_segment_row").to_pylist()
    texts = _segment_texts(requests, set(exemplars))
    return conform(table.append_column("exemplar", pa.array([texts[row] for row in exemplars], pa.string())), CLUSTERS)


def _segment_texts(requests: Path, rows: set[int]) -> dict[int, str]:
    """The readable form of each of some segments, by row; the file is read a row group at a time."""
    found: dict[int, str] = {}
    wanted = pa.array(sorted(rows), pa.int64())
    file = pq.ParquetFile(requests / "segments.parquet")
    for batch in file.iter_batches(columns=["segment_row", "raw"]):
        few = pa.Table.from_batches([batch]).filter(pa.compute.is_in(batch.column("segment_row"), wanted))
        found.update(zip(few.column("segment_row").to_pylist(), few.column("raw").to_pylist(), strict=True))
    return found


def _templates(templates: Path, campaigns: Path, examples: int) -> pa.Table:
    """The templates, each with the campaigns that it belongs to and with at most `examples` examples."""
    table = pq.read_table(templates / "templates.parquet").sort_by("template_id")
    singers: dict[int, list[int]] = {}
    found = pq.read_table(campaigns / "campaigns.parquet", columns=["campaign_id", "templates"]).sort_by("campaign_id")
    for campaign, members in zip(
        found.column("campaign_id").to_pylist(), found.column("templates").to_pylist(), strict=True
    ):
        for template in members:
            singers.setdefault(template, []).append(campaign)
    kept = [texts[:examples] for texts in table.column("examples").to_pylist()]
    return conform(
        table.drop_columns("examples")
        .append_column("examples", pa.array(kept, pa.list_(pa.string())))
        .append_column(
            "campaigns",
            pa.array([singers.get(row, []) for row in table.column("template_id").to_pylist()], pa.list_(pa.int64())),
        ),
        TEMPLATES,
    )


def _campaigns(campaigns: Path) -> pa.Table:
    """The campaigns by rank, with a p-value column for each test; null where the test was off."""
    table = conform(pq.read_table(campaigns / "campaigns.parquet").sort_by("campaign_id"), CAMPAIGNS)
    tests = pq.read_table(campaigns / "tests.parquet", columns=["campaign_id", "family", "test", "p_value"]).to_pylist()
    values = {(test["campaign_id"], f"{test['family']}_{test['test']}"): test["p_value"] for test in tests}
    names = sorted({name for _, name in values})
    for name in names:
        column = [values.get((row, name)) for row in table.column("campaign_id").to_pylist()]
        table = table.append_column(f"test_{name}", pa.array(column, pa.float64()))
    return conform(table, campaigns_schema(names))


def _accounts(requests: Path, campaigns: Path) -> pa.Table:
    """The members, by campaign and descending evidence."""
    members = pq.read_table(campaigns / "members.parquet")
    accounts = pq.read_table(requests / "accounts.parquet", columns=["account_id", "requests"])
    theirs = accounts.take(members.column("account_row"))  # the row of an account is its position
    joined = (
        members.rename_columns({"owner_row": "owner"})
        .append_column("account_id", theirs.column("account_id"))
        .append_column("account_requests", theirs.column("requests"))
    )
    return conform(
        joined.sort_by([("campaign_id", "ascending"), ("evidence", "descending"), ("account_id", "ascending")]),
        ACCOUNTS,
    )
