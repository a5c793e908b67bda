"""The nightly flow against Prefect's server on PostgreSQL: its state, its counts, and nothing of the log in there."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from test_flows import CANARY_ACCOUNT, CANARY_TEXT, canary_log

from refrain.code import ROOT

if TYPE_CHECKING:
    from postgres import Server

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(find_spec("asyncpg") is None, reason="Prefect reaches PostgreSQL by asyncpg, which is not here"),
]

DAY = "2026-05-02"
START_SECONDS = 900.0  # a first start makes all tables of Prefect's
QUEUE_SECONDS = 60.0  # task runs and log lines arrive through a queue
FLOW = """
import sys
from flows.nightly import nightly
print(nightly(logs=[sys.argv[1]], day=sys.argv[2], days=2, outputs=sys.argv[3]))
"""


@dataclass(frozen=True)
class Told:
    """What a nightly flow left with Prefect: every row of every table as text, by table; and what it said."""

    tables: dict[str, list[str]]
    connection: Any
    said: str
    home: Path
    night: Path


@pytest.fixture(scope="module")
def told(server: "Server", tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One night of a log of canaries, on a server and a database of its own."""
    from flows import serve
    from flows.serve import _server, settings

    root = tmp_path_factory.mktemp("prefect_postgres")
    log, outputs, home = canary_log(root / "log"), root / "outputs", root / "home"
    home.mkdir()
    name, port = server.make_database(), free_port()
    own = {
        **settings(home, f"http://127.0.0.1:{port}/api"),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": server.url(name).replace("+psycopg", "+asyncpg"),
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    with pytest.MonkeyPatch.context() as patch:
        for key in os.environ.keys() - clean.keys():
            patch.delenv(key)
        for key, value in own.items():
            patch.setenv(key, value)
        patch.setattr(serve, "_START_SECONDS", START_SECONDS)
        with _server(home, port):
            flow_env = {**clean, **own}
            del flow_env["PREFECT_SERVER_DATABASE_CONNECTION_URL"]  # the flow knows the server alone
            done = subprocess.run(
                [sys.executable, "-c", FLOW, str(log), DAY, str(outputs)],
                cwd=ROOT,
                env=flow_env,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-3000:]
            with psycopg.connect(server.url(name).replace("+psycopg", ""), autocommit=True) as connection:
                end = time.monotonic() + QUEUE_SECONDS
                while count(connection, "task_run") < 10 and time.monotonic() < end:
                    time.sleep(0.5)
                yield Told(
                    dump(connection), connection, done.stdout + done.stderr, home, outputs / f"runs/nightly-{DAY}"
                )


def free_port() -> int:
    """A port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def count(connection: Any, table: str) -> int:
    """The rows of a table."""
    [row] = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(row[0])


def dump(connection: Any) -> dict[str, list[str]]:
    """Every row of every table as text."""
    names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
    return {
        name: [row[0] for row in connection.execute(f'SELECT t::text FROM "{name}" t').fetchall()] for (name,) in names
    }


def test_the_flow_completes_and_its_night_is_published(told: Told) -> None:
    runs = told.connection.execute("SELECT state_type::text, state_name FROM flow_run").fetchall()
    assert runs == [("COMPLETED", "Completed")]
    tasks = told.connection.execute("SELECT name, state_type::text FROM task_run").fetchall()
    assert {state for _, state in tasks} == {"COMPLETED"}
    verbs = {name.split("-")[0] for name, _ in tasks}
    assert verbs == {
        "plan", "ingest", "embed", "index", "cluster", "mine", "score", "export", "report", "publish",
    }  # fmt: skip
    assert str(told.night) in told.said
    assert (told.night / "lineage/done.json").is_file()


def test_artifacts_hold_counts(told: Told) -> None:
    found = dict(told.connection.execute("SELECT key, data::text FROM artifact").fetchall())
    assert set(found) == {"nightly-progress", "nightly-stages", "nightly-findings", "nightly-night"}
    assert "72 kept" in found["nightly-stages"]
    assert "72 requests of 12 accounts; 2 records in quarantine" in found["nightly-findings"]
    assert f"Night **{DAY}**, days from 2026-05-01: 72 requests" in found["nightly-night"]


def test_no_account_and_no_text_is_in_any_table_or_file(told: Told) -> None:
    assert sum(map(len, told.tables.values())) > 50
    assert any("Finished in state Completed" in row for row in told.tables["log"])
    everything = "\n".join(row for rows in told.tables.values() for row in rows)
    kept = b"\n".join(path.read_bytes() for path in told.home.rglob("*") if path.is_file())
    for words in (*CANARY_TEXT.split(), CANARY_ACCOUNT, "Explain how", "case in question"):
        assert words not in everything
        assert words not in told.said
        assert words.encode() not in kept


def test_nothing_of_prefect_is_kept_beside_the_database(told: Told) -> None:
    """The server would make a SQLite file in its home where it did not take the URL."""
    assert list(told.home.rglob("*.db")) == []
    assert told.tables["alembic_version"]
