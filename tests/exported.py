"""Small exports for the tests of exporters: a finished folder of tables, and what stands in it as plain values."""

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from tables import export, write_small_run

from refrain.exporters.exporter import Options, Standing

RUN = "nightly-2026-03-02"
KEY = b"a key of the tests, 32 bytes long"
IDENTITIES = {0: "c-000000000001", 1: "c-000000000002"}
STANDINGS = {"c-000000000001": Standing("active", "confirmed"), "c-000000000002": Standing("active", "")}


def make_run(folder: Path) -> Path:
    """The folder of a small run with its exports."""
    run = folder / RUN
    run.mkdir(parents=True)
    write_small_run(run)
    export(run)
    return run


def options_for(run: Path, **more: Any) -> Options:
    """What an exporter is told of that run."""
    told: dict[str, Any] = {"identities": IDENTITIES, "standings": STANDINGS, "key": KEY, "folder": run}
    return Options(run=run.name, **(told | more))


def tables(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table of the exports, rows as dictionaries."""
    return {path.stem: pq.read_table(path).to_pylist() for path in sorted((run / "exports").glob("*.parquet"))}


def stored(name: str, row: dict[str, Any], run: Path) -> dict[str, Any]:
    """A row of a table as a database has it beside other runs: with the run, tests in one column, and standings."""
    if name == "campaigns":
        tests = {key.removeprefix("test_"): value for key, value in row.items() if key.startswith("test_")}
        row = {key: value for key, value in row.items() if not key.startswith("test_")}
        identity = IDENTITIES[row["campaign_id"]]
        standing = STANDINGS[identity]
        row |= {"tests": tests, "identity": identity}
        row |= {"state": standing.state or None, "verdict": standing.verdict or None}
    return {"run_id": run.name, **row}


def moment(value: datetime) -> str:
    """A time as SQLite has it."""
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
