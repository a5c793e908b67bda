"""SQLite and PostgreSQL hold the run value for value; exporting twice touches no row; nothing half stays."""

import json
import os
import re
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exported import IDENTITIES, STANDINGS, make_run, moment, options_for, stored, tables
from psycopg.rows import dict_row
from tables import HOSTILE

from refrain.contract import TABLES
from refrain.errors import InputError, RefrainError, StoreError
from refrain.exporters.escapes import unescaped
from refrain.exporters.exporter import Options, Standing
from refrain.exporters.layout import KEYS, MARKER, stored_name
from refrain.exporters.registry import export_run
from refrain.exporters.sql_database import PASSWORD_VARIABLE

if TYPE_CHECKING:
    from postgres import Server

LISTS = {"templates", "campaigns", "signal_tags", "signal_similarities", "benign", "families", "examples", "reasons"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def database(server: "Server") -> str:
    return server.url(server.make_database())


def asked(url: str, sql: str) -> list[dict[str, Any]]:
    """The rows of a query on PostgreSQL."""
    with psycopg.connect(url.replace("+psycopg", ""), row_factory=dict_row) as connection:
        return list(connection.execute(sql.encode()))


def in_sqlite(path: Path, sql: str) -> list[dict[str, Any]]:
    """The rows of a query on SQLite."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql)]
    finally:
        connection.close()


def by_key(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: tuple(row[key] for key in KEYS[name]))


def test_sqlite_has_every_value_of_every_table(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    counts = export_run(run, path, "sql", options_for(run))
    for name, rows in tables(run).items():
        wanted = [stored(name, row, run) for row in rows]
        for row in wanted:
            for column, value in row.items():
                if isinstance(value, list | dict):
                    row[column] = json.dumps(value)
                elif hasattr(value, "tzinfo"):
                    row[column] = moment(value)
        found = in_sqlite(path, f"SELECT * FROM {stored_name(name)}")
        assert by_key(name, found) == by_key(name, wanted), name
        assert counts[name] == len(rows)
    assert list(counts) == list(TABLES)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_postgresql_has_every_value_of_every_table(run: Path, database: str) -> None:
    export_run(run, database, "sql", options_for(run))

    def back(value: Any) -> Any:
        if isinstance(value, str):
            return unescaped(value)
        return [back(item) for item in value] if isinstance(value, list) else value

    for name, rows in tables(run).items():
        wanted = [stored(name, row, run) for row in rows]
        found = asked(database, f"SELECT * FROM refrain.{stored_name(name)}")
        held = [{column: back(value) for column, value in row.items()} for row in found]
        assert by_key(name, held) == by_key(name, wanted), name
    [shown] = asked(database, "SELECT examples FROM refrain.templates WHERE template_id = 2")
    assert shown["examples"] == [HOSTILE.replace("\0", "\u241b0000")]


def test_exporting_twice_touches_no_row_of_postgresql(run: Path, database: str) -> None:
    def versions() -> list[list[dict[str, Any]]]:
        return [
            asked(database, f"SELECT ctid::text, xmin::text, t::text FROM refrain.{name} t ORDER BY ctid")
            for name in [*(stored_name(table) for table in KEYS), MARKER]
        ]

    export_run(run, database, "sql", options_for(run))
    once = versions()
    export_run(run, database, "sql", options_for(run))
    assert versions() == once
    assert all(once)


def test_exporting_twice_leaves_the_bytes_of_sqlite(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    export_run(run, path, "sql", options_for(run))

    def dump() -> list[str]:
        connection = sqlite3.connect(path)
        try:
            asked = [f"SELECT rowid, * FROM {stored_name(name)}" for name in KEYS]
            return [str(row) for sql in asked for row in connection.execute(sql)]
        finally:
            connection.close()

    once = dump()
    export_run(run, path, "sql", options_for(run))
    assert dump() == once


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any, str]]:
    """A destination, how to ask it, and what leads its tables."""
    if request.param == "sqlite":
        path = tmp_path / "labels.sqlite"
        yield str(path), lambda sql: in_sqlite(path, sql), ""
    else:
        url = request.getfixturevalue("database")
        yield url, lambda sql: asked(url, sql), "refrain."


def test_a_changed_label_is_updated_and_a_request_that_is_gone_goes(
    run: Path, tmp_path: Path, anywhere: tuple[str, Any, str]
) -> None:
    to, ask, lead = anywhere
    export_run(run, to, "sql", options_for(run))
    other = tmp_path / "later" / run.name
    shutil.copytree(run / "exports", other / "exports")
    path = other / "exports" / "labels.parquet"
    table = pq.read_table(path)
    gone, *kept = table.to_pylist()
    kept[0]["cluster_id"] = 77
    pq.write_table(pa.Table.from_pylist(kept, schema=table.schema), path)
    export_run(other, to, "sql", options_for(run))
    found = {row["request_id"]: row["cluster_id"] for row in ask(f"SELECT * FROM {lead}labels")}
    assert found == {row["request_id"]: row["cluster_id"] for row in kept}
    assert gone["request_id"] not in found


def test_runs_stand_side_by_side(run: Path, anywhere: tuple[str, Any, str]) -> None:
    to, ask, lead = anywhere
    export_run(run, to, "sql", options_for(run))
    export_run(run, to, "sql", replace(options_for(run), run="nightly-2026-03-03"))
    found = ask(f"SELECT run_id, count(*) AS n FROM {lead}labels GROUP BY run_id ORDER BY run_id")
    rows = len(tables(run)["labels"])
    assert [(row["run_id"], row["n"]) for row in found] == [(run.name, rows), ("nightly-2026-03-03", rows)]
    # A campaign that both nights know is open once, with its later night.
    [campaign] = ask(f"SELECT * FROM {lead}open_campaigns")
    assert (campaign["run_id"], campaign["campaign_id"]) == ("nightly-2026-03-03", 0)


def test_two_parts_of_one_campaign_in_one_run_are_both_open(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "part" / run.name
    shutil.copytree(run / "exports", other / "exports")
    path = other / "exports" / "campaigns.parquet"
    table = pq.read_table(path)
    alerts = pa.array([True] * table.num_rows)
    pq.write_table(table.set_column(table.column_names.index("alert"), table.schema.field("alert"), alerts), path)
    same = dict.fromkeys(IDENTITIES, IDENTITIES[0])
    export_run(other, tmp_path / "x.sqlite", "sql", options_for(run, identities=same))
    found = in_sqlite(tmp_path / "x.sqlite", "SELECT campaign_id FROM open_campaigns ORDER BY campaign_id")
    assert [row["campaign_id"] for row in found] == [0, 1]


@pytest.mark.parametrize(
    ("standing", "still_open"),
    [
        (Standing("active", ""), True),
        (Standing("active", "confirmed"), True),
        (Standing("dormant", "watching"), True),
        (Standing("active", "dismissed"), False),
        (Standing("ended", ""), False),
        (Standing("merged", "confirmed"), False),
    ],
    ids=str,
)
def test_open_are_alerts_that_are_not_dismissed_and_did_not_end(
    run: Path, tmp_path: Path, standing: Standing, still_open: bool
) -> None:
    path = tmp_path / "labels.sqlite"
    export_run(run, path, "sql", options_for(run))
    # A later export of another run carries what the ledger knows by then to the rows of earlier ones.
    later = replace(options_for(run), run="other", identities={}, standings={**STANDINGS, IDENTITIES[0]: standing})
    export_run(run, path, "sql", later)
    found = in_sqlite(path, f"SELECT campaign_id FROM open_campaigns WHERE run_id = '{run.name}'")
    assert [row["campaign_id"] for row in found] == [0] * still_open


def test_a_run_without_stable_ids_has_its_alerts_open(run: Path, anywhere: tuple[str, Any, str]) -> None:
    to, ask, lead = anywhere
    export_run(run, to, "sql", Options(run=run.name))
    assert [row["campaign_id"] for row in ask(f"SELECT * FROM {lead}open_campaigns")] == [0]


def test_the_view_of_accounts_has_a_row_an_account(run: Path, anywhere: tuple[str, Any, str]) -> None:
    to, ask, lead = anywhere
    export_run(run, to, "sql", options_for(run))
    alerts = {row["campaign_id"] for row in tables(run)["campaigns"] if row["alert"]}
    wanted: dict[str, list[dict[str, Any]]] = {}
    for row in tables(run)["accounts"]:
        wanted.setdefault(row["account_id"], []).append(row)
    found = {row["account_id"]: row for row in ask(f"SELECT * FROM {lead}accounts")}
    assert found.keys() == wanted.keys()
    for account, rows in wanted.items():
        row = found[account]
        assert (row["campaigns"], row["alerting_campaigns"], row["requests"], row["evidence"]) == (
            len(rows),
            sum(one["campaign_id"] in alerts for one in rows),
            sum(one["requests"] for one in rows),
            max(one["evidence"] for one in rows),
        )


def test_only_the_tables_that_are_asked_for(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.sqlite"
    counts = export_run(run, path, "sql", options_for(run, more={"tables": "labels,campaigns"}))
    assert list(counts) == ["labels", "campaigns"]
    assert in_sqlite(path, "SELECT count(*) AS n FROM request_segments") == [{"n": 0}]
    with pytest.raises(InputError, match="not there"):
        export_run(run, path, "sql", options_for(run, more={"tables": "lables"}))


def test_a_strangers_tables_are_left_alone(run: Path, tmp_path: Path, database: str) -> None:
    path = tmp_path / "mine.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="a accounts of another program"):
        export_run(run, path, "sql", options_for(run))
    assert path.read_bytes() == before
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as made:
        made.execute("CREATE SCHEMA refrain")
        made.execute("CREATE TABLE refrain.labels (name TEXT)")
    with pytest.raises(InputError, match="labels of another program"):
        export_run(run, database, "sql", options_for(run))
    export_run(run, database, "sql", options_for(run, more={"schema": "own"}))
    assert asked(database, "SELECT count(*) AS n FROM own.labels")[0]["n"] == len(tables(run)["labels"])


def test_a_column_that_a_later_version_adds_is_added(run: Path, tmp_path: Path, anywhere: tuple[str, Any, str]) -> None:
    to, ask, lead = anywhere
    export_run(run, to, "sql", options_for(run))
    other = tmp_path / "later" / run.name
    shutil.copytree(run / "exports", other / "exports")
    path = other / "exports" / "labels.parquet"
    table = pq.read_table(path)
    pq.write_table(table.append_column("shade", pa.array(["blue"] * table.num_rows)), path)
    export_run(other, to, "sql", options_for(run))
    assert {row["shade"] for row in ask(f"SELECT shade FROM {lead}labels")} == {"blue"}


def test_a_shared_copy_without_some_columns_is_written_with_nulls(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "shared" / run.name
    shutil.copytree(run / "exports", other / "exports", ignore=shutil.ignore_patterns("manifest.json", "*.jsonl"))
    path = other / "exports" / "templates.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["examples"]), path)
    export_run(other, tmp_path / "x.sqlite", "sql", options_for(run))
    assert {row["examples"] for row in in_sqlite(tmp_path / "x.sqlite", "SELECT examples FROM templates")} == {None}


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("postgresql://refrain:hunter2@127.0.0.1:1/x?password=hunter2", "cannot be reached"),
        ("postgresql://refrain:hunter2@[", "cannot be reached"),
        ("nonsense://u:hunter2@h/x", "no database URL"),
        ("sqlite://", "no database URL and no file"),
        ("mysql://u:hunter2@h/x", "driver that this URL needs"),
    ],
)
def test_what_cannot_be_used_is_told_without_the_password(run: Path, to: str, said: str) -> None:
    with pytest.raises(RefrainError, match=said) as caught:
        export_run(run, to, "sql", options_for(run))
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_a_file_that_is_no_database_is_told(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes " * 100)
    with pytest.raises(StoreError, match="no SQLite database"):
        export_run(run, path, "sql", options_for(run))
    assert path.read_text() == "my notes " * 100


def test_the_password_comes_from_the_environment(run: Path, server: "Server", monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.url(server.make_database(), password=False).replace("+psycopg", "")
    with pytest.raises(StoreError, match=r"user or the password|cannot be reached"):
        export_run(run, url, "sql", options_for(run))
    monkeypatch.setenv(PASSWORD_VARIABLE, server.password)
    assert export_run(run, url, "sql", options_for(run))["labels"] == len(tables(run)["labels"])


def test_what_fails_halfway_leaves_nothing(run: Path, tmp_path: Path, anywhere: tuple[str, Any, str]) -> None:
    to, ask, lead = anywhere
    export_run(run, to, "sql", replace(options_for(run), run="earlier"))
    other = tmp_path / "torn" / run.name
    shutil.copytree(run / "exports", other / "exports")
    path = other / "exports" / "accounts.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)  # a key that stands twice
    with pytest.raises(StoreError, match="nothing was changed"):
        export_run(other, to, "sql", options_for(run))
    assert {row["run_id"] for row in ask(f"SELECT DISTINCT run_id FROM {lead}labels")} == {"earlier"}


def test_no_message_quotes_a_row(run: Path, tmp_path: Path, database: str) -> None:
    other = tmp_path / "torn" / run.name
    shutil.copytree(run / "exports", other / "exports")
    path = other / "exports" / "accounts.parquet"
    table = pq.read_table(path)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), path)
    with pytest.raises(StoreError, match=re.escape("failed (23505): nothing was changed")) as caught:
        export_run(other, database, "sql", options_for(run))
    assert "pool-" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert os.environ.get(PASSWORD_VARIABLE) is None
