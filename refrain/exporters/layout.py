"""How the tables of a run stand in a database, where several runs stand together: names, keys, two views.

Every table has the column `run_id` in front and the columns of the contract after it. The contract's accounts, a row a
member of a campaign, are the table `members`; the view `accounts` has a row an account.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import read_manifest
from refrain.contract import CAMPAIGNS, TABLES, TEST_PREFIX
from refrain.errors import InputError
from refrain.exporters.exporter import Options

LAYOUT = 1  # raised when the tables or the views change
RUN = "run_id"
MARKER = "refrain_exports"
"""The table that says that the others are ours: a row a run."""
VIEWS = ("open_campaigns", "accounts")
KEYS: Mapping[str, tuple[str, ...]] = {
    "labels": ("request_id",),
    "request_segments": ("request_id", "position"),
    "clusters": ("cluster_id",),
    "templates": ("template_id",),
    "campaigns": ("campaign_id",),
    "accounts": ("campaign_id", "account_id"),
}
"""The key of each table of the contract inside a run."""
TESTS = "tests"  # the column that holds the p-values of a campaign by test; which tests there are differs by run
STANDING = ("identity", "state", "verdict")  # columns of campaigns that the nights know


def stored_name(table: str) -> str:
    """The name in a database of a table of the contract."""
    return "members" if table == "accounts" else table


def stored_schema(table: str, file: pa.Schema) -> pa.Schema:
    """The columns of a table in a database without `run_id`: the contract's, and what else the file has.

    All but the key may be null: a shared copy lacks columns.
    """
    base = CAMPAIGNS if table == "campaigns" else TABLES[table]
    fields = {field.name: field.type for field in [*base, *file] if not _is_test(table, field.name)}
    if table == "campaigns":
        fields |= {TESTS: pa.map_(pa.string(), pa.float64()), **dict.fromkeys(STANDING, pa.string())}
    return pa.schema([pa.field(name, kind, nullable=name not in KEYS[table]) for name, kind in fields.items()])


def chosen_tables(exports: Path, options: Options) -> list[str]:
    """The tables of the contract that the folder has and --option tables=... names, in the contract's order."""
    present = [name for name in TABLES if (exports / f"{name}.parquet").exists()]
    if "tables" not in options.more:
        return present
    wanted = {name.strip() for name in options.more["tables"].split(",")}
    if wanted - set(present):
        raise InputError("--option tables names tables that are not there", hint=f"there are {', '.join(present)}")
    return [name for name in present if name in wanted]


def file_schema(exports: Path, table: str) -> pa.Schema:
    """The schema of a table's file, without columns where there is none."""
    path = exports / f"{table}.parquet"
    return pq.read_schema(path) if path.exists() else pa.schema([])


def content_of(exports: Path) -> str:
    """The digest of what is exported, "" for a shared copy, which has no manifest."""
    manifest = read_manifest(exports)
    return "" if manifest is None else manifest.content


def test_columns(schema: pa.Schema) -> list[str]:
    """The columns of campaigns that hold a test's p-value."""
    return [name for name in schema.names if name.startswith(TEST_PREFIX)]


def views(schema: str = "") -> dict[str, str]:
    """The SELECT of each view; `schema` is led by it and a dot.

    A campaign is open where it alerts, is not dismissed, and has not ended or been merged. Of a campaign with a stable
    id, the run with its latest request counts; a run that is no night may have several parts of one.
    """
    lead = f"{schema}." if schema else ""
    return {
        "open_campaigns": (
            f"SELECT c.* FROM {lead}campaigns c "
            f"WHERE c.alert AND coalesce(c.verdict, '') <> 'dismissed' "
            f"AND coalesce(c.state, '') NOT IN ('ended', 'merged') "
            f"AND NOT EXISTS (SELECT 1 FROM {lead}campaigns l WHERE l.identity = c.identity "
            "AND l.run_id <> c.run_id AND (l.last_seen > c.last_seen "
            "OR (l.last_seen = c.last_seen AND l.run_id > c.run_id)))"
        ),
        "accounts": (
            "SELECT m.run_id, m.account_id, count(*) AS campaigns, "
            "sum(CASE WHEN c.alert THEN 1 ELSE 0 END) AS alerting_campaigns, sum(m.requests) AS requests, "
            "max(m.account_requests) AS account_requests, min(m.first_use) AS first_use, max(m.evidence) AS evidence "
            f"FROM {lead}members m JOIN {lead}campaigns c ON c.run_id = m.run_id AND c.campaign_id = m.campaign_id "
            "GROUP BY m.run_id, m.account_id"
        ),
    }


def names() -> Sequence[str]:
    """Every table and view of ours but the marker."""
    return [*(stored_name(table) for table in KEYS), *VIEWS]


def _is_test(table: str, column: str) -> bool:
    return table == "campaigns" and column.startswith(TEST_PREFIX)
