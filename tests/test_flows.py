"""The flows: the plain run byte for byte, forms that refuse nonsense, tries that can help, nothing of a log told."""

import ast
import io
import json
import logging
import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import pyarrow.parquet as pq
import pytest
from test_retention import three_runs
from webhooks import hook

from refrain.alerts import WEBHOOK_VARIABLE
from refrain.code import ROOT, imported_names
from refrain.errors import ConfigError, InputError, LedgerBusyError, LedgerError, LockHeldError, WorkerLostError
from refrain.ledger import open_ledger
from refrain.lineage_table import FILE, FOLDER
from refrain.locks import writer_lock
from refrain.progress import NoProgress
from refrain.retention import Retained
from refrain.runs import ASIDE, REPORT, TIMINGS, list_runs, open_run, run_all
from refrain.settings import load_settings
from refrain.slices import make_slice, night, save_slice

if TYPE_CHECKING:
    from conftest import SmallRun

pytestmark = pytest.mark.slow
CANARY_TEXT, CANARY_ACCOUNT = "zanzibar quokka", "acct-canary-7261"
DAY = date(2026, 5, 2)
THRESHOLD = 0.2
SERVE_SECONDS = 150


@dataclass(frozen=True)
class Harness:
    """Prefect's server for these tests, and what its client side logged."""

    database: Path
    home: Path
    said: io.StringIO


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """One server for the session, with a database that can be read afterwards."""
    from prefect.logging.configuration import setup_logging
    from prefect.settings import (
        PREFECT_HOME,
        PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    said = io.StringIO()
    handler = logging.StreamHandler(said)
    # One test calls a task outside a flow, which has no place to log to.
    outside = temporary_settings({PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW: "ignore"})
    with prefect_test_harness(server_startup_timeout=120), outside:
        setup_logging()  # else the first flow does, and takes the handler away
        logging.getLogger().addHandler(handler)
        url = str(PREFECT_SERVER_DATABASE_CONNECTION_URL.value())
        yield Harness(Path(url.removeprefix("sqlite+aiosqlite:///")), Path(PREFECT_HOME.value()), said)
        logging.getLogger().removeHandler(handler)


@dataclass(frozen=True)
class FlowRun:
    """Both flows over one log of canaries."""

    outputs: Path
    log: Path
    nightly: Path
    recluster: Path


def canary_log(folder: Path) -> Path:
    """A log of three days: one wrapper over twelve accounts, and a record that cannot be used."""
    for day in (1, 2, 3):
        rows = [
            {
                "request_id": f"r{day}-{at}",
                "account_id": f"{CANARY_ACCOUNT}-{at % 12}",
                "timestamp": f"2026-05-0{day}T{at % 24:02d}:00:00Z",
                "prompt": f"Explain how a {CANARY_TEXT} reasons, step by step.\nThe case in question is number {at}.",
            }
            for at in range(36)
        ]
        rows.append({"request_id": f"r{day}-x", "account_id": CANARY_ACCOUNT, "timestamp": CANARY_TEXT, "prompt": "?"})
        place = folder / f"day=2026-05-0{day}"
        place.mkdir(parents=True)
        (place / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="session")
def flow_run(prefect_server: Harness, tmp_path_factory: pytest.TempPathFactory) -> FlowRun:
    """`nightly` for two of three days, then `recluster` of a slice with a threshold, in one outputs folder."""
    from flows.nightly import nightly
    from flows.recluster import recluster

    root = tmp_path_factory.mktemp("flows")
    log, outputs = canary_log(root / "log"), root / "outputs"
    save_slice(outputs, "suspects", make_slice(accounts=[f"{CANARY_ACCOUNT}-{at}" for at in range(8)]))
    night_folder = nightly(logs=[str(log)], day=DAY, days=2, outputs=str(outputs))
    folder = recluster(
        logs=[str(log)], last_day=DAY, slice_name="suspects", false_discovery_rate=THRESHOLD, outputs=str(outputs)
    )
    return FlowRun(outputs, log, night_folder, folder)


def files(folder: Path) -> dict[str, bytes]:
    """The bytes of a run's files, but for seconds and memory, and for what a plain run has not: a night's map."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (TIMINGS, REPORT) and path.parent.name != FOLDER
    }


def elsewhere(outputs: Path, tmp_path: Path) -> Path:
    """Another outputs folder with the same key: the key is part of what is written."""
    (tmp_path / "store").mkdir(parents=True)
    (tmp_path / "store/key").write_bytes((outputs / "store/key").read_bytes())
    return tmp_path


def test_a_night_is_the_plain_run_byte_for_byte(flow_run: FlowRun, tmp_path: Path) -> None:
    plain = run_all(
        [str(flow_run.log)],
        load_settings().config,
        elsewhere(flow_run.outputs, tmp_path),
        run_id="nightly-2026-05-02",
        part=night(DAY, 2),
        progress=NoProgress(),
    )
    assert flow_run.nightly == flow_run.outputs / "runs/nightly-2026-05-02"
    assert files(flow_run.nightly) == files(plain.folder)
    labels = pq.read_table(flow_run.nightly / "exports/labels.parquet")
    assert labels.num_rows == 2 * 36
    assert (flow_run.nightly / REPORT).is_file()


def test_a_recluster_is_the_plain_run_of_its_slice_byte_for_byte(flow_run: FlowRun, tmp_path: Path) -> None:
    settings = load_settings(overrides=[f"score.false_discovery_rate={THRESHOLD}"])
    part = make_slice(accounts=[f"{CANARY_ACCOUNT}-{at}" for at in range(8)], last=DAY)
    place = elsewhere(flow_run.outputs, tmp_path)
    (place / "store/vectors").symlink_to(flow_run.outputs / "store/vectors")  # the night's test encodes for itself
    plain = run_all([str(flow_run.log)], settings.config, place, part=part, kind=ASIDE, progress=NoProgress())
    assert flow_run.recluster.name == plain.name
    assert files(flow_run.recluster) == files(plain.folder)
    assert open_run(flow_run.outputs, plain.name).config["score"]["false_discovery_rate"] == THRESHOLD


def test_the_exports_of_a_night_over_the_whole_log_are_those_of_a_run_without_a_window(
    prefect_server: Harness, small_run: "SmallRun", tmp_path: Path
) -> None:
    """Over the sample with the real encoder; the copied store leaves the flow nothing to encode."""
    from flows.nightly import nightly

    days = sorted(path.name.removeprefix("day=") for path in small_run.log.iterdir())
    outputs = elsewhere(small_run.outputs, tmp_path)
    (outputs / "store/vectors").symlink_to(small_run.outputs / "store/vectors")
    folder = nightly(logs=[str(small_run.log)], day=date.fromisoformat(days[-1]), days=len(days), outputs=str(outputs))
    assert files(folder / "exports") == files(small_run.run / "exports")
    assert json.loads((folder / TIMINGS).read_text())["vectors"]["encoded"] == 0


def test_nothing_of_the_log_is_told_to_prefect(flow_run: FlowRun, prefect_server: Harness) -> None:
    """Its database, its home, its results and its log lines are searched for the log's texts and accounts."""
    told_at = time.monotonic()
    counts: dict[str, int] = {}
    while time.monotonic() - told_at < 20 and not counts.get("task_run"):  # task runs arrive through a queue
        with closing(sqlite3.connect(prefect_server.database)) as database:
            counts = {
                table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("flow_run", "task_run", "artifact", "log")
            }
        time.sleep(0.5)
    assert counts["flow_run"] >= 2
    assert counts["artifact"] >= 6
    assert counts["task_run"]
    with closing(sqlite3.connect(prefect_server.database)) as database:
        dump = "\n".join(database.iterdump())
    assert "Stages done." in dump
    assert "ingest computed: 74 read" in dump
    assert "suspects" in dump
    kept = b"\n".join(path.read_bytes() for path in prefect_server.home.rglob("*") if path.is_file())
    said = prefect_server.said.getvalue()
    assert "Finished in state Completed" in said
    for words in ("zanzibar", "quokka", "acct-canary", "Explain how", "case in question"):
        assert words not in dump
        assert words not in said
        assert words.encode() not in kept


def test_artifacts_count_what_was_done(flow_run: FlowRun, prefect_server: Harness) -> None:
    of_the_night = """
        SELECT key, data FROM artifact WHERE key LIKE 'nightly-%' AND flow_run_id = (
            SELECT flow_run_id FROM artifact WHERE data LIKE '%nightly-2026-05-02%' ORDER BY created LIMIT 1
        )
    """
    with closing(sqlite3.connect(prefect_server.database)) as database:
        found = dict(database.execute(of_the_night))
    rows = json.loads(json.loads(found["nightly-stages"]))
    assert [row["stage"] for row in rows] == ["ingest", "embed", "index", "cluster", "mine", "score", "export"]
    assert "72 kept" in rows[0]["counts"]
    assert float(found["nightly-progress"]) == 100
    assert "72 requests of 12 accounts; 2 records in quarantine" in found["nightly-findings"]


def test_a_night_is_published_with_its_map_and_a_summary(flow_run: FlowRun, prefect_server: Harness) -> None:
    with open_ledger(flow_run.outputs, load_settings().config.ledger, create=False) as ledger:
        assert [(row.day, row.run_id) for row in ledger.nights()] == [(DAY, flow_run.nightly.name)]
        assert ledger.nights()[0].counts["kept"] == 2 * 36
    assert (flow_run.nightly / FOLDER / FILE).is_file()
    with closing(sqlite3.connect(prefect_server.database)) as database:
        [summary] = database.execute("SELECT data FROM artifact WHERE data LIKE '%Night **2026-05-02**%' LIMIT 1")
    assert "days from 2026-05-01: 72 requests" in summary[0]


def test_retention_is_a_task_that_says_what_went(prefect_server: Harness, tmp_path: Path) -> None:
    from prefect import flow

    from flows.run_nights import NightJob, retain
    from flows.tell_counts import tell_retention

    config = tmp_path / "keep.toml"
    config.write_text("[retention]\nruns = 1\n")
    outputs = three_runs(tmp_path)
    job = NightJob(("log",), outputs, config, (), DAY, again=False, due=datetime(2026, 9, 4, tzinfo=UTC))
    assert (job.retains, replace(job, config=None).retains) == (True, False)
    went: list[Retained | None] = []

    @flow(name="after-a-night", persist_result=False)
    def after_a_night() -> None:
        done = retain(job)
        went.append(done)
        assert done is not None
        tell_retention(replace(done, left=2, failure="the disk is full"))

    after_a_night()
    assert went == [Retained(("older", "oldest"))]
    assert list_runs(outputs) == ["new"]
    with closing(sqlite3.connect(prefect_server.database)) as database:
        [said] = database.execute("SELECT data FROM artifact WHERE key = 'nightly-retention'")
    for words in ("2 runs aged out", "2 files still hold", "the disk is full"):
        assert words in said[0]


def test_a_failed_night_is_told_by_the_kind_of_its_failure(
    prefect_server: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.nightly import nightly

    with hook(200) as found:
        monkeypatch.setenv(WEBHOOK_VARIABLE, found.url)
        with pytest.raises(InputError):
            nightly(logs=[str(tmp_path / CANARY_ACCOUNT)], day=DAY, outputs=str(tmp_path / "out"))
    assert [(told["event"], told["day"], told["failure"]) for told in found.heard] == [
        ("failure", str(DAY), "InputError")
    ]
    assert CANARY_ACCOUNT not in json.dumps(found.heard)


def test_a_second_night_does_nothing(flow_run: FlowRun) -> None:
    from flows.nightly import nightly

    before = files(flow_run.nightly), (flow_run.nightly / TIMINGS).read_bytes()
    assert nightly(logs=[str(flow_run.log)], day=DAY, days=2, outputs=str(flow_run.outputs)) == flow_run.nightly
    assert (files(flow_run.nightly), (flow_run.nightly / TIMINGS).read_bytes()) == before


@pytest.mark.parametrize(
    "parameters",
    [
        {"logs": []},
        {"logs": ["x"], "last_day": "May"},
        {"logs": ["x"], "false_discovery_rate": 1.5},
        {"logs": ["x"], "max_distance": 0},
        {"logs": ["x"], "campaign_owners": 1},
        {"logs": ["x"], "slice_name": "../suspects"},
        {"logs": ["x"], "accounts": ["a"]},
    ],
    ids=str,
)
def test_a_form_refuses_nonsense_before_anything_runs(parameters: dict[str, Any]) -> None:
    from prefect.exceptions import ParameterTypeError, SignatureMismatchError

    from flows.recluster import recluster

    with pytest.raises((ParameterTypeError, SignatureMismatchError)):
        recluster.validate_parameters(parameters)


def test_every_field_of_a_form_says_what_it_is_and_only_the_log_must_be_given() -> None:
    from flows.nightly import nightly
    from flows.recluster import recluster

    for flow in (nightly, recluster):
        schema = flow.parameters
        assert schema.required == ["logs"]
        for field in schema.properties.values():
            assert len(field["description"]) > 20
    kinds = {name: json.dumps(field) for name, field in recluster.parameters.properties.items()}
    assert '"format": "date"' in kinds["first_day"]
    assert '"maximum": 1' in kinds["false_discovery_rate"]


def hold(root: Path, held: Any, release: Any) -> None:
    """Holds the store in another process until told to let go."""
    with writer_lock(root):
        held.set()
        release.wait()


def test_a_held_store_is_waited_for_and_a_wrong_log_is_not(flow_run: FlowRun, prefect_server: Harness) -> None:
    from flows.catch_faults import PassingError
    from flows.run_stages import Job, ingest

    job = Job((str(flow_run.log),), flow_run.outputs, None, ("ingest.batch_rows=7",), None, None, DAY, "waits")
    processes = multiprocessing.get_context("spawn")
    held, release = processes.Event(), processes.Event()
    other = processes.Process(target=hold, args=(flow_run.outputs / "store", held, release))
    other.start()
    try:
        assert held.wait(60)
        state = ingest.with_options(retries=1, retry_delay_seconds=0)(job, return_state=True)
    finally:
        release.set()
        other.join()
    error = state.result(raise_on_failure=False)
    assert isinstance(error, PassingError)
    assert "is writing to" in error.message
    assert "Retries are exhausted" in prefect_server.said.getvalue()
    assert ingest.with_options(retry_delay_seconds=0)(job).verb == "ingest"

    before = len(prefect_server.said.getvalue())
    absent = Job((str(flow_run.log / "absent"),), flow_run.outputs, None, (), None, None, None, None)
    state = ingest(absent, return_state=True)
    assert isinstance(state.result(raise_on_failure=False), InputError)
    assert "retry" not in prefect_server.said.getvalue()[before:].lower()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (LockHeldError("process 1 is writing"), True),
        (LedgerBusyError("the ledger cannot be reached"), True),
        (WorkerLostError("a worker process was killed"), True),
        (LedgerError("the ledger is damaged"), False),
        (OSError(5, "Input/output error", "log.parquet"), True),
        (OSError(f"Couldn't read {CANARY_TEXT}"), True),
        (FileNotFoundError(2, "No such file", "log.parquet"), False),
        (InputError("no log file"), False),
        (ConfigError("no such setting"), False),
        (ValueError(CANARY_TEXT), False),
        (KeyError(CANARY_ACCOUNT), False),
    ],
    ids=repr,
)
def test_only_what_may_pass_is_tried_again_and_no_librarys_words_come_out(error: Exception, again: bool) -> None:
    import traceback

    from prefect.states import Failed

    from flows.catch_faults import may_pass, only_our_words

    with pytest.raises(Exception) as caught, only_our_words():
        raise error
    assert may_pass(None, None, Failed(data=caught.value)) is again
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY_TEXT not in shown
    assert CANARY_ACCOUNT not in shown


def test_flows_hold_prefect_and_the_calls_of_the_library_and_nothing_else() -> None:
    allowed = {"prefect", "pydantic", "refrain", "flows", *sys.stdlib_module_names}
    library = {
        "refrain.stages",
        "refrain.runs",
        "refrain.settings",
        "refrain.slices",
        "refrain.errors",
        "refrain.report",
        "refrain.nights",
        "refrain.night_plan",
        "refrain.night_publishing",
        "refrain.alerts",
        "refrain.config",
        "refrain.figures",
        "refrain.recluster",
        "refrain.retention",
        "refrain.place_urls",
    }
    for path in sorted((ROOT / "flows").glob("*.py")):
        names = imported_names(f"flows.{path.stem}", path)
        assert {name.split(".")[0] for name in names} <= allowed
        assert {".".join(name.split(".")[:2]) for name in names if name.startswith("refrain.")} <= library
        assert ast.get_docstring(ast.parse(path.read_text()))


def test_prefect_yaml_names_flows_that_are_there_and_takes_one_run_at_a_time() -> None:
    import yaml
    from prefect.flows import Flow, load_flow_from_entrypoint

    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert [deployment["name"] for deployment in deployments] == ["every-night", "on-demand"]
    for deployment in deployments:
        flow: Flow[Any, Any] = load_flow_from_entrypoint(deployment["entrypoint"])
        flow.validate_parameters(deployment["parameters"])
        assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_the_settings_of_the_repository_keep_prefect_at_home_and_silent() -> None:
    script = (
        "from prefect.settings import get_current_settings as get\ns = get()\n"
        "print(s.home, s.server.analytics_enabled, s.server.ephemeral.startup_timeout_seconds)"
    )
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**clean, "DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["outputs/.prefect", "False", "120"]


def test_serve_answers_on_the_loopback_with_both_deployments_and_leaves_nothing_running(
    small_run: "SmallRun", tmp_path: Path
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-m", "refrain.cli", "serve", str(small_run.log), "--outputs", str(tmp_path / "out")]
    said = tmp_path / "said"
    with said.open("w") as out:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--days", "3"], cwd=tmp_path, env=clean, stdout=out, stderr=out
        )
    try:
        end = time.monotonic() + SERVE_SECONDS
        while "on-demand" not in said.read_text() and time.monotonic() < end and process.poll() is None:
            time.sleep(0.5)
        assert "every-night" in said.read_text()
        with urlopen(f"http://127.0.0.1:{port}/api/health") as answer:
            assert answer.read() == b"true"
        database = tmp_path / "out/.prefect/prefect.db"
        with closing(sqlite3.connect(database)) as connection:
            found = connection.execute("SELECT name, parameters, entrypoint FROM deployment ORDER BY name").fetchall()
        assert [(name, entrypoint) for name, _, entrypoint in found] == [
            ("every-night", "flows.nightly.nightly"),
            ("on-demand", "flows.recluster.recluster"),
        ]
        assert json.loads(found[0][1])["logs"] == [str(small_run.log)]
        assert (tmp_path / "out/.prefect").stat().st_mode & 0o077 == 0
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
