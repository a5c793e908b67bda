"""The runs of a store in its ledger: a row for each that is whole, no other, and gone with its run."""

import json
import os
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from test_ledger_cli import call

from refrain.artifacts import read_manifest, seal, staged
from refrain.config import LedgerConfig
from refrain.errors import LedgerError
from refrain.ledger import RunRow, open_ledger
from refrain.purge import retain_runs
from refrain.run_notes import list_notes, note_run, row_of, settle_notes
from refrain.runs import Run, _write_manifest, open_run
from refrain.stages import NOUNS

NOON = datetime(2026, 9, 5, 12, tzinfo=UTC)
COUNTS = {"requests": {"kept": 30, "merged": 2}, "campaigns": {"alerts": 1, "campaigns": 4}}


def make_run(outputs: Path, name: str, *, part: bool = False, text: str = "labels", without: str = "") -> Run:
    """A run of sealed folders, whole but for the stage `without`."""
    for noun in NOUNS.values():
        with staged(outputs / "runs" / name / noun) as out:
            (out / "table").write_text(f"{noun} {text if noun == 'exports' else ''}")
            if noun == "requests":
                for day in ("day=2026-09-01", "day=2026-09-03"):
                    (out / "requests" / day).mkdir(parents=True)
                    (out / "requests" / day / "part-0.parquet").write_text("rows")
            inputs = ("log", "slice 0") if part and noun == "requests" else ("log",)
            seal(
                out, stage=noun, noun=noun, address=noun, inputs=inputs, config={}, code="", counts=COUNTS.get(noun, {})
            )
    run = Run(outputs / "runs" / name, {noun: noun for noun in NOUNS.values() if noun != without}, {})
    _write_manifest(run)
    return run


def rows(outputs: Path, config: LedgerConfig) -> list[RunRow]:
    """What the ledger has."""
    with open_ledger(outputs, config) as ledger:
        return ledger.runs.rows()


def test_a_whole_run_is_noted_once(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    run = make_run(tmp_path, "nightly-2026-09-04", part=True)
    assert note_run(run, ledger_config)
    [row] = rows(tmp_path, ledger_config)
    exports = read_manifest(run.folder / "exports")
    assert exports is not None
    assert (row.run_id, row.kind, row.content) == ("nightly-2026-09-04", "nightly", exports.content)
    assert (row.first_day, row.last_day) == (date(2026, 9, 1), date(2026, 9, 3))
    named = {name: count for name, count in row.counts.items() if count}
    assert named == {"kept": 30, "merged": 2, "alerts": 1, "campaigns": 4}
    assert row.counts["quarantined"] == 0
    assert not note_run(run, ledger_config)
    assert rows(tmp_path, ledger_config) == [row]
    other = make_run(tmp_path, run.name, part=True, text="other labels")
    assert note_run(other, ledger_config)
    [later] = rows(tmp_path, ledger_config)
    assert later.content != row.content
    assert later.finished >= row.finished


@pytest.mark.parametrize(
    ("name", "part", "kind"),
    [
        ("run-1", False, "on demand"),
        ("recluster-1", True, "slice"),
        ("nightly-x", False, "on demand"),
        ("nightly-2026-09-04", True, "nightly"),
    ],
)
def test_what_kind_of_run_it_was(tmp_path: Path, name: str, part: bool, kind: str) -> None:
    row = row_of(make_run(tmp_path, name, part=part), NOON)
    assert row is not None
    assert (row.kind, row.finished) == (kind, NOON)


def test_a_run_that_is_not_whole_is_not_noted(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    assert not note_run(make_run(tmp_path, "half", without="exports"), ledger_config)
    assert not [*tmp_path.glob("ledger*")]
    assert list_notes(tmp_path, ledger_config) == {}


def test_a_ledger_that_cannot_be_written_fails_no_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"no database" * 100)
    config = LedgerConfig(url="", signature_nights=28)
    run = make_run(tmp_path, "one")
    assert not note_run(run, config)
    assert "run one is whole" in caplog.text
    with pytest.raises(LedgerError, match="damaged"):
        list_notes(tmp_path, config)
    (tmp_path / "ledger.sqlite").unlink()
    [(row, there)] = list_notes(tmp_path, config).items()
    assert (row.run_id, there) == ("one", True)
    assert not (tmp_path / "ledger.sqlite").exists()


def test_rows_go_and_change_with_their_runs(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    names = ["nightly-2026-09-04", "oldest", "older", "new"]
    for at, name in enumerate(names):
        run = make_run(tmp_path, name)
        os.utime(run.folder / "manifest.json", (at, at))
        note_run(run, ledger_config)
    (tmp_path / "runs/latest-night").symlink_to(names[0])
    assert retain_runs(tmp_path, 2, ledger_config) == ["oldest"]
    assert {row.run_id for row in rows(tmp_path, ledger_config)} == {*names} - {"oldest"}
    before = {row.run_id: row for row in rows(tmp_path, ledger_config)}
    make_run(tmp_path, "new", text="redacted")
    shutil.rmtree(tmp_path / "runs/older")
    assert settle_notes(tmp_path, ledger_config) == 2
    after = {row.run_id: row for row in rows(tmp_path, ledger_config)}
    assert set(after) == {names[0], "new"}
    assert after["new"].content != before["new"].content
    assert after["new"].finished == before["new"].finished
    assert settle_notes(tmp_path, ledger_config) == 0


def test_runs_are_listed_the_newest_first(tmp_path: Path, ledger_config: LedgerConfig) -> None:
    sets = ("--outputs", tmp_path, *(("--set", f"ledger.url={ledger_config.url}") if ledger_config.url else ()))
    assert "no run was finished" in call("runs", *sets).stdout
    with open_ledger(tmp_path, ledger_config) as ledger:
        for at, name in enumerate(["gone", "first", "second"]):
            row = row_of(make_run(tmp_path, name, part=True), NOON + timedelta(hours=at))
            assert row is not None
            ledger.runs.note(row)
    shutil.rmtree(tmp_path / "runs/gone")
    unnoted = make_run(tmp_path, "unnoted")
    os.utime(unnoted.folder / "manifest.json", (1, 1))
    (tmp_path / "runs/latest").symlink_to("second")
    told = json.loads(call("runs", *sets, "--json").stdout)["runs"]
    assert [(row["run"], row["there"], row["pointers"]) for row in told] == [
        ("second", True, ["latest"]),
        ("first", True, []),
        ("gone", False, []),
        ("unnoted", True, []),
    ]
    assert told[1]["finished"] == "2026-09-05T13:00:00+00:00"
    assert (told[0]["first_day"], told[0]["last_day"], told[0]["counts"]["kept"]) == ("2026-09-01", "2026-09-03", 30)
    lines = call("runs", *sets).stdout.splitlines()
    assert lines[0] == (
        "2026-09-05 14:00  slice      second  2026-09-01 to 2026-09-03  30 requests; 1 alert among 4 findings; latest"
    )
    assert lines[2].endswith("; removed")
    assert open_run(tmp_path, "latest").name == "second"
