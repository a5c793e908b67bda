"""Retention after a night: what is too old goes, is counted, and whatever fails, the night stands."""

import fcntl
import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from test_ledger_cli import call
from test_tombstones import CONFIG, counts, ingest, some_log

from refrain.config import RetentionConfig
from refrain.night_plan import Plan
from refrain.nights import NightsDone
from refrain.progress import NoProgress
from refrain.retention import Retained, apply_retention
from refrain.runs import list_runs
from refrain.slices import night
from refrain.tombstones import load_tombstones

NOW = date(2026, 9, 5)


def kept(outputs: Path, *, days: int = 0, runs: int = 0) -> Retained | None:
    """What retention does with these settings."""
    config = replace(CONFIG, retention=RetentionConfig(days=days, runs=runs))
    return apply_retention(outputs, config, NOW, NoProgress())


def three_runs(tmp_path: Path) -> Path:
    """An outputs folder with a run of each of three days."""
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    for at, name in enumerate(("oldest", "older", "new")):
        run = ingest(log, outputs, run_id=name, part=night(date(2026, 9, 1 + at), 1)).parent
        os.utime(run / "manifest.json", (at, at))
    return outputs


def test_where_all_is_kept_nothing_is_looked_at(tmp_path: Path) -> None:
    assert kept(tmp_path / "absent") is None
    assert not (tmp_path / "absent").exists()


def test_old_runs_and_old_requests_go_and_are_counted(tmp_path: Path) -> None:
    outputs = three_runs(tmp_path)
    sent = counts(outputs / "runs/older/requests")["kept"]
    done = kept(outputs, days=2, runs=2)
    assert done is not None
    assert (done.runs, done.left, done.failure) == (("oldest",), 0, "")
    assert done.found["requests"] == sent
    assert done.removed["runs_removed"] == 1
    assert f"1 run aged out, {sent} requests purged" in done.words
    assert list_runs(outputs) == ["new"]
    stones = load_tombstones(outputs / "store", (outputs / "store/key").read_bytes())
    assert stones.finished
    again = kept(outputs, days=2, runs=2)
    assert again == Retained()
    assert again.words == "0 runs aged out, 0 requests purged"


def test_what_fails_is_told_and_done_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = three_runs(tmp_path)
    (outputs / "ledger.sqlite").write_bytes(b"no database at all" * 1000)
    done = kept(outputs, days=2)
    assert done is not None
    assert "is damaged" in done.failure
    assert list_runs(outputs) == ["new", "older", "oldest"]
    (outputs / "ledger.sqlite").unlink()

    def fail(*_: object) -> None:
        raise RuntimeError("account-first asks")

    with monkeypatch.context() as patch:
        patch.setattr("refrain.purge.survey", fail)
        done = kept(outputs, days=2)
    assert done is not None
    assert done.failure.startswith("RuntimeError at ")
    assert "account-first" not in done.failure
    done = kept(outputs, days=2)
    assert done is not None
    assert done.failure == ""
    assert done.found["requests"] > 0


@pytest.mark.parametrize("setting", ["retention.days=2", "retention.runs=1", "retention.runs=0"])
def test_nightly_applies_it_and_succeeds_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    """The nights themselves are not run here: `test_nights` does."""
    outputs = three_runs(tmp_path)

    def no_nights(*_: object, **__: object) -> NightsDone:
        return NightsDone(Plan(()), ())

    monkeypatch.setattr("refrain.nights.run_nights", no_nights)
    arguments = ("nightly", tmp_path / "log", "--day", "2026-09-03", "--outputs", outputs, "--set", setting)
    told: Any = json.loads(call(*arguments, "--json").stdout)["retention"]
    if setting.endswith("=0"):
        assert told is None
        assert "aged out" not in call(*arguments).stdout
        return
    assert told["failure"] == ""
    if setting == "retention.days=2":  # all of it is older by now
        assert (told["runs"], list_runs(outputs)) == ([], [])
        assert told["found"]["requests"] > 0
    else:
        assert (told["runs"], list_runs(outputs)) == (["older", "oldest"], ["new"])
    assert "kept     0 runs aged out" in call(*arguments).stdout


def test_who_holds_the_store_is_told_and_the_night_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = three_runs(tmp_path)
    # A lock belongs to what was opened: another descriptor of this process stands for another process.
    with (outputs / "store/lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr("refrain.nights.run_nights", lambda *_, **__: NightsDone(Plan(()), ()))
        done = call("nightly", "log", "--day", "2026-09-03", "--outputs", outputs, "--set", "retention.runs=1")
    assert "retention was not applied to its end" in done.output
    assert "is writing to" in done.output
    assert list_runs(outputs) == ["new", "older", "oldest"]
