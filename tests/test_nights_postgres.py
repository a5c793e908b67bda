"""Nights on PostgreSQL: the same ids, events and stories as on SQLite, row for row."""

import json
import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from crashing import Job
from night_arena import DAYS, LAST, NEXT_NIGHT, WINDOW, NightArena, config_of, rows_of
from typer.testing import CliRunner

from refrain.cli import app
from refrain.ledger.database import PASSWORD_VARIABLE
from refrain.lineage_table import FOLDER
from refrain.nights import run_name
from refrain.runs import LATEST_NIGHT, REPORT

if TYPE_CHECKING:
    from postgres import Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NIGHTS = DAYS[1:]


@dataclass(frozen=True)
class Pair:
    """The same nights twice: with the ledger in the outputs folder, and in a PostgreSQL database."""

    arena: NightArena
    log: Path
    lite: Path
    post: Path
    url: str  # without the password
    full: str
    server: "Server"

    def setting(self, outputs: Path, *, password: bool = True) -> list[str]:
        """The setting that says where the ledger of these outputs is."""
        return [f"ledger.url={self.full if password else self.url}"] if outputs == self.post else []

    def rows(self, outputs: Path) -> Any:
        """All that the ledger of these outputs holds."""
        return rows_of(outputs, config_of(*self.setting(outputs)))

    def night(self, outputs: Path, day: date, **more: Any) -> None:
        """Nothing; the night of a day is published in the ledger of these outputs."""
        assert self.arena.night(self.log, outputs, day, *self.setting(outputs), **more).killed == 0


@pytest.fixture(scope="module")
def pair(night_arena: NightArena, server: "Server", tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Three nights, published from the same runs."""
    root = tmp_path_factory.mktemp("pair")
    given = night_arena.situations[NEXT_NIGHT]
    name = server.make_database()
    pair = Pair(
        night_arena,
        given.log,
        given.copy(root / "lite"),
        given.copy(root / "post"),
        server.url(name, password=False),
        server.url(name),
        server,
    )
    for path in pair.post.glob("ledger.sqlite*"):
        path.unlink()
    (pair.post / "runs" / LATEST_NIGHT).unlink()
    for day in NIGHTS:
        shutil.rmtree(pair.post / "runs" / run_name(day) / FOLDER, ignore_errors=True)
        pair.night(pair.post, day)
    pair.night(pair.lite, LAST)
    return pair


def call(pair: Pair, outputs: Path, *arguments: str, code: int = 0) -> Any:
    """What a command says of these outputs, as JSON."""
    sets = [part for setting in pair.setting(outputs, password=False) for part in ("--set", setting)]
    done = CliRunner().invoke(app, [*arguments, "--outputs", str(outputs), "--json", *sets])
    assert done.exit_code == code, done.output
    return json.loads(done.stderr if code else done.stdout)


def test_the_ledger_of_the_nights_is_the_same_row_for_row(pair: Pair) -> None:
    lite, post = pair.rows(pair.lite), pair.rows(pair.post)
    assert [row.day for row in lite[0]] == NIGHTS
    assert any(row.alert for row in lite[2])
    assert {event.event for event in lite[3]} >= {"born", "continued"}
    assert post == lite
    assert not (pair.post / "ledger.sqlite").exists()


def test_what_follows_from_the_ledger_is_the_same_byte_for_byte(pair: Pair) -> None:
    for day in NIGHTS:
        lite, post = (outputs / "runs" / run_name(day) for outputs in (pair.lite, pair.post))
        names = sorted(path.name for path in (lite / FOLDER).iterdir())
        assert names == ["done.json", "lineage.parquet", "stories.jsonl"]
        for name in [*(f"{FOLDER}/{name}" for name in names), REPORT]:
            assert (post / name).read_bytes() == (lite / name).read_bytes()
    assert (pair.post / "runs" / LATEST_NIGHT).readlink() == (pair.lite / "runs" / LATEST_NIGHT).readlink()


def test_people_read_and_decide_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the password from the environment, as it should be given."""
    monkeypatch.setenv(PASSWORD_VARIABLE, pair.server.password)
    listed = call(pair, pair.lite, "lineage")
    assert listed["campaigns"]
    assert call(pair, pair.post, "lineage") == listed
    held = listed["campaigns"][0]["id"]
    for one in (held, held[:6], "0"):
        assert call(pair, pair.post, "lineage", one) == call(pair, pair.lite, "lineage", one)
    for outputs in (pair.lite, pair.post):
        call(pair, outputs, "decide", held, "watching", "--why", "waits for ünïcode ☂ records", "--by", "lea")
        call(pair, outputs, "decide", held, "confirmed", "--why", "one pool", "--by", "noor")
        call(pair, outputs, "decide", "c-ffffffffffff", "confirmed", "--why", "so", code=2)

    def decided(outputs: Path) -> Any:
        rows = call(pair, outputs, "decisions")["decisions"]
        return [{name: value for name, value in row.items() if name != "when"} for row in rows]

    assert [row["verdict"] for row in decided(pair.lite)] == ["watching", "confirmed"]
    assert decided(pair.post) == decided(pair.lite)
    told = [call(pair, outputs, "lineage")["campaigns"] for outputs in (pair.lite, pair.post)]
    assert told[0] == told[1]
    assert {row["id"]: row["verdict"] for row in told[0]}[held] == "confirmed"


def test_no_password_is_in_any_file(pair: Pair) -> None:
    word = pair.server.password.encode()
    files = [path for path in pair.post.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if word in path.read_bytes()] == []


def test_nights_that_are_run_again_are_the_same(pair: Pair, tmp_path: Path) -> None:
    """From the second on anew: they are taken back and recorded once more, and the decisions hold."""
    before = pair.rows(pair.lite)
    for outputs in (pair.lite, pair.post):
        pair.night(outputs, NIGHTS[1], again=True)
        assert pair.rows(outputs) == before


def test_a_night_whose_database_cannot_be_reached_is_published_by_the_same_command_later(
    pair: Pair, tmp_path: Path
) -> None:
    given = pair.arena.situations[NEXT_NIGHT]
    outputs = given.copy(tmp_path / "outputs")
    for path in outputs.glob("ledger.sqlite*"):
        path.unlink()
    away = f"ledger.url=postgresql+psycopg://refrain:{pair.server.password}@127.0.0.1:9/refrain"
    failed = pair.arena.nursery.run(Job(pair.log, outputs, "", NIGHTS[0], WINDOW, settings=(away,), nightly=True))
    assert failed.kind == "LedgerBusyError"  # which a flow tries again
    assert "cannot be reached" in failed.error
    assert pair.server.password not in failed.error + failed.hint
    there = f"ledger.url={pair.server.url(pair.server.make_database())}"
    for day in NIGHTS:
        pair.arena.night(pair.log, outputs, day, there)
    assert rows_of(outputs, config_of(there)) == pair.rows(pair.lite)
