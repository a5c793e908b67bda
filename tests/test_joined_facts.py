"""A log whose records are joined, through the whole intake; what is kept knows on what it rests."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.artifacts import Store
from refrain.config import Config
from refrain.inspection import inspect_log
from refrain.progress import NoProgress
from refrain.settings import load_settings
from refrain.stages import ingest

JOINED = Path(__file__).parent / "logs" / "langfuse" / "joined"
TABLES = ("observations.jsonl", "traces.jsonl", "scores.jsonl")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of Langfuse's older export."""
    folder = tmp_path / "export"
    for name in TABLES:
        target = folder / name.removesuffix(".jsonl") / name
        target.parent.mkdir(parents=True)
        shutil.copyfile(JOINED / name, target)
    return folder


def settings(**changes: Any) -> Config:
    """The default settings, for a small log with a broken record."""
    config = load_settings().config
    return replace(config, ingest=replace(config.ingest, max_structural_error_share=1.0, **changes))


def found(
    log: Path, store: Path, config: Config
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], dict[str, Any]]:
    """The requests and the quarantine of an ingest, and its counts."""
    result = ingest([str(log)], config, store=Store(store), progress=NoProgress())
    rows = requests_of(result.folder)
    refused = pq.read_table(result.folder / "quarantine.parquet", columns=["file", "row", "field", "reason"])
    return rows, [tuple(row.values()) for row in refused.to_pylist()], {**result.manifest.counts, **result.told}


def test_observations_find_their_user(log: Path, tmp_path: Path) -> None:
    rows, refused, counts = found(log, tmp_path / "store", settings())
    assert rows == [
        ("obs_1", "user_1", "question 1"),
        ("obs_2", "user_2", "question 2"),
        ("trace_5", "user_5", "trace input 5"),
    ]
    assert refused == [
        ("observations/observations.jsonl", 3, "account_id", "no account"),
        ("observations/observations.jsonl", 5, "traceId", "no trace"),
    ]
    assert counts["read"] == 11 == counts["kept"] + counts["merged"] + counts["quarantined"] + counts["passed"]
    assert counts["files_as_langfuse"] == 3


def as_csv(records: list[dict[str, Any]], path: Path) -> None:
    """Nothing; the table then lies there as Langfuse writes CSV: objects as JSON text, nulls as empty cells."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(records[0])
        for record in records:
            cells = ("" if value is None else value for value in record.values())
            writer.writerow(json.dumps(cell) if isinstance(cell, dict | list | bool) else cell for cell in cells)


def as_parquet(records: list[dict[str, Any]], path: Path) -> None:
    """Nothing; the table then lies there with maps and times, as ClickHouse writes Parquet."""
    usage, time = pa.map_(pa.string(), pa.int64()), pa.timestamp("us")
    kinds = {"usage_details": usage, "cost_details": usage, "metadata": pa.map_(pa.string(), pa.string())}
    columns = {}
    for name in records[0]:
        values = [record[name] for record in records]
        if name in kinds:
            columns[name] = pa.array([list(value.items()) for value in values], kinds[name])
        elif name in ("start_time", "timestamp"):
            columns[name] = pa.array([datetime.fromisoformat(value) for value in values], time)
        else:
            columns[name] = pa.array(values)
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(("ending", "write"), [("csv", as_csv), ("parquet", as_parquet)])
def test_tables_say_the_same_in_every_form(log: Path, tmp_path: Path, ending: str, write: Any) -> None:
    lines = found(log, tmp_path / "store", settings())
    for path in sorted(log.rglob("*.jsonl")):
        write(
            [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], path.with_suffix(f".{ending}")
        )
        path.unlink()
    tables = found(log, tmp_path / "store", settings())
    assert tables[0] == lines[0]
    assert [refused[1:] for refused in tables[1]] == [refused[1:] for refused in lines[1]]
    assert tables[2] == lines[2]


def test_a_whole_export_is_read_with_both_layouts(log: Path, tmp_path: Path) -> None:
    lines = found(log, tmp_path / "store", settings())
    facts = {"trace_1": ("user_1", "sess_1"), "trace_2": ("user_2", "sess_2")}
    records = map(json.loads, (log / "observations" / "observations.jsonl").read_text(encoding="utf-8").splitlines())
    enriched = [
        {**record, "user_id": facts[record["trace_id"]][0], "session_id": facts[record["trace_id"]][1]}
        for record in records
        if record["trace_id"] in facts
    ]
    for name, text in (
        ("observations_v2/1.jsonl", "".join(json.dumps(record) + "\n" for record in enriched)),
        ("manifests/1.json", '{"version": 1, "window": {}, "exportSource": "x", "tables": [], "files": []}\n'),
    ):
        (log / name).parent.mkdir()
        (log / name).write_text(text)
    both = found(log, tmp_path / "store", settings())
    assert (both[0], both[1]) == (lines[0], lines[1])
    assert both[2]["merged"] == 2


def test_workers_read_the_same_table(log: Path, tmp_path: Path) -> None:
    alone = found(log, tmp_path / "one", settings(workers=1))
    assert found(log, tmp_path / "two", settings(workers=2, worker_mib=0)) == alone


def test_what_is_kept_rests_on_the_traces(log: Path, tmp_path: Path) -> None:
    config = settings(staged_unit_kib=1)
    before = found(log, tmp_path / "store", config)
    plain = {"request_id": "r", "account_id": "a", "timestamp": "2025-11-26T10:00:00Z", "prompt": "word " * 500}
    (log / "a.jsonl").write_text(json.dumps(plain) + "\n")  # large enough for a unit of its own
    own = found(log, tmp_path / "store", config)
    assert own[2].get("reused_files") == 3  # another format's file leaves these as they are
    change(log / "traces" / "traces.jsonl", lambda trace: {**trace, "user_id": f"new_{trace['id']}"})
    after = found(log, tmp_path / "store", config)
    assert after[2].pop("reused_files") == 1  # and theirs are read again
    assert after == found(log, tmp_path / "fresh", config)
    assert [account for _, account, _ in after[0]] == ["new_trace_1", "new_trace_2", "new_trace_3", "a", "new_trace_5"]
    assert [account for _, account, _ in before[0]] == ["user_1", "user_2", "user_5"]


def requests_of(folder: Path) -> list[tuple[Any, ...]]:
    """The ids, accounts and prompts of an ingest's requests."""
    with duckdb.connect() as connection:
        return connection.execute(
            f"""SELECT request_id, account_id, text FROM read_parquet('{folder}/requests/**/*.parquet')
            JOIN read_parquet('{folder}/accounts.parquet') USING (account_row)
            JOIN read_parquet('{folder}/texts.parquet') ON text_row = prompt_text_row ORDER BY request_id"""
        ).fetchall()


def change(path: Path, how: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Nothing; the file then holds the changed records."""
    lines = [json.dumps(how(json.loads(line))) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_nothing_of_the_table_is_left(log: Path, tmp_path: Path) -> None:
    found(log, tmp_path / "store", settings())
    assert [path.name for path in (tmp_path / "store").rglob("*.sqlite")] == []


def test_inspect_joins_what_it_sees(log: Path) -> None:
    (sample,) = inspect_log([str(log)], settings().ingest).samples
    assert (sample.format, sample.records, sample.requests, sample.passed) == ("langfuse", 11, 3, 6)
    assert sample.refused == {"account_id: no account": 1, "traceId: no trace": 1}


@pytest.mark.parametrize(
    ("name", "accounts", "kept", "conflicts"),
    [
        ("otel", {"acct_1", "acct_app", *(f"acct_{at}" for at in range(2, 10))}, 11, 0),
        # The API and the dataframe hold a span of one id with other words.
        ("openinference", {f"acct_{at}" for at in range(1, 7)}, 7, 1),
        ("langsmith", {f"user_{at}" for at in (1, 2, 3, 5, 6, 7)}, 6, 0),
    ],
)
def test_logs_of_spans_and_runs_are_read_as_they_are(
    tmp_path: Path, name: str, accounts: set[str], kept: int, conflicts: int
) -> None:
    log = tmp_path / "log"
    log.mkdir()
    for path in (JOINED.parent.parent / name).iterdir():
        if ".expected." not in path.name:
            shutil.copyfile(path, log / path.name)
    rows, _, counts = found(log, tmp_path / "store", settings())
    assert {account for _, account, _ in rows} == accounts
    assert (counts["kept"], counts["quarantined"], counts["conflicts"]) == (kept, conflicts, conflicts)
    assert counts["read"] == counts["kept"] + counts["quarantined"] + counts["passed"]


def test_users_that_are_looked_up_are_hashed_at_the_door(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = found(log, tmp_path / "plain", settings())
    monkeypatch.setenv("REFRAIN_HASH_KEY", bytes(range(32)).hex())
    rows, refused, _ = found(log, tmp_path / "store", settings(hash=("account_id",)))
    assert [account.partition(":")[0] for _, account, _ in rows] == ["h1"] * 3
    assert len({account for _, account, _ in rows}) == 3
    assert [(request, text) for request, _, text in rows] == [(request, text) for request, _, text in plain[0]]
    assert refused == plain[1]
