"""Tombstones: what was purged is left out of every later ingest, and the counts of a log still add up."""

import json
import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.config import RetentionConfig
from refrain.errors import StoreError
from refrain.needles import Needles
from refrain.progress import NoProgress
from refrain.purge import purge, retain_runs, retention_targets
from refrain.purge_search import Sought, search_outputs
from refrain.purge_seen import Targets
from refrain.runs import list_runs, open_run, run_ingest
from refrain.settings import load_settings
from refrain.slices import make_slice, midnight, night
from refrain.suppressions import member_digest
from refrain.tombstones import Tombstones, load_tombstones, save_tombstones, text_digest

CONFIG = load_settings(overrides=["ingest.workers=1"]).config
DAY = date(2026, 9, 2)
DIGESTS = st.frozensets(st.binary(min_size=16, max_size=16).map(bytes.hex), max_size=4)
MOMENTS = st.none() | st.integers(-(10**15), 4 * 10**15)
STONES = st.builds(Tombstones, DIGESTS, DIGESTS, DIGESTS, MOMENTS, st.booleans())
WORDS = "which of these little paper boats would sail around the lake before it rains again in"
GREETING = "Good morning, please be so kind as to help me with a question about gardens."


def record(at: int, account: str, day: int, **more: object) -> dict[str, object]:
    """A record of the log; its prompt is its own."""
    told = {"request_id": f"request-{at:06}", "account_id": account, "timestamp": f"2026-09-0{day}T12:00:{at:02}Z"}
    prompt = f"{GREETING}\n{account} asks {WORDS} {['spring', 'summer', 'autumn', 'winter'][at % 4]} {account}?"
    return {**told, "prompt": prompt, "ip": f"10.20.{at}.{len(account)}", **more}


def write(folder: Path, records: list[dict[str, object]]) -> Path:
    """A log of a folder for each day."""
    for one in records:
        path = folder / f"day={str(one['timestamp'])[:10]}" / "log.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps(one) + "\n")
    return folder


def some_log(folder: Path) -> Path:
    """Three accounts over three days; one record without an id, one that cannot be used, one that cannot be read."""
    accounts = ("account-first", "account-second", "account-third")
    records = [record(at, accounts[at % 3], 1 + at // 9) for at in range(27)]
    records.append(record(30, "account-second", 2, request_id=None))
    records.append(record(31, "account-second", 2, prompt=None))
    write(folder, records)
    with (folder / "day=2026-09-02" / "log.jsonl").open("a") as file:
        file.write('{"account_id": "account-second", "prompt": "half a rec\n')
    return folder


def counts(folder: Path) -> dict[str, int]:
    """The counts of an ingest."""
    found: dict[str, int] = json.loads((folder / "counts.json").read_text())
    return found


def ingest(log: Path, outputs: Path, **more: object) -> Path:
    """The folder of requests of a run."""
    config = replace(CONFIG, ingest=replace(CONFIG.ingest, max_structural_error_share=0.5))
    run, _ = run_ingest([str(log)], config, outputs, progress=NoProgress(), **more)  # type: ignore[arg-type]
    return run.result("requests")


def leak(outputs: Path, texts: list[str]) -> list[Path]:
    """The files that hold one of the texts."""
    hits, _ = search_outputs(outputs, Sought(Needles(texts), frozenset(texts)), NoProgress())
    return [hit.path for hit in hits]


def test_an_ingest_after_a_purge_is_that_of_a_log_without_it(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    first = counts(ingest(log, outputs, run_id="first"))
    assert first["read"] == 30
    assert first["quarantined"] == 2
    assert leak(outputs, ["account-second"])
    done = purge(outputs, Targets(accounts=frozenset({"account-second"})), NoProgress())
    assert done.found["requests"] == 10
    assert done.left == ()
    assert leak(outputs, ["account-second"]) == []
    later = ingest(log, outputs, run_id="later")
    found = counts(later)
    assert found["purged"] == 11
    assert found["read"] == first["read"] == found["kept"] + found["merged"] + found["quarantined"] + found["purged"]
    assert leak(outputs, ["account-second"]) == []
    lines = [line for path in sorted(log.rglob("*.jsonl")) for line in path.read_text().splitlines()]
    clean = [json.loads(line) for line in lines if "account-second" not in line]
    other = ingest(write(tmp_path / "clean", clean), tmp_path / "other")
    names = ("request_id", "timestamp", "prompt_text_row")
    assert [[row[name] for name in names] for row in pq.read_table(later / "requests").to_pylist()] == [
        [row[name] for name in names] for row in pq.read_table(other / "requests").to_pylist()
    ]
    for name in ("texts", "segments"):
        columns = ["text"]
        assert pq.read_table(later / f"{name}.parquet", columns=columns).equals(
            pq.read_table(other / f"{name}.parquet", columns=columns)
        )


def test_what_others_sent_too_stays_in_what_is_theirs(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    ingest(some_log(tmp_path / "log"), outputs, run_id="first")
    done = purge(outputs, Targets(accounts=frozenset({"account-first"})), NoProgress())
    assert done.left == ()
    assert done.shared == 0
    texts = pq.read_table(outputs / "runs/first/requests/segments.parquet")["text"].to_pylist()
    assert sum("good morning" in text for text in texts) == 1
    assert any("account-third" in text for text in texts)


def test_a_request_without_an_id_is_known_by_account_and_time(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    rows = pq.read_table(ingest(log, outputs) / "requests")["request_id"].to_pylist()
    [derived] = [name for name in rows if not name.startswith("request-")]
    purge(outputs, Targets(requests=frozenset({derived})), NoProgress())
    found = ingest(log, outputs, run_id="later")
    assert counts(found)["purged"] == 1
    assert pq.read_table(found / "requests")["request_id"].to_pylist() == [name for name in rows if name != derived]


def test_days_before_are_left_out_and_windows_after_are_as_they_were(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    before = counts(ingest(log, outputs, run_id="window", part=night(date(2026, 9, 3), 2)))
    ingest(log, outputs, run_id="all")
    done = purge(outputs, Targets(before=midnight(DAY)), NoProgress())
    assert done.found["requests"] == 9
    assert done.left == ()
    assert counts(ingest(log, outputs, run_id="again"))["purged"] == 9
    assert counts(ingest(log, outputs, run_id="window", part=night(date(2026, 9, 3), 2))) == before


def test_a_purge_that_was_interrupted_trusts_no_staged_table(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    ingest(log, outputs)
    key = (outputs / "store/key").read_bytes()
    stones = Tombstones(accounts=frozenset({text_digest(key, "account-second")}), finished=False)
    save_tombstones(outputs / "store", key, stones)
    found = ingest(log, outputs, run_id="later")
    assert "account-second" not in pq.read_table(found / "accounts.parquet")["account_id"].to_pylist()
    purge(outputs, Targets(accounts=frozenset({"account-second"})), NoProgress())
    assert leak(outputs, ["account-second"]) == []
    assert load_tombstones(outputs / "store", key).finished


@pytest.mark.parametrize(
    "step",
    ["stages.forget_graphs", "purge.redact_run", "purge_runs.seal", "purge._drop_results", "purge.search_outputs"],
)
def test_a_purge_that_dies_finishes_when_it_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    ingest(log, outputs, run_id="first")
    targets = Targets(accounts=frozenset({"account-second"}))

    def die(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"refrain.{step}", die)
        with pytest.raises(KeyboardInterrupt):
            purge(outputs, targets, NoProgress())
    key = (outputs / "store/key").read_bytes()
    assert load_tombstones(outputs / "store", key).finished == (step == "purge.search_outputs")
    assert purge(outputs, targets, NoProgress()).left == ()
    assert leak(outputs, ["account-second"]) == []
    assert load_tombstones(outputs / "store", key).finished
    assert counts(ingest(log, outputs, run_id="later"))["purged"] == 11


def test_slices_with_a_purged_account_count_it(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    part = make_slice(accounts=["account-first", "account-second"])
    ingest(log, outputs, run_id="slice", part=part)
    purge(outputs, Targets(accounts=frozenset({"account-second"})), NoProgress())
    found = counts(ingest(log, outputs, run_id="again", part=part))
    assert (found["kept"], found["purged"], found["outside"]) == (9, 11, 9)


def test_a_run_of_nothing_else_goes(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    ingest(log, outputs, run_id="other")
    ingest(log, outputs, run_id="alone", part=make_slice(accounts=["account-first"]))
    purge(outputs, Targets(accounts=frozenset({"account-first"})), NoProgress())
    assert not (outputs / "runs/alone").exists()
    assert (outputs / "runs/latest").readlink().name == "other"
    assert open_run(outputs, "other").name == "other"  # its manifest, which counts what was purged, is one that is read


def test_retention_keeps_the_newest_runs_and_days(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    for at, name in enumerate(("oldest", "older", "new")):
        run = ingest(log, outputs, run_id=name, part=night(date(2026, 9, 1 + at), 1)).parent
        os.utime(run / "manifest.json", (at, at))
    assert retain_runs(outputs, 2) == ["oldest"]
    assert list_runs(outputs) == ["new", "older"]
    assert len(list((outputs / "store/stages/requests").iterdir())) == 2
    assert retain_runs(outputs, 2) == []
    assert retention_targets(RetentionConfig(days=0, runs=1), date(2026, 9, 4)) is None
    targets = retention_targets(RetentionConfig(days=2, runs=0), date(2026, 9, 5))
    assert targets == Targets(before=midnight(date(2026, 9, 3)))
    purge(outputs, targets, NoProgress())
    assert list_runs(outputs) == ["new"]


def test_an_id_that_begins_like_another_is_another(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    records = [record(at, account, 1) for at, account in enumerate(["account-1", "account-12", "my account-1/x"])]
    found = ingest(write(tmp_path / "log", records), outputs, run_id="run")
    before = pq.read_table(found / "requests").to_pylist()
    assert purge(outputs, Targets(accounts=frozenset({"account-1"})), NoProgress()).done["runs_redacted"] == 1
    assert pq.read_table(found / "requests").to_pylist()[1:] == before[1:]
    assert pq.read_table(found / "accounts.parquet")["account_id"].to_pylist()[1:] == ["account-12", "my account-1/x"]


@given(STONES, STONES)
def test_what_is_saved_loads_equal_and_joins(a: Tombstones, b: Tombstones) -> None:
    with TemporaryDirectory() as folder:
        save_tombstones(Path(folder), bytes(32), a)
        assert load_tombstones(Path(folder), bytes(32)) == a
    both = a.joined(b)
    assert both == b.joined(a)
    assert both.accounts >= a.accounts | b.accounts


def test_damaged_or_foreign_tombstones_stop_an_ingest(tmp_path: Path) -> None:
    log, outputs = some_log(tmp_path / "log"), tmp_path / "outputs"
    ingest(log, outputs)
    path = save_tombstones(outputs / "store", bytes(32), Tombstones(before=0))
    with pytest.raises(StoreError, match="another key"):
        ingest(log, outputs)
    path.write_text("{")
    with pytest.raises(StoreError, match="cannot be read as tombstones"):
        ingest(log, outputs)


def test_accounts_have_the_digest_of_dismissed_findings() -> None:
    assert text_digest(bytes(32), "an account") == member_digest(bytes(32), "an account")
