"""`decisions` as a command and as a group: list, import, export, and no word of a file in an error."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from nights_of import SQLITE, campaign, night, sighting
from typer.testing import CliRunner, Result

from refrain.cli import app
from refrain.ledger import open_ledger

ONE = "c-a00000000000"
ROW = {"campaign": ONE, "verdict": "confirmed", "why": "one pool", "who": "lea", "when": "2026-03-02T08:00:00Z"}


def call(*arguments: object, code: int = 0, given: bytes | None = None) -> Result:
    """What `refrain` says to these arguments; its exit code must be `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=given)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """An outputs folder whose last night saw a campaign, number 3."""
    with open_ledger(tmp_path / "outputs", SQLITE) as ledger:
        row = campaign(0xA << 44, 0, 0)
        ledger.record_night(night(0), [row], [sighting(row, 0, 3)], [])
    return tmp_path / "outputs"


def test_what_was_one_command_stays_one(outputs: Path) -> None:
    place = ("--outputs", outputs)
    call("decide", "3", "watching", "--why", "so", "--by", "lea", *place)
    expected = call("decisions", "list", *place).stdout
    assert expected.startswith(f"{ONE}  watching")
    for arguments in (("decisions",), ("decisions", ONE), ("decisions", "3"), ("decisions", "c-a")):
        assert call(*arguments, *place).stdout == expected
    assert json.loads(call("decisions", "--json", *place).stdout) == json.loads(
        call("decisions", "list", ONE, "--json", *place).stdout
    )
    assert "import" in call("decisions", "--help").stdout
    assert "no campaign" in call("decisions", "imports", *place, code=2).output


def test_the_group_completes_commands_and_campaigns(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(outputs.parent)
    command: Any = typer.main.get_command(app)
    group = command.commands["decisions"]
    context = group.make_context("decisions", [], resilient_parsing=True)
    assert [item.value for item in group.shell_complete(context, "")] == ["list", "import", "export", ONE]
    assert [item.value for item in group.shell_complete(context, "c-")] == [ONE]


def test_a_file_goes_in_and_comes_out(outputs: Path, tmp_path: Path) -> None:
    place = ("--outputs", outputs)
    file = tmp_path / "cases.jsonl"
    file.write_text(json.dumps(ROW) + "\n" + json.dumps({**ROW, "verdict": "guilty"}) + "\n")
    dry = call("decisions", "import", file, "--dry-run", *place).stdout
    assert dry.splitlines()[0] == "nothing is written: --dry-run"
    assert call("decisions", *place).stdout == "nothing is decided\n"
    quarantine = tmp_path / "cases.jsonl.quarantine.jsonl"
    assert not quarantine.exists()
    first = json.loads(call("decisions", "import", file, "--json", *place).stdout)
    assert first == {
        "read": 2, "written": 1, "known": 0, "quarantined": 1, "reasons": {"verdict: unknown verdict": 1},
        "quarantine": str(quarantine), "dry_run": False,
    }  # fmt: skip
    assert json.loads(quarantine.read_text()) == {"row": 2, "field": "verdict", "reason": "unknown verdict"}
    said = call("decisions", "import", file, *place).stdout.split()
    assert said[:8] == ["2", "read", "0", "written", "1", "known", "1", "quarantined"]
    csv = tmp_path / "out" / "decisions.csv"
    assert call("decisions", "export", "--to", csv, *place).stdout == f"1 decision: {csv}\n"
    assert csv.read_bytes() == (
        f"campaign,verdict,why,who,when\r\n{ONE},confirmed,one pool,lea,2026-03-02T08:00:00Z\r\n".encode()
    )
    assert csv.stat().st_mode & 0o777 == 0o600
    assert json.loads(call("decisions", "export", "--to", csv, "--json", *place).stdout) == {
        "written": 1,
        "to": str(csv),
    }
    printed = call("decisions", "export", *place).stdout
    assert json.loads(printed) == ROW
    piped = call("decisions", "import", "-", "--format", "jsonl", "--json", *place, given=printed.encode()).stdout
    assert json.loads(piped)["known"] == 1
    again = call("decisions", "import", csv, "--json", *place).stdout
    assert json.loads(again)["known"] == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("{tmp}/absent.csv",), "there is no file"),
        (("{tmp}",), "csv or jsonl"),
        (("{tmp}/x.txt",), "csv or jsonl"),
        (("{tmp}/x.csv",), "header lacks campaign"),
        (("{tmp}/x.csv", "--timezone", "Mars/Olympus"), "unknown here"),
    ],
)
def test_a_file_that_cannot_be_used_says_why_and_quotes_nothing(
    outputs: Path, tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    for name in ("x.txt", "x.csv"):
        (tmp_path / name).write_text("acct_secret,b\n1,2\n")
    filled = [argument.format(tmp=tmp_path) for argument in arguments]
    result = call("decisions", "import", *filled, "--outputs", outputs, code=2)
    assert why in result.output
    assert "acct_secret" not in result.output


def test_importing_makes_no_ledger(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(ROW) + "\n")
    result = call("decisions", "import", tmp_path / "x.jsonl", "--outputs", tmp_path / "new", code=1)
    assert "no night was recorded" in result.output
    assert not (tmp_path / "new").exists()
