"""Purge: nothing of an account is left in any file, what others sent is, and no ingest brings it back."""

import gzip
import json
import sqlite3
import subprocess
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from refrain.artifacts import damaged_files, read_manifest
from refrain.cli import app
from refrain.dismissals import IMPORTED, read_dismissed
from refrain.findings import details, findings
from refrain.needles import Needles
from refrain.progress import NoProgress
from refrain.purge import purge, survey
from refrain.purge_search import Sought, search_outputs
from refrain.purge_seen import Targets
from refrain.report import write_report
from refrain.runs import open_run, run_all
from refrain.settings import load_settings
from refrain.slices import list_slices, load_slice, make_slice, midnight, save_slice
from refrain.suppressions import member_digest
from refrain.tombstones import load_tombstones, text_digest

if TYPE_CHECKING:
    from conftest import SmallRun

CONFIG = load_settings().config


@pytest.fixture
def outputs(small_run: "SmallRun", tmp_path: Path) -> Path:
    """A copy of a finished run, its hard links kept."""
    subprocess.run(["cp", "-a", str(small_run.outputs), str(tmp_path / "outputs")], check=True)
    write_report(tmp_path / "outputs" / "runs" / "small", tmp_path / "outputs" / "runs" / "small" / "report.html")
    return tmp_path / "outputs"


def member(outputs: Path) -> str:
    """The account with the most evidence of the first campaign."""
    return str(pq.read_table(outputs / "runs/small/exports/accounts.parquet")["account_id"][0].as_py())


def sent(outputs: Path, account: str) -> tuple[list[str], list[str]]:
    """The request ids of an account, and its prompts that nobody else sent, as the tables of the run have them."""
    folder = outputs / "runs/small/requests"
    ids = pq.read_table(folder / "accounts.parquet")["account_id"].to_pylist()
    texts = pq.read_table(folder / "texts.parquet")["text"].to_pylist()
    rows = pq.read_table(folder / "requests").to_pylist()
    mine = [row for row in rows if ids[row["account_row"]] == account]
    others = {row[name] for row in rows if ids[row["account_row"]] != account for name in TEXTS}
    own = {row[name] for row in mine for name in TEXTS} - others - {None}
    return [row["request_id"] for row in mine], [texts[at] for at in sorted(own)]


TEXTS = ("prompt_text_row", "system_text_row")


def holding(outputs: Path, texts: list[str]) -> list[Path]:
    """The files that hold one of the texts, by the plainest search there is."""
    found = []
    for path in sorted(outputs.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data += "\n".join(map(str, pq.ParquetFile(path).read().to_pylist())).encode()
            data += b"\n".join(
                str(value).encode() for column in pq.ParquetFile(path).read().columns for value in column.to_pylist()
            )
        if path.suffix == ".jsonl":
            data += "".join(strings(json.loads(line)) for line in data.splitlines()).encode()
        if any(text.encode() in data for text in texts):
            found.append(path)
    return found


def strings(value: object) -> str:
    """All texts in a value of JSON."""
    if isinstance(value, dict):
        return "\n".join(map(strings, value.values()))
    return "\n".join(map(strings, value)) if isinstance(value, list) else f"{value}"


def test_nothing_of_an_account_is_left(outputs: Path) -> None:
    account = member(outputs)
    ids, texts = sent(outputs, account)
    assert ids
    assert texts
    before = holding(outputs, [account, *ids, *texts])
    assert {path.name for path in before} >= {"labels.parquet", "packets.jsonl", "texts.parquet", "report.html"}
    done = purge(outputs, Targets(accounts=frozenset({account})), NoProgress())
    assert done.left == ()
    assert done.found["requests"] == len(ids)
    assert done.done["vectors"] > 0
    assert holding(outputs, [account, *ids, *texts]) == []


def test_what_others_sent_stays_readable(outputs: Path) -> None:
    account = member(outputs)
    ids, _ = sent(outputs, account)
    run = outputs / "runs/small"
    labels = pq.read_table(run / "exports/labels.parquet")
    texts = pq.read_table(run / "requests/texts.parquet")["text"].to_pylist()
    rows = pq.read_table(run / "requests/requests").to_pylist()
    purge(outputs, Targets(accounts=frozenset({account})), NoProgress())
    left = pq.read_table(run / "exports/labels.parquet")
    assert left.to_pylist() == [row for row in labels.to_pylist() if row["request_id"] not in ids]
    assert left.schema.metadata == labels.schema.metadata
    later = pq.read_table(run / "requests/texts.parquet")["text"].to_pylist()
    for row, now in zip(rows, pq.read_table(run / "requests/requests").to_pylist(), strict=True):
        if row["request_id"] in ids:
            assert now["prompt_text_row"] is None
            assert now["ip"] is None
        else:
            assert now == row
            assert all(later[row[name]] == texts[row[name]] for name in TEXTS if row[name] is not None)
    for folder in (path for path in run.iterdir() if path.is_dir()):
        manifest = read_manifest(folder)
        assert manifest is not None
        assert damaged_files(folder, manifest) == ()
        assert manifest.counts["purged_requests"] == len(ids)
    assert json.loads((run / "manifest.json").read_text())["purged"] == len(ids)
    assert open_run(outputs, "small").folder == run  # a manifest that does not fit its own digest would not be read
    found = findings(run)
    assert details(run, [row["campaign_id"] for row in found])
    write_report(run, run / "report.html")
    assert holding(outputs, [account]) == []


def test_ingest_leaves_out_what_was_purged(outputs: Path, small_run: "SmallRun") -> None:
    account = member(outputs)
    ids, _ = sent(outputs, account)
    counts = read_manifest(outputs / "runs/small/requests")
    purge(outputs, Targets(accounts=frozenset({account})), NoProgress())
    run = run_all([str(small_run.log)], CONFIG, outputs, run_id="small", progress=NoProgress())
    later = read_manifest(run.result("requests"))
    assert counts is not None
    assert later is not None
    assert later.counts["purged"] == len(ids)
    assert later.counts["kept"] == counts.counts["kept"] - len(ids)
    for name in ("read", "merged", "quarantined"):
        assert later.counts[name] == counts.counts[name]
    assert holding(outputs, [account]) == []
    assert "purged" not in json.loads((run.folder / "manifest.json").read_text())


def test_a_dry_run_changes_nothing_and_purge_asks_first(outputs: Path) -> None:
    account = member(outputs)

    def state() -> dict[str, bytes]:
        files = (path for path in outputs.rglob("*") if path.is_file() and path.name != "lock")
        return {str(path): path.read_bytes() for path in files}

    before = state()
    found = survey(outputs, Targets(accounts=frozenset({account}))).found
    assert found["requests"] > 0
    assert state() == before
    runner = CliRunner()
    told = runner.invoke(app, ["purge", "--account", account, "--outputs", str(outputs), "--dry-run", "--json"])
    assert json.loads(told.stdout) == {"found": found, "dry_run": True}
    assert runner.invoke(app, ["purge", "--account", account, "--outputs", str(outputs)]).exit_code == 2
    assert state() == before


def test_the_command_takes_ids_from_stdin_and_never_prints_them(outputs: Path) -> None:
    account = member(outputs)
    told = CliRunner().invoke(app, ["purge", "--account", "-", "--yes", "--outputs", str(outputs)], input=account)
    assert told.exit_code == 0, told.output
    assert account not in told.output
    assert "nothing of it is left" in told.output
    command = ["purge", "--account", "-", "--yes", "--json", "--outputs", str(outputs)]
    again = CliRunner().invoke(app, command, input=account)
    assert json.loads(again.stdout)["found"]["requests"] == 0


def test_lists_and_databases_forget_too(outputs: Path) -> None:
    account = member(outputs)
    _, texts = sent(outputs, account)
    other = "acct_another_one"
    save_slice(outputs, "both", make_slice(accounts=[account, other]))
    save_slice(outputs, "alone", make_slice(accounts=[account], models=["m"]))
    path = outputs / "notes.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE decisions (why TEXT, n INTEGER)")
        connection.execute("INSERT INTO decisions VALUES (?, 1), ('other', 2)", [f"{account} is known to us"])
        connection.execute("CREATE TABLE gone (text TEXT)")
        connection.execute("INSERT INTO gone VALUES (?)", [texts[0]])
        connection.execute("DELETE FROM gone")
    connection.close()
    (outputs / ".prefect").mkdir()
    (outputs / ".prefect/server.log").write_text(f"who is {account}?\n")
    runner = CliRunner()
    said = runner.invoke(app, ["suppress", "small", "0", "--reason", "known", "--outputs", str(outputs)])
    assert said.exit_code == 0, said.output
    digest = member_digest(load_key(outputs), account)
    list_of_before = ["suppress", "small", "0", "--reason", "then", "--name", "then", "--outputs", str(outputs)]
    said = runner.invoke(app, [*list_of_before, "--file", str(outputs / "benign/suppressed.toml")])
    assert said.exit_code == 0, said.output
    entries = read_dismissed(outputs, CONFIG.ledger)
    assert [digest in entry.members for entry in entries] == [True, True]
    assert digest in (outputs / "benign" / IMPORTED).read_text()
    done = purge(outputs, Targets(accounts=frozenset({account})), NoProgress())
    assert done.left == ()
    assert list_slices(outputs) == ["both"]
    assert load_slice(outputs, "both").accounts == (other,)
    assert done.done["dismissals"] == 2
    later = read_dismissed(outputs, CONFIG.ledger)
    assert [entry.members for entry in later] == [
        tuple(name for name in entry.members if name != digest) for entry in entries
    ]
    kept = [*outputs.glob("ledger.sqlite*"), outputs / "benign" / IMPORTED]
    assert not [place for place in kept if digest.encode() in place.read_bytes()]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT why FROM decisions ORDER BY n").fetchall() == [
            ("(purged) is known to us",),
            ("other",),
        ]
    connection.close()
    assert holding(outputs, [account, *texts]) == []


def load_key(outputs: Path) -> bytes:
    """The key of an outputs folder's store."""
    return (outputs / "store/key").read_bytes()


def test_the_search_names_what_it_finds(outputs: Path) -> None:
    account = member(outputs)
    packed = outputs / "notes.txt.gz"
    packed.write_bytes(gzip.compress(f"look at {account}".encode()))
    np.save(outputs / "odd.npy", np.array([account]))
    done = purge(outputs, Targets(accounts=frozenset({account})), NoProgress())
    assert [hit.path.name for hit in done.left] == ["notes.txt.gz"]
    hits, _ = search_outputs(outputs, Sought(Needles([account]), frozenset({account})), NoProgress())
    assert [hit.path for hit in hits] == [packed]


def test_tombstones_are_digests(outputs: Path) -> None:
    account = member(outputs)
    purge(outputs, Targets(accounts=frozenset({account, "nobody at all"})), NoProgress())
    path = outputs / "store/tombstones.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert account not in path.read_text()
    key = load_key(outputs)
    stones = load_tombstones(outputs / "store", key)
    assert stones.accounts == {text_digest(key, account), member_digest(key, "nobody at all")}
    assert stones.finished


def test_requests_and_days_are_purged_alone(outputs: Path, small_run: "SmallRun") -> None:
    rows = pq.read_table(outputs / "runs/small/requests/requests")
    ids = rows["request_id"].to_pylist()[:2]
    done = purge(outputs, Targets(requests=frozenset(ids)), NoProgress())
    assert done.left == ()
    assert done.found["requests"] == 2
    assert holding(outputs, ids) == []
    day: date = rows["timestamp"][-1].as_py().date()
    old = [row["request_id"] for row in rows.to_pylist() if row["timestamp"].date() < day]
    done = purge(outputs, Targets(before=midnight(day)), NoProgress())
    assert done.left == ()
    assert holding(outputs, old) == []
    run = run_all([str(small_run.log)], CONFIG, outputs, run_id="small", progress=NoProgress())
    counts = json.loads((run.result("requests") / "counts.json").read_text())
    assert counts["purged"] == len(set(old) | set(ids))
    assert open_run(outputs, "latest").name == "small"
