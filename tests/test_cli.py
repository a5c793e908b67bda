"""The command line: help with examples, JSON, exit codes, and nothing of a log in an error."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from typer.testing import CliRunner, Result

from refrain.cli import app
from refrain.cli.frame import CommandGroup
from refrain.code import ROOT
from refrain.errors import InputError
from refrain.progress import NoProgress
from refrain.runs import open_run, run_all
from refrain.settings import load_settings
from refrain.stages import NOUNS

if TYPE_CHECKING:
    from conftest import SmallRun


def leaves(command: Any, path: str = "") -> list[str]:
    """The commands that do something, `slice save` for one inside a group."""
    inside = getattr(command, "commands", None)
    if inside is None:
        return [path]
    return sorted(leaf for name in inside for leaf in leaves(inside[name], f"{path} {name}".strip()))


CANARY_TEXT, CANARY_ACCOUNT = "zanzibar quokka", "acct-canary-7261"
COMMANDS = leaves(typer.main.get_command(app))


def call(*arguments: object, code: int = 0) -> Result:
    """What `refrain` says to these arguments; its exit code must be `code`."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_every_verb_of_the_job_is_a_command() -> None:
    assert set(NOUNS) | {"run", "show", "report", "simulate", "config", "serve"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_stands_in_the_readme(command: str) -> None:
    text = " ".join(call(*command.split(), "--help").stdout.split())
    assert re.search(rf"Examples?: refrain {command} ?", text)
    assert f"refrain {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"serve"}))
def test_every_command_that_prints_can_print_json(command: str) -> None:
    assert "--json" in call(*command.split(), "--help").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["run", "{tmp}/absent"],
        ["run", "{tmp}"],
        ["run", "{log}", "--run-id", "../x"],
        ["run", "{log}", "--run-id", "latest"],
        ["run", "{log}", "--set", "index.neighbors=3"],
        ["run", "{log}", "--config", "{tmp}/absent.toml"],
        ["ingest", "{tmp}/*.jsonl"],
        ["embed", "absent"],
        ["show", "latest"],
        ["show", "absent", "0"],
        ["show", "latest", "-1"],
        ["export", "latest", "--format", "xml"],
        ["config", "--run", "absent"],
        ["simulate", "{tmp}"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_bad_input_is_code_2_and_an_error_as_asked_for(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "x").write_text("x")
    log = tmp_path / "deep" / "log.jsonl"
    log.parent.mkdir()
    log.write_text("")
    filled = [argument.format(tmp=tmp_path, log=log) for argument in arguments]
    if filled[0] not in ("simulate", "nonsense"):
        filled += ["--outputs", str(tmp_path / "outputs")]
    if filled[1:2] == [str(tmp_path)] and filled[0] == "run":
        log.unlink()
    plain = call(*filled, code=2)
    assert "rror" in plain.stderr
    assert "Traceback" not in plain.output
    error = json.loads(call(*filled, "--json", code=2).stderr)["error"]
    assert error["message"]
    assert error["exit_code"] == 2
    assert not (tmp_path / "outputs" / "runs").exists()


def test_the_effective_settings_are_printed_with_where_they_come_from(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[index]\nneighbours = 7\n")
    data = json.loads(call("config", "--config", file, "--set", "score.seed=4", "--json").stdout)
    assert data["index.neighbours"] == {"value": 7, "from": str(file)}
    assert data["score.seed"] == {"value": 4, "from": "--set score.seed"}
    assert data["embed.model"] == {"value": "bundled", "from": "default.toml"}
    assert re.search(rf"index\.neighbours +7 +\({re.escape(str(file))}\)", call("config", "--config", file).stdout)


@pytest.fixture
def faulty() -> Iterator[typer.Typer]:
    """An application in our frame whose commands fail in each way there is."""
    broken = typer.Typer(cls=CommandGroup, pretty_exceptions_enable=False)

    @broken.command()
    def fault(json: bool = False) -> None:
        raise ValueError(CANARY_TEXT)

    @broken.command()
    def stop(json: bool = False) -> None:
        raise KeyboardInterrupt

    @broken.command()
    def full(json: bool = False) -> None:
        raise OSError(28, "No space left on device", "outputs/x")

    @broken.command()
    def hostile(json: bool = False) -> None:
        raise InputError("\x1b[2J\u202egnp.exe", hint="\x07")

    yield broken


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("fault", 1, "ValueError at test_cli.py"),
        ("stop", 130, "interrupted"),
        ("full", 1, "outputs/x: No space left on device"),
        ("hostile", 2, r"\x1b[2J\u202egnp.exe"),
    ],
)
def test_whatever_fails_is_one_message_without_a_line_of_the_log(
    faulty: typer.Typer, command: str, code: int, said: str
) -> None:
    for arguments in ([command], [command, "--json"]):
        result = CliRunner().invoke(faulty, arguments)
        assert result.exit_code == code
        text = result.stderr if len(arguments) == 1 else json.loads(result.stderr)["error"]["message"]
        assert said in text
        assert CANARY_TEXT not in result.output
        assert not {"\x1b", "\u202e", "\x07"} & set(result.output)


def canary_log(folder: Path) -> Path:
    """A log whose texts and accounts are easy to find again: one wrapper over many accounts, and hostile rows."""
    rows = [
        {
            "request_id": f"r{at}",
            "account_id": f"{CANARY_ACCOUNT}-{at % 12}",
            "timestamp": f"2026-05-01T{at % 24:02d}:00:00Z",
            "prompt": f"Explain how a {CANARY_TEXT} reasons, step by step.\nThe case in question is number {at}.",
        }
        for at in range(60)
    ]
    rows.append({**rows[0], "prompt": f"{CANARY_TEXT} in another form"})
    rows.append({"request_id": "r-late", "account_id": CANARY_ACCOUNT, "timestamp": CANARY_TEXT, "prompt": CANARY_TEXT})
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_no_text_or_account_of_the_log_reaches_a_log_line_a_manifest_or_a_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    outputs = tmp_path / "outputs"
    run = run_all([str(canary_log(tmp_path / "log"))], load_settings().config, outputs, progress=NoProgress())
    assert set(run.stages) == set(NOUNS.values())
    captured = capfd.readouterr()
    names = "\n".join(str(path) for path in outputs.rglob("*"))
    notes = "\n".join(path.read_text() for path in outputs.rglob("*.json"))
    assert caplog.text
    for said in (caplog.text, captured.out, captured.err, names, notes):
        assert CANARY_TEXT not in said
        assert CANARY_ACCOUNT not in said


def test_a_log_that_is_mostly_broken_stops_with_code_2_and_quotes_nothing(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f'{{"prompt": "{CANARY_TEXT}", "account_id": "{CANARY_ACCOUNT}"\n' * 50, encoding="utf-8")
    result = call("run", log, "--outputs", tmp_path / "outputs", code=2)
    assert CANARY_TEXT not in result.output
    assert CANARY_ACCOUNT not in result.output


@pytest.mark.slow
def test_run_again_does_nothing_and_says_so_and_where_things_lie(small_run: "SmallRun") -> None:
    arguments = ("run", small_run.log, "--outputs", small_run.outputs, "--run-id", "small")
    text = call(*arguments).stdout
    assert "nothing to do" in text
    assert text.count("unchanged") == len(NOUNS)
    assert str(small_run.run / "report.html") in text
    assert (small_run.run / "report.html").is_file()
    data = json.loads(call(*arguments, "--json").stdout)
    assert [stage["stage"] for stage in data["stages"]] == list(NOUNS)
    assert not any(stage["computed"] for stage in data["stages"])
    assert Path(data["exports"]) == small_run.run / "exports"
    assert data["findings"]


@pytest.mark.slow
def test_each_verb_goes_on_from_the_run_as_it_is(small_run: "SmallRun") -> None:
    for verb in list(NOUNS)[1:]:
        stage = json.loads(call(verb, "small", "--outputs", small_run.outputs, "--json").stdout)["stages"][0]
        assert (stage["stage"], stage["computed"]) == (verb, False)
    ingested = call("ingest", small_run.log, "--outputs", small_run.outputs, "--run-id", "small", "--json").stdout
    assert not json.loads(ingested)["stages"][0]["computed"]
    assert set(open_run(small_run.outputs, "small").stages) == set(NOUNS.values())


@pytest.mark.slow
def test_findings_are_shown_as_a_table_as_one_and_as_json(small_run: "SmallRun") -> None:
    where = ("--outputs", small_run.outputs)
    rows = json.loads(call("show", "small", *where, "--json").stdout)
    assert f"{len(rows)} findings" in call("show", "small", *where).stdout
    first = rows[0]["campaign_id"]
    assert json.loads(call("show", "small", first, *where, "--json").stdout)["campaign_id"] == first
    assert f"Campaign {first}" in call("show", "small", first, *where).stdout
    call("show", "small", 10**9, *where, code=2)


@pytest.mark.slow
def test_what_the_stages_took_is_shown(small_run: "SmallRun") -> None:
    where = ("--outputs", small_run.outputs)
    rows = json.loads(call("show", "small", "--timings", *where, "--json").stdout)
    assert [row["stage"] for row in rows] == list(NOUNS)
    assert all(row["seconds"] >= 0 and row["peak_bytes"] > 0 for row in rows)
    shown = call("show", "small", "--timings", *where).stdout
    assert all(stage in shown for stage in (*NOUNS, "all"))
    call("show", "small", "0", "--timings", *where, code=2)


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["parquet", "csv", "jsonl"])
def test_exports_are_written_where_and_as_asked(small_run: "SmallRun", tmp_path: Path, format_: str) -> None:
    arguments = (
        "export",
        "small",
        "--outputs",
        small_run.outputs,
        "--to",
        tmp_path / "to",
        "--format",
        format_,
        "--json",
    )
    rows = json.loads(call(*arguments).stdout)["rows"]
    assert {path.name for path in (tmp_path / "to").iterdir()} == {
        "packets.jsonl" if table == "packets" else f"{table}.{format_}" for table in rows
    }
    assert rows["labels"] > 0
    assert rows["packets"] == rows["campaigns"]


@pytest.mark.slow
def test_the_report_is_one_file(small_run: "SmallRun", tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    call("report", "small", "--outputs", small_run.outputs, "--to", page)
    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


def test_simulate_writes_a_log_and_keeps_the_truth_apart(tmp_path: Path) -> None:
    data = json.loads(call("simulate", tmp_path / "out", "--requests", 300, "--json").stdout)
    assert Path(data["truth"]).is_file()
    assert not Path(data["truth"]).is_relative_to(data["requests"])
    assert list(Path(data["requests"]).rglob("*.parquet"))
