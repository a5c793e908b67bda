"""`refrain suppress`, from a finding to its rank and back."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import SmallRun
from test_cli import call

from refrain.dismissals import IMPORTED, read_dismissed
from refrain.known import read_lists
from refrain.progress import NoProgress
from refrain.runs import open_run, store_of
from refrain.settings import config_folder, load_settings
from refrain.stages import INPUTS, Result, score


def rows(outputs: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call("show", "small", "--outputs", outputs, "--json").stdout)
    return found


def rescore(outputs: Path) -> str:
    call("score", "small", "--outputs", outputs, "-q")
    call("export", "small", "--outputs", outputs, "-q")
    return open_run(outputs, "small").stages["campaigns"]


@pytest.mark.slow
def test_a_dismissed_finding_ranks_lower_says_so_and_comes_back(small_run: SmallRun, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(small_run.outputs, outputs, symlinks=True)
    where, kept = ("--outputs", outputs), outputs / "ledger.sqlite"
    before, address = rows(outputs), open_run(outputs, "small").stages["campaigns"]
    packet = json.loads(call("show", "small", 0, *where, "--json").stdout)
    accounts = [member["account_id"] for member in packet["accounts"]]

    arguments = ("suppress", "small", 0, "--reason", "a  course\n\x1b[31m", "--by", "me", "--name", "course", *where)
    said = json.loads(call(*arguments, "--json").stdout)
    assert (said["list"], said["name"], said["changed"]) == (f"the ledger {kept}", "course", True)
    assert not json.loads(call(*arguments, "--json").stdout)["changed"]
    assert kept.stat().st_mode & 0o777 == 0o600
    held = b"".join(path.read_bytes() for path in outputs.glob("ledger.sqlite*"))
    assert b"a course" in held
    assert not [account for account in accounts if account.encode() in held]
    assert "course  " in call("suppress", "--list", *where).stdout
    [entry] = json.loads(call("suppress", "--list", *where, "--json").stdout)["suppressed"]
    assert (entry["by"], entry["reason"], len(entry["members"])) == ("me", "a course \\x1b[31m", len(accounts))

    assert rescore(outputs) != address
    after = rows(outputs)
    [moved] = [row for row in after if row["templates"] == before[0]["templates"]]
    same = ("p_value", "q_value", "alert", "accounts", "owners", "requests", "families", "benign")
    assert [moved[name] for name in same] == [before[0][name] for name in same]
    assert moved["score"] == pytest.approx(before[0]["score"] / 10)
    assert (moved["known"][0]["name"], moved["known"][0]["suppressed"]) == ("course", True)
    shown = call("show", "small", moved["campaign_id"], *where).stdout
    assert "Known templates" in shown
    assert "suppressed by me" in " ".join(shown.split())
    assert "suppressed: course" in " ".join(call("show", "small", *where).stdout.split())

    assert json.loads(call("suppress", "--remove", "course", *where, "--json").stdout)["removed"] == "course"
    assert "nothing is suppressed" in call("suppress", "--list", *where).stdout
    assert rescore(outputs) == address
    assert rows(outputs) == before


@pytest.mark.slow
def test_a_list_of_before_counts_the_same_after_it_was_taken_over(small_run: SmallRun, tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    shutil.copytree(small_run.outputs, outputs, symlinks=True)
    old = outputs / "benign" / "suppressed.toml"
    call("suppress", "small", 0, "--reason", "a course", "--name", "course", "--file", old, "--outputs", outputs)
    text = old.read_bytes()
    folder, config = open_run(outputs, "small").result, load_settings().config
    requests, vectors, neighbours, templates = (folder(noun) for noun in INPUTS["score"])
    known = read_lists(config_folder(config.score.known), old.parent).digest
    said = call("suppress", "--list", "--outputs", outputs)
    assert "1 dismissal" in said.output
    assert (old.parent / IMPORTED).read_bytes() == text
    assert not old.exists()
    dismissed = read_dismissed(outputs, config.ledger)
    assert read_lists(config_folder(config.score.known), old.parent, dismissed=dismissed).digest == known

    def scored() -> Result:
        store = store_of(outputs)
        return score(requests, vectors, neighbours, templates, config, store=store, progress=NoProgress())

    first, again = scored(), scored()
    assert (first.computed, again.computed) == (True, False)
    assert first.manifest.address == again.manifest.address != open_run(outputs, "small").stages["campaigns"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["latest"],
        ["absent", "0", "--reason", "r"],
        ["latest", "0"],
        ["latest", "0", "--reason", " "],
        ["latest", "0", "--reason", "r" * 501],
        ["latest", "0", "--reason", "r", "--name", "../x"],
        ["latest", "0", "--list"],
        ["--remove", "absent"],
        ["--list", "--remove", "absent"],
    ],
    ids=" ".join,
)
def test_bad_use_is_code_2_and_writes_no_list(tmp_path: Path, arguments: list[str]) -> None:
    filled = ["suppress", *arguments, "--outputs", str(tmp_path / "outputs")]
    assert json.loads(call(*filled, "--json", code=2).stderr)["error"]["message"]
    assert not [*tmp_path.rglob("benign"), *tmp_path.rglob("ledger*")]
