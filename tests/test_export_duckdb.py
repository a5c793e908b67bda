"""A DuckDB file holds the run value for value, with lists as lists and times as times."""

import shutil
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from exported import IDENTITIES, STANDINGS, make_run, options_for, stored, tables

from refrain.errors import InputError, StoreError
from refrain.exporters.exporter import Standing
from refrain.exporters.layout import KEYS, stored_name
from refrain.exporters.registry import export_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def asked(path: Path, sql: str) -> list[dict[str, Any]]:
    """The rows of a query, maps as dictionaries."""
    connection = duckdb.connect(str(path), read_only=True)
    try:
        found: list[dict[str, Any]] = connection.sql(sql).to_arrow_table().to_pylist(maps_as_pydicts="strict")
    finally:
        connection.close()
    return found


def test_every_value_of_every_table_in_the_order_of_the_files_and_twice_is_once(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    for _ in range(2):
        counts = export_run(run, path, "duckdb", options_for(run))
        for name, rows in tables(run).items():
            assert asked(path, f"SELECT * FROM {stored_name(name)}") == [stored(name, row, run) for row in rows], name
            assert counts[name] == len(rows)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_runs_stand_side_by_side_and_open_campaigns_are_those_of_the_later(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "labels.duckdb"
    export_run(run, path, "duckdb", options_for(run))
    export_run(run, path, "duckdb", replace(options_for(run), run="nightly-2026-03-03"))
    assert [(row["run_id"], row["campaign_id"]) for row in asked(path, "SELECT * FROM open_campaigns")] == [
        ("nightly-2026-03-03", 0)
    ]
    dismissed = {**STANDINGS, IDENTITIES[0]: Standing("active", "dismissed")}
    export_run(run, path, "duckdb", options_for(run, standings=dismissed))
    assert asked(path, "SELECT * FROM open_campaigns") == []
    members = len(tables(run)["accounts"])
    counted = asked(path, "SELECT count(*) AS n, sum(campaigns) AS c FROM accounts")
    assert [(int(row["n"]), int(row["c"])) for row in counted] == [(2 * members, 2 * members)]


def test_a_strangers_file_and_a_file_of_another_kind_are_left_alone(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE labels (mine INTEGER)")
    with pytest.raises(InputError, match="labels of another program"):
        export_run(run, path, "duckdb", options_for(run))
    assert asked(path, "SELECT * FROM labels") == []
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes " * 1000)
    with pytest.raises(StoreError, match="cannot be opened as a DuckDB file"):
        export_run(run, notes, "duckdb", options_for(run))
    assert notes.read_text() == "my notes " * 1000


def test_what_fails_halfway_leaves_no_new_file_and_changes_no_old_one(run: Path, tmp_path: Path) -> None:
    torn = tmp_path / run.name
    shutil.copytree(run / "exports", torn / "exports")
    accounts = torn / "exports" / "accounts.parquet"
    content = accounts.read_bytes()
    accounts.write_bytes(content[:4] + b"\xff" * 64 + content[68:])
    path = tmp_path / "labels.duckdb"
    with pytest.raises(StoreError, match="nothing was changed"):
        export_run(torn, path, "duckdb", options_for(run))
    assert not path.exists()
    export_run(run, path, "duckdb", options_for(run))
    with pytest.raises(StoreError, match="nothing was changed"):
        export_run(torn, path, "duckdb", options_for(run))
    assert asked(path, "SELECT * FROM members") == [stored("accounts", row, run) for row in tables(run)["accounts"]]
    assert list(KEYS) == ["labels", "request_segments", "clusters", "templates", "campaigns", "accounts"]
