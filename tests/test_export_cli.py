"""`refrain export` as people call it: every format over one finished run, JSON, and errors that show no secret."""

import base64
import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx as nx
import pandas as pd
import pyarrow.parquet as pq
import pytest
import stix2
from nights_of import SQLITE, campaign, event, night, outputs_of, sighting
from typer.testing import CliRunner, Result
from webhooks import hook

from refrain.cli import app
from refrain.cli.exports import _complete_format
from refrain.exporters.exporter import Standing
from refrain.exporters.registry import BUILT_IN
from refrain.exporters.standings import standings
from refrain.exporters.webhook import SECRET_VARIABLE
from refrain.ledger import open_ledger
from refrain.share_key import VARIABLE, shared_id

if TYPE_CHECKING:
    from conftest import SmallRun


def call(*arguments: object, code: int = 0) -> Result:
    """What `refrain export` says to these arguments."""
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_the_formats_are_listed_with_their_options() -> None:
    listed = json.loads(call("--list-formats", "--json").stdout)["formats"]
    assert [one["name"] for one in listed] == list(BUILT_IN)
    text = call("--list-formats").stdout
    assert all(one["title"] in text and all(name in text for name in one["options"]) for one in listed)


def test_a_run_is_needed_for_everything_else() -> None:
    assert "which run?" in call("--to", "x", code=2).stderr


def test_formats_complete() -> None:
    assert _complete_format("gr") == ["graphml"]
    assert _complete_format("s") == ["sql", "stix", "siem"]


def test_what_is_wrong_is_told_with_code_2_and_quotes_no_option(tmp_path: Path) -> None:
    outputs = ("--outputs", tmp_path)
    assert "needs a place" in call("latest", "--format", "sql", *outputs, code=2).stderr
    assert "no export format" in call("latest", "--to", "x", "--format", "xls", *outputs, code=2).stderr


def test_standings_are_those_of_the_last_night_and_of_the_last_decision(tmp_path: Path) -> None:
    one, two, three = campaign(1, 0, 0), campaign(2, 0, 0), campaign(3, 0, 0, state="ended")
    with open_ledger(outputs_of(tmp_path), SQLITE) as ledger:
        seen = [sighting(row, 0, number) for number, row in enumerate((one, two, three))]
        ledger.record_night(night(0), [one, two, three], seen, [event(one, 0, "born")])
        for verdict in ("watching", "confirmed"):
            ledger.decide(one.id, verdict, by="lea", when=datetime(2026, 3, 9, tzinfo=UTC), why="ticket 512")
    assert standings(outputs_of(tmp_path), SQLITE) == {
        one.id: Standing("active", "confirmed"),
        two.id: Standing("active", ""),
        three.id: Standing("ended", ""),
    }


@pytest.mark.slow
def test_every_file_format_of_a_real_run(
    small_run: "SmallRun", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(form: str, name: str, *more: str) -> dict[str, int]:
        told = ("small", "--outputs", small_run.outputs, "--to", tmp_path / name, "--format", form, *more, "--json")
        answer: dict[str, Any] = json.loads(call(*told).stdout)
        assert (answer["format"], answer["to"]) == (form, str(tmp_path / name))
        rows: dict[str, int] = answer["rows"]
        return rows

    key = bytes(range(32))
    monkeypatch.setenv(VARIABLE, key.hex())
    exports = small_run.run / "exports"
    labels, members = pq.read_table(exports / "labels.parquet"), pq.read_table(exports / "accounts.parquet")
    accounts = set(members["account_id"].to_pylist())

    assert export("sql", "run.sqlite")["labels"] == labels.num_rows
    connection = sqlite3.connect(tmp_path / "run.sqlite")
    assert {row[0] for row in connection.execute("SELECT account_id FROM accounts")} == accounts
    connection.close()
    assert export("duckdb", "run.duckdb")["labels"] == labels.num_rows

    export("gexf", "run.gexf")
    graph = nx.read_gexf(tmp_path / "run.gexf")
    assert {data["name"] for _, data in graph.nodes(data=True) if data["kind"] == "account"} == accounts

    export("stix", "run.json", "--option", "findings=all")
    objects = stix2.parse((tmp_path / "run.json").read_text(), allow_custom=False).objects
    users = {one.user_id for one in objects if one.type == "user-account"}
    assert users == {shared_id(key, "account", account) for account in accounts}

    assert export("siem", "run.jsonl")["members"] == members.num_rows
    points = export("atlas", "map.parquet", "--option", "landmarks=200")["segments"]
    frame = pd.read_parquet(tmp_path / "map.parquet")
    clusters = pq.read_table(small_run.run / "clusters" / "segment_clusters.parquet").to_pandas()
    assert points == len(frame) == int((clusters["cluster_id"] != -1).sum())
    assert frame[["x", "y"]].notna().all().all()


@pytest.mark.slow
def test_a_webhook_and_a_database_are_shown_without_their_secrets(
    small_run: "SmallRun", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, base64.b64encode(bytes(range(32))).decode())
    outputs = ("small", "--outputs", small_run.outputs)
    with hook(200, content="application/cloudevents+json; charset=utf-8") as found:
        told = call(*outputs, "--to", found.url, "--format", "webhook", "--option", "findings=all").stdout
    assert "events to http://127.0.0.1" in told
    assert "secret-path" not in told
    assert found.heard
    failed = call(*outputs, "--to", "postgresql://u:hunter2@127.0.0.1:1/x", "--format", "sql", code=1)
    assert "cannot be reached" in failed.stderr
    assert "hunter2" not in failed.output
