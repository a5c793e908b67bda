"""Findings on a terminal: everything is there, and nothing that a terminal would obey."""

import io
from pathlib import Path

import pytest
from rich.console import Console
from tables import FORMULA_ACCOUNT, NOTES, RUBRIC, export, write_small_run

from refrain.evidence import evidence, evidence_bar
from refrain.show import finding, findings, p_text, period, render_finding, render_findings, sparkline


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_small_run(folder)
    export(folder)
    return folder


def shown(run: Path, width: int, campaign: int | None = None) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None)
    if campaign is None:
        render_findings(findings(run), console)
    else:
        render_finding(finding(run, campaign), console)
    return file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("campaign", [None, 0, 1])
def test_no_control_or_bidi_character_reaches_the_terminal(run: Path, width: int, campaign: int | None) -> None:
    text = shown(run, width, campaign)
    assert not set(text) & set("\x1b\x00\u202e\u202c\u200b\r\t")
    assert all(len(line) <= width for line in text.splitlines())


def test_the_table_of_findings_names_alert_numbers_refrain_and_doubt(run: Path) -> None:
    text = shown(run, 140)
    assert "0!" in text
    assert "Grade answer A and answer B" in text
    assert "\\x1b[31mred\\x1b[0m" in text
    assert "identity, time · rubric grading · perhaps one company" in text
    assert "2 findings, 1 alert (!)" in text


def test_a_finding_shows_template_timeline_tests_doubts_and_accounts(run: Path) -> None:
    lines = [line.strip() for line in shown(run, 160, 0).splitlines()]
    start = lines.index(RUBRIC)
    assert lines[start : start + 3] == [RUBRIC, "slot", NOTES]
    assert lines[lines.index("Timeline") + 1].startswith("▃▃▃▆▆▆██▆██▆▆▆▃▃▃       ▃▃▃")
    [rhythm] = [line for line in lines if line.startswith("rhythm")]
    assert rhythm.split()[:5] == ["rhythm", "0.97", "0.55", "1e-09", "█████████"]
    assert any(line.startswith("division") and line.endswith("off: fewer than 20 fillings") for line in lines)
    assert any(line.startswith("one company") and "holds" in line for line in lines)
    assert any(line.startswith(FORMULA_ACCOUNT) and "100%" in line for line in lines)


def test_text_of_a_log_is_no_markup(run: Path) -> None:
    rows = findings(run)
    rows[0]["skeleton"] = "[bold red]not markup[/] [link=file:///etc]x[/link]"
    file = io.StringIO()
    render_findings(rows, Console(file=file, width=200, color_system=None))
    assert "[bold red]not markup[/] [link=file:///etc]x[/link]" in file.getvalue()


def test_a_sparkline_has_its_highest_block_at_the_top_and_space_for_nothing() -> None:
    assert sparkline([0, 1, 4, 8, 0]) == " ▁▄█ "
    assert sparkline([1, 1000]) == "▁█"
    assert sparkline([0, 0]) == "  "


def test_evidence_grows_as_p_falls_and_ends_at_a_full_bar() -> None:
    values = [None, 1.0, 0.5, 1e-3, 1e-6, 1e-12, 0.0]
    lengths = [evidence(value) for value in values]
    assert lengths == sorted(lengths)
    assert (lengths[0], lengths[4], lengths[-1]) == (0.0, 0.5, 1.0)
    assert [evidence_bar(value, 12) for value in (None, 1e-6, 0.0)] == ["", "█" * 6, "█" * 12]


def test_numbers_and_periods_as_people_read_them() -> None:
    assert [p_text(value) for value in (None, 0.0312, 2.04e-7, 0.0)] == ["-", "0.031", "2e-07", "0"]
    assert [period(hours) for hours in (1, 6, 24, 168)] == ["hour", "6 hours", "day", "7 days"]
