"""`decide` and `decisions` on the command line, and no password in what is printed or kept."""

import json
from pathlib import Path

import pytest
from nights_of import SQLITE, campaign, night, sighting
from typer.testing import CliRunner, Result

from refrain.cli import app
from refrain.ledger import open_ledger
from refrain.runs import _settings
from refrain.settings import load_settings


def call(*arguments: object, code: int = 0) -> Result:
    """What `refrain` says to these arguments; its exit code must be `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """An outputs folder whose last night saw two campaigns, of which one was merged away since."""
    with open_ledger(tmp_path, SQLITE) as ledger:
        rows = [campaign(0xA << 44, 0, 0), campaign(0xB << 44, 0, 0, "merged")]
        ledger.record_night(night(0), rows, [sighting(rows[0], 0, 3)], [])
    return tmp_path


def test_a_decision_is_written_and_printed(outputs: Path) -> None:
    place = ("--outputs", outputs)
    assert call("decisions", *place).stdout == "nothing is decided\n"
    said = call("decide", "3", "confirmed", "--why", " one \n pool\x1b[31m ", "--by", "lea", *place).stdout
    assert said == "confirmed  c-a00000000000\n"
    merged = json.loads(call("decide", "c-b", "watching", "--why", "so", "--by", "noor", "--json", *place).stdout)
    assert (merged["identity"], merged["verdict"], merged["state"]) == ("c-b00000000000", "watching", "merged")
    rows = json.loads(call("decisions", "--json", *place).stdout)["decisions"]
    assert [row["why"] for row in rows] == ["one pool\\x1b[31m", "so"]
    lines = call("decisions", "c-a", *place).stdout.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("c-a00000000000  confirmed")
    assert lines[0].endswith("by lea: one pool\\x1b[31m")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("c-f", "confirmed", "--why", "so"), "knows no c-f"),
        (("7", "confirmed", "--why", "so"), "no campaign 7"),
        (("acct_secret", "confirmed", "--why", "so"), "that is no campaign"),
        (("3", "guilty", "--why", "so"), "guilty"),
        (("3", "confirmed", "--why", "  "), "at most 500"),
    ],
)
def test_what_cannot_be_decided_says_why(outputs: Path, arguments: tuple[str, ...], why: str) -> None:
    result = call("decide", *arguments, "--outputs", outputs, code=2)
    assert why in " ".join(result.output.split())
    assert "acct_secret" not in result.output
    assert call("decisions", "--outputs", outputs).stdout == "nothing is decided\n"


def test_looking_makes_no_ledger(tmp_path: Path) -> None:
    assert "no night was recorded" in call("decisions", "--outputs", tmp_path / "new", code=1).output
    assert not (tmp_path / "new").exists()


def test_a_password_is_neither_printed_nor_kept_in_a_run() -> None:
    url = "ledger.url=postgresql://refrain:secretpw@host/refrain?password=secretpw"
    for more in ((), ("--json",)):
        printed = call("config", "--set", url, *more).stdout
        assert "postgresql://refrain@host/refrain" in printed
        assert "secretpw" not in printed
    settings = load_settings(None, [url])
    assert "secretpw" not in json.dumps(_settings(settings.config))
    assert _settings(settings.config) == _settings(load_settings().config)
