"""Queries as logs: what a database holds comes out as rows of a log, a day at a time, and once."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from hypothesis import example, given
from hypothesis import strategies as st
from postgres import Server
from typer.testing import CliRunner

from refrain.cli import app
from refrain.errors import InputError, PlaceError
from refrain.progress import NoProgress
from refrain.runs import run_ingest
from refrain.settings import load_settings
from refrain.snapshots import Fetched, fetch_days
from refrain.snapshots.columns import TYPES, columns_of, joined
from refrain.snapshots.days import NOTE

NOW = datetime(2026, 9, 4, 12, tzinfo=UTC)
CHOSEN = "SELECT id AS request_id, account AS account_id, sent AS timestamp, said AS prompt FROM calls"
BY_DAY = f"{CHOSEN} WHERE sent >= :start AND sent < :end ORDER BY id"
WHOLE = f"{CHOSEN} ORDER BY id"
CALLS = [
    ("r1", "a", "2026-09-01 00:00:00", "first of the day"),
    ("r2", "b", "2026-09-01T23:59:59.999", "last of the day, said =1+1 :start 100% ::text"),
    ("r3", "a", "2026-09-02 00:00:00", "next day"),
    ("r4", "c", "2026-09-03 05:00:00", None),
    ("r5", "c", "2026-09-04 01:00:00", "today"),
]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "a gateway#é.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE calls (id TEXT, account TEXT, sent TEXT, said TEXT)")
        connection.executemany("INSERT INTO calls VALUES (?, ?, ?, ?)", CALLS)
    connection.close()
    return path


def url_of(path: Path) -> str:
    return sa.URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


def fetched(url: str, query: str, to: Path, first: str = "", last: str = "", **more: Any) -> list[Fetched]:
    days: dict[str, Any] = {name: date.fromisoformat(day) for name, day in (("first", first), ("last", last)) if day}
    config = load_settings().config.places
    return fetch_days(url, query, to, now=NOW, config=config, progress=NoProgress(), **days, **more)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("**/*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]


def all_bytes(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_days_come_out_as_folders_of_a_log(calls: Path, tmp_path: Path) -> None:
    to = tmp_path / "log"
    done = fetched(url_of(calls), BY_DAY, to, "2026-08-31", "2026-09-03")
    assert [(day.folder.name, day.rows, day.fetched) for day in done] == [
        ("day=2026-08-31", 0, True),
        ("day=2026-09-01", 2, True),
        ("day=2026-09-02", 1, True),
        ("day=2026-09-03", 1, True),
    ]
    names = ("request_id", "account_id", "timestamp", "prompt")
    assert [tuple(row[name] for name in names) for row in rows_of(to)] == CALLS[:4]
    _, result = run_ingest([str(to)], _lenient(), tmp_path / "outputs", progress=NoProgress())
    assert (result.counts["read"], result.counts["quarantined"], result.counts["files"]) == (4, 1, 3)


def _lenient() -> Any:
    return load_settings(overrides=["ingest.max_structural_error_share=0.5"]).config


def test_a_day_that_is_there_is_not_fetched_again_and_again_gives_the_same_bytes(calls: Path, tmp_path: Path) -> None:
    to = tmp_path / "log"
    fetched(url_of(calls), BY_DAY, to, "2026-09-01", "2026-09-02")
    before = all_bytes(to)
    assert [day.fetched for day in fetched(url_of(calls), BY_DAY, to, "2026-09-01")] == [False, False, True]
    assert all_bytes(to).items() >= before.items()
    assert [day.fetched for day in fetched(url_of(calls), BY_DAY, to, "2026-09-01", "2026-09-02", again=True)] == [
        True
    ] * 2
    assert all_bytes(to).items() >= before.items()
    (to / "day=2026-09-01" / "part-00000.parquet").unlink()
    assert [day.fetched for day in fetched(url_of(calls), BY_DAY, to, "2026-09-01", "2026-09-02")] == [True, False]
    other = BY_DAY.replace("ORDER BY id", "ORDER BY id DESC")
    assert [day.fetched for day in fetched(url_of(calls), other, to, "2026-09-01", "2026-09-01")] == [True]
    assert [row["request_id"] for row in rows_of(to / "day=2026-09-01")] == ["r2", "r1"]


def test_a_day_that_is_not_over_is_fetched_every_time(calls: Path, tmp_path: Path) -> None:
    to = tmp_path / "log"
    for _ in range(2):
        assert [(d.rows, d.fetched) for d in fetched(url_of(calls), BY_DAY, to, "2026-09-04", "2026-09-04")] == [
            (1, True)
        ]
    with sqlite3.connect(calls) as connection:
        connection.execute("INSERT INTO calls VALUES ('r6', 'd', '2026-09-04 13:00:00', 'later today')")
    connection.close()
    assert [d.rows for d in fetched(url_of(calls), BY_DAY, to, "2026-09-04", "2026-09-04")] == [2]


def test_a_query_without_days_is_one_folder(calls: Path, tmp_path: Path) -> None:
    to = tmp_path / "log"
    for _ in range(2):
        done = fetched(url_of(calls), f"{WHOLE};", to)
        assert [(day.folder.name, day.rows, day.fetched) for day in done] == [("snapshot", 5, True)]
    assert len(rows_of(to)) == 5


def test_a_failure_leaves_the_days_before_it_whole(calls: Path, tmp_path: Path) -> None:
    to = tmp_path / "log"
    fetched(url_of(calls), BY_DAY, to, "2026-09-02", "2026-09-02")
    before = all_bytes(to)
    failing = BY_DAY.replace("said AS", "CASE WHEN id = 'r2' THEN abs(-9223372036854775807 - 1) ELSE said END AS")
    with pytest.raises(PlaceError) as caught:
        fetched(url_of(calls), failing, to, "2026-08-31", "2026-09-02")
    assert "r2" not in caught.value.message
    after = all_bytes(to)
    assert after["day=2026-09-02/part-00000.parquet"] == before["day=2026-09-02/part-00000.parquet"]
    assert not [name for name in after if "2026-09-01" in name or "staging" in name]


@pytest.mark.parametrize(
    ("query", "days", "words"),
    [
        (BY_DAY, {}, "no first day"),
        (WHOLE, {"first": "2026-09-01"}, "no days to choose from"),
        (BY_DAY, {"first": "2026-09-02", "last": "2026-09-01"}, "no day lies from 2026-09-02 to 2026-09-01"),
        (BY_DAY.replace(":end", "2"), {"first": "2026-09-01"}, "parameters start"),
        (WHOLE.replace("calls", "calls WHERE id = :secret"), {}, "parameters secret"),
        ("SELECT id, id FROM calls", {}, "two columns of the name id"),
        ("SELECT nowhere FROM calls", {}, "no such column: nowhere"),
        ("SELEC id FROM calls", {}, 'near "SELEC": syntax error'),
        ("  ;", {}, "blank"),
        ("DELETE FROM calls", {}, "sqlite"),
        ("INSERT INTO calls SELECT * FROM calls RETURNING id", {}, "sqlite"),
    ],
)
def test_a_query_at_fault_is_told_and_changes_nothing(
    calls: Path, tmp_path: Path, query: str, days: dict[str, str], words: str
) -> None:
    before = calls.read_bytes()
    with pytest.raises((InputError, PlaceError), match=words):
        fetched(url_of(calls), query, tmp_path / "log", **days)
    assert calls.read_bytes() == before
    assert not list((tmp_path / "log").glob("*/*.parquet"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://planted-user:planted-password@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?password=planted-password",
        "nonsense://u:planted-password@host/db",
        "planted-password",
        "sqlite:///nowhere/no.db?planted-password=1",
        "sqlite://",
        "mysql+pymysql://u:planted-password@127.0.0.1:1/db",
    ],
)
def test_no_message_shows_a_password(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_SQL_PASSWORD", "planted-password-2")
    given = ["fetch", url, "--query", "SELECT 1", "--to", str(tmp_path / "log"), "--json"]
    done = CliRunner().invoke(app, given)
    assert done.exit_code in (1, 2)
    assert "planted-password" not in done.output
    assert json.loads(done.stderr.splitlines()[-1])["error"]["message"]


def test_the_command_says_what_it_fetched(calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_SQL_URL", url_of(calls))
    file = tmp_path / "log.sql"
    file.write_text(BY_DAY)
    given = ["fetch", "--query-file", str(file), "--to", str(tmp_path / "log"), "--from", "2026-09-01"]
    done = CliRunner().invoke(app, [*given, "--to-day", "2026-09-02", "--json"])
    assert json.loads(done.stdout) == {
        "to": str(tmp_path / "log"),
        "folders": [
            {"folder": "day=2026-09-01", "rows": 2, "fetched": True},
            {"folder": "day=2026-09-02", "rows": 1, "fetched": True},
        ],
        "rows": 3,
    }
    assert not done.stderr
    none = CliRunner().invoke(app, [*given[:-1], "2026-08-01", "--to-day", "2026-08-01"])
    assert none.stderr.startswith("no row: ")
    again = CliRunner().invoke(app, [*given, "--to-day", "2026-09-02"])
    assert again.stdout.count("unchanged") == 2
    assert CliRunner().invoke(app, ["fetch", url_of(calls), "--to", str(tmp_path)]).exit_code == 2


def test_values_of_every_kind_in_any_order_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE odd (n INTEGER, v)")
        values: list[Any] = [None, 1, 2.5, "text \x00 <b>\u202e", b"\xff\x00", 2**62, "=1+1"]
        connection.executemany("INSERT INTO odd VALUES (?, ?)", list(enumerate(values)))
        connection.execute("INSERT INTO odd VALUES (7, CAST(X'666fff' AS TEXT))")
    connection.close()
    config = replace(load_settings().config.places, fetch_rows=1)
    to = tmp_path / "log"
    fetch_days(url_of(path), "SELECT n, v FROM odd ORDER BY n", to, config=config, progress=NoProgress())
    found = [row["v"] for row in rows_of(to)]
    assert found == [None, 1, 2.5, "text  <b>\u202e", "\ufffd", str(2**62), "=1+1", "fo\ufffd"]
    assert [row["n"] for row in rows_of(to)] == list(range(8))


@given(st.lists(st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=4), max_size=8))
def test_kinds_only_climb_and_their_order_does_not_matter(batches: list[list[str]]) -> None:
    kinds = [kind for batch in batches for kind in batch]
    found = "null"
    for kind in kinds:
        wider = joined(found, kind)
        assert joined(wider, found) == wider
        assert joined(wider, kind) == wider
        found = wider
    backwards = "null"
    for kind in reversed(kinds):
        backwards = joined(backwards, kind)
    assert backwards == found


_CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.datetimes(),
    st.datetimes(timezones=st.just(UTC)), st.dates(), st.uuids(), st.lists(st.integers()),
    st.dictionaries(st.text(), st.text()),
)  # fmt: skip


@given(st.lists(st.lists(_CELLS, max_size=5), max_size=5))
@example([[Decimal("sNaN"), Decimal("NaN"), Decimal("-Infinity")]])
def test_no_value_is_too_odd_for_a_column(batches: list[list[Any]]) -> None:
    import pyarrow as pa

    kinds: dict[str, str] = {}
    for batch in batches:
        kinds, columns = columns_of(["v"], [[value] for value in batch], kinds)
        column = pa.array(columns[0], TYPES[kinds["v"]])
        assert [value is None for value in column.to_pylist()] == [value is None for value in batch]


def test_numbers_keep_their_value() -> None:
    cells = [Decimal("12"), Decimal("1E+2"), Decimal("0.5")]
    assert columns_of(["v"], [[cell] for cell in cells[:2]], {}) == ({"v": "int"}, [[12, 100]])
    assert columns_of(["v"], [[cell] for cell in cells], {}) == ({"v": "float"}, [[12.0, 100.0, 0.5]])
    assert columns_of(["v"], [[Decimal("1E+30")]], {}) == ({"v": "text"}, [["1" + "0" * 30]])
    assert columns_of(["v"], [[Decimal("1E+300")]], {})[0] == {"v": "float"}
    assert columns_of(["v"], [[10**30]], {}) == ({"v": "text"}, [["1" + "0" * 30]])


@pytest.fixture
def filled(server: Server) -> Iterator[Callable[[str], str]]:
    """The URL, without its password, of a new database after some statements."""

    def fill(statements: str) -> str:
        database = server.make_database()
        engine = sa.create_engine(server.url(database))
        with engine.begin() as connection:
            connection.exec_driver_sql(statements)
        engine.dispose()
        return server.url(database, password=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REFRAIN_SQL_PASSWORD", server.password)
        yield fill


POSTGRES = """
CREATE TABLE calls (id uuid PRIMARY KEY, account bigint, sent timestamptz, local timestamp, said text, messages jsonb,
                    raw json, ip inet, tokens numeric, tags text[]);
INSERT INTO calls VALUES
 ('00000000-0000-0000-0000-000000000001', 1, '2026-09-01 00:00:00+00', '2026-09-01 00:00:00', E'a\\tb',
  '[{"role": "user", "content": "hi"}]', '{"a":  1}', '10.1.2.3', 12, '{x,y}'),
 ('00000000-0000-0000-0000-000000000002', 2, '2026-09-02 01:00:00+02', '2026-09-01 23:00:00', NULL, NULL, NULL,
  '2001:db8::1', 3.5, NULL),
 ('00000000-0000-0000-0000-000000000003', 3, '2026-09-02 02:00:00+02', '2026-09-02 00:00:00', 'next', NULL, NULL, NULL,
  NULL, NULL);
"""


@pytest.mark.slow
def test_postgresql_gives_its_days_value_for_value(filled: Callable[[str], str], tmp_path: Path) -> None:
    url = filled(POSTGRES)
    for column in ("sent", "local"):
        to = tmp_path / column
        within = f"{column} >= :start AND {column} < :end"
        query = f"SELECT * FROM calls WHERE {within} AND said IS DISTINCT FROM '5%' ORDER BY id"
        done = fetched(url, query, to, "2026-09-01", "2026-09-02")
        assert [day.rows for day in done] == [2, 1]
        first, second, third = rows_of(to)
        assert first == {
            "id": "00000000-0000-0000-0000-000000000001",
            "account": 1,
            "sent": datetime(2026, 9, 1, tzinfo=UTC),
            "local": datetime(2026, 9, 1),  # noqa: DTZ001 (it has none)
            "said": "a\tb",
            "messages": '[{"role": "user", "content": "hi"}]',
            "raw": '{"a":  1}',
            "ip": "10.1.2.3",
            "tokens": 12.0,
            "tags": '["x", "y"]',
        }
        assert (second["sent"], second["ip"], second["tokens"]) == (
            datetime(2026, 9, 1, 23, tzinfo=UTC),
            "2001:db8::1",
            3.5,
        )
        assert (third["said"], third["account"], third["messages"]) == ("next", 3, None)


@pytest.mark.slow
def test_postgresql_is_only_read_and_says_what_is_wrong(filled: Callable[[str], str], tmp_path: Path) -> None:
    url = filled(POSTGRES)
    for query, words in (
        ("SELECT nowhere FROM calls", 'column "nowhere" does not exist'),
        ("DELETE FROM calls RETURNING id", "postgresql"),
        ("WITH gone AS (DELETE FROM calls RETURNING id) SELECT * FROM gone", "postgresql"),
    ):
        with pytest.raises((InputError, PlaceError), match=words):
            fetched(url, query, tmp_path / "log")
    with pytest.raises(PlaceError) as caught:
        fetched(url, "SELECT said::int FROM calls", tmp_path / "log")
    assert "next" not in caught.value.message + caught.value.hint
    assert [day.rows for day in fetched(url, "SELECT id FROM calls", tmp_path / "log")] == [3]


@pytest.mark.slow
def test_a_million_characters_a_row_do_not_fill_the_memory(filled: Callable[[str], str], tmp_path: Path) -> None:
    url = filled("CREATE TABLE big AS SELECT n, repeat(md5(n::text), 8000) AS said FROM generate_series(1, 1000) AS n")
    script = (
        "import resource, sys\nfrom refrain.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    to, given = tmp_path / "log", ["--set", "places.fetch_rows=50", "--set", "places.fetch_mib=8", "--quiet"]

    def peak(rows: int) -> int:
        query = f"SELECT * FROM big WHERE n <= {rows} ORDER BY n"
        command = [sys.executable, "-c", script, "fetch", url, "--query", query, "--to", str(to), *given]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
        return int(done.stdout.splitlines()[-1])

    small, large = peak(100), peak(1000)
    assert sum(pq.ParquetFile(path).metadata.num_rows for path in to.glob("snapshot/*.parquet")) == 1000
    assert large - small < 100_000  # KiB; all rows are 250 MB
    assert (to / "snapshot" / NOTE).exists()
