"""The exports: the tables that other tools read, by the contract in refrain/contract.py and outputs/README.md.

What wins where a request has many segments and may hold several templates stands in docs: its template and campaign
come from the scoring; its cluster is the one with most owners among its segments inside that template, else among all
its segments, else -1.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.artifacts import Store
from refrain.config import ExportConfig
from refrain.contract import ACCOUNTS, CAMPAIGNS, CLUSTERS, TEMPLATES, campaigns_schema
from refrain.errors import StoreError
from refrain.labelled import Folders
from refrain.long_tables import write_long_tables
from refrain.packet_lines import write_packets
from refrain.packets import packets
from refrain.progress import Advance, Progress
from refrain.queries import conform, database, write_table

logger = logging.getLogger(__name__)

_BROKEN_LABELS = """
WITH members AS (SELECT DISTINCT campaign_id, account_row FROM read_parquet($members)),
     sung AS (SELECT DISTINCT campaign_id, unnest(templates) AS template_id FROM read_parquet($campaigns))
SELECT count(*)
FROM read_parquet($labels) l
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

    StoreError where the inputs contradict each other: a request without an account or labelled twice, a campaign label
    outside the campaign.
    """
    _check_labels(requests, campaigns, config.memory_limit_mib, out)
    days = len(list((requests / "requests").glob("day=*")))
    accounts = _accounts(requests, campaigns)

    def long_tables(advance: Advance) -> dict[str, int]:
        return write_long_tables(requests, clusters, templates, campaigns, out, advance)

    def tables() -> dict[str, int]:
        made: dict[str, Callable[[], pa.Table]] = {
            "clusters": lambda: _clusters(requests, clusters),
            "templates": lambda: _templates(templates, campaigns, config.examples),
            "campaigns": lambda: _campaigns(campaigns),
            "accounts": lambda: accounts,
        }
        return {name: _write(out / f"{name}.parquet", make()) for name, make in made.items()}

    def packets_of_all() -> int:
        with database(config.memory_limit_mib, out) as connection:
            return write_packets(out, packets(connection, Folders(requests, templates, campaigns), accounts, config))

    # Side by side: what writes tables leaves the interpreter to what words packets.
    with progress.task("export", 2 * days) as advance, ThreadPoolExecutor(3) as pool:
        wording, writing, others = (
            pool.submit(packets_of_all), pool.submit(long_tables, advance), pool.submit(tables)
        )  # fmt: skip
        counts = {**writing.result(), **others.result(), "packets": wording.result()}
    logger.info(
        "exported %d labels, %d campaigns, %d members", counts["labels"], counts["campaigns"], counts["accounts"]
    )
    return counts


def _check_labels(requests: Path, campaigns: Path, memory_limit_mib: int, spill: Path) -> None:
    """Nothing; StoreError where a request's campaign lacks its account or its template."""
    files = {
        "requests": [str(path) for path in sorted((requests / "requests").glob("day=*/part-0.parquet"))],
        "members": [str(campaigns / "members.parquet")],
        "campaigns": [str(campaigns / "campaigns.parquet")],
        "labels": [str(campaigns / "request_campaigns.parquet")],
    }
    if not files["requests"]:
        return
    with database(memory_limit_mib, spill) as connection:
        [(broken,)] = connection.execute(_BROKEN_LABELS, files).fetchall()
    if broken:
        raise StoreError(f"{broken} requests are labelled with a campaign that they are not part of")


def _write(path: Path, table: pa.Table) -> int:
    return write_table(path, table.schema, [table])


def _by_id(table: pa.Table, name: str) -> pa.Table:
    """The table in the order of its column `name`; not copied where that is the order it has."""
    ids = table.column(name).to_numpy()
    return table if (ids[1:] >= ids[:-1]).all() else table.sort_by(name)


def _clusters(requests: Path, clusters: Path) -> pa.Table:
    """The clusters, each with the readable form of its exemplar."""
    table = _by_id(pq.read_table(clusters / "clusters.parquet"), "cluster_id")
    exemplars = table.column("exemplar_segment_row").to_pylist()
    texts = _segment_texts(requests, set(exemplars))
    return conform(table.append_column("exemplar", pa.array([texts[row] for row in exemplars], pa.string())), CLUSTERS)


def _segment_texts(requests: Path, rows: set[int]) -> dict[int, str]:
    """The readable form of each of some segments, by row; the file is read a row group at a time."""
    found: dict[int, str] = {}
    wanted = pa.array(sorted(rows), pa.int64())
    file = pq.ParquetFile(requests / "segments.parquet")
    for batch in file.iter_batches(columns=["segment_row", "raw"]):
        few = pa.Table.from_batches([batch]).filter(pc.is_in(batch.column("segment_row"), wanted))
        found.update(zip(few.column("segment_row").to_pylist(), few.column("raw").to_pylist(), strict=True))
    return found


def _templates(templates: Path, campaigns: Path, examples: int) -> pa.Table:
    """The templates, each with the campaigns that it belongs to and with at most `examples` examples."""
    table = _by_id(pq.read_table(templates / "templates.parquet"), "template_id")
    singers: dict[int, list[int]] = {}
    found = pq.read_table(campaigns / "campaigns.parquet", columns=["campaign_id", "templates"]).sort_by("campaign_id")
    for campaign, members in zip(
        found.column("campaign_id").to_pylist(), found.column("templates").to_pylist(), strict=True
    ):
        for template in members:
            singers.setdefault(template, []).append(campaign)
    kept = pc.list_slice(table.column("examples"), 0, examples, return_fixed_size_list=False)
    return conform(
        table.drop_columns("examples")
        .append_column("examples", kept)
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
