"""What is read back of a run, against the run as it was written down."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tables import (
    FORMULA_ACCOUNT,
    HOSTILE,
    NOTES,
    RUBRIC,
    START,
    Request,
    log_of,
    write_run,
    write_small_run,
)

from refrain.errors import InputError
from refrain.findings import Hours, excerpt, finding, findings, hours_of, pieces
from refrain.show import render_findings

HOUR = int(START.timestamp()) // 3600


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_small_run(folder)
    return folder


def test_findings_are_the_campaigns_with_their_first_skeleton(run: Path) -> None:
    pool, quiet = findings(run)
    assert (pool["campaign_id"], pool["alert"], pool["requests"], pool["owners"]) == (0, True, 64, 7)
    assert pool["skeleton"] == f"{RUBRIC}\n{{slot}}\n{NOTES}"
    assert pool["first_seen"] == "2026-03-01T00:00:00Z"
    assert quiet["skeleton"] == f"{HOSTILE}{{slot}}"
    assert json.loads(json.dumps([pool, quiet], allow_nan=False)) == [pool, quiet]


def test_a_finding_holds_its_template_members_tests_doubts_and_hours(run: Path) -> None:
    detail = finding(run, 0)
    [template] = detail["templates"]
    assert template["pieces"] == [["text", f"{RUBRIC}\n"], ["slot", ""], ["text", f"\n{NOTES}"]]
    assert {row["account_id"]: row["account_requests"] for row in detail["members"]}[FORMULA_ACCOUNT] == 8
    assert [row["test"] for row in detail["tests"]] == ["rhythm", "succession", "payment", "division"]
    assert [row["off"] for row in detail["tests"]] == [None, None, None, "fewer than 20 fillings"]
    assert [(row["hypothesis"], row["holds"]) for row in detail["hypotheses"]] == [
        ("public_template", False),
        ("one_company", True),
    ]
    assert detail["timeline"]["bin_hours"] == 1
    assert sum(detail["timeline"]["counts"]) == detail["requests"]
    # Members 0 to 7 send at 0, 3, 6 and 9 o'clock plus their number: at midnight only the first does.
    assert detail["timeline"]["counts"][:5] == [1, 1, 1, 2, 2]
    assert json.loads(json.dumps(detail, allow_nan=False)) == detail


def test_a_campaign_that_is_not_there_and_a_run_without_findings_are_told_apart(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no campaign 7"):
        finding(run, 7)
    with pytest.raises(InputError, match="has no campaigns"):
        findings(tmp_path)


def test_a_run_that_found_nothing_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, log_of([Request("r", "a", START, ())]), [], [])
    file = io.StringIO()
    render_findings(findings(tmp_path), Console(file=file, width=80))
    assert "No template is shared" in file.getvalue()


def test_hours_are_counted_over_days_for_the_log_and_for_each_campaign(tmp_path: Path) -> None:
    times = [START, START + timedelta(minutes=59), START + timedelta(hours=30)]
    write_run(tmp_path, log_of(Request(f"r{n}", "a", time, ()) for n, time in enumerate(times)), [], [])
    hours = hours_of(tmp_path)
    assert hours.all == {HOUR: 2, HOUR + 30: 1}
    assert hours.campaigns == {}
    assert hours.timeline(3).counts == (0,) * 31


@given(st.dictionaries(st.integers(HOUR, HOUR + 60_000), st.integers(1, 9), min_size=1), st.data())
def test_a_timeline_loses_no_request_and_fits_a_line(counts: dict[int, int], data: st.DataObject) -> None:
    some = {hour: counts[hour] for hour in data.draw(st.sets(st.sampled_from(sorted(counts))))}
    hours = Hours(counts, {0: some})
    whole, part = hours.timeline(), hours.timeline(0)
    assert (whole.start, whole.bin_hours, len(whole.counts)) == (part.start, part.bin_hours, len(part.counts))
    assert len(whole.counts) <= 72
    assert sum(whole.counts) == sum(counts.values())
    assert sum(part.counts) == sum(some.values())
    assert all(few <= many for few, many in zip(part.counts, whole.counts, strict=True))


def test_pieces_of_skeletons() -> None:
    assert pieces("{slot}a{slot}{slot}") == [["slot", ""], ["text", "a"], ["slot", ""], ["slot", ""]]
    assert pieces("") == []
    assert excerpt("one\n two{slot}\x1b[1m" + "x" * 100, 12) == [["text", "one two"], ["slot", ""]]
    assert excerpt("\x1b" * 10**6, 9) == [["text", "\\x1b\\x1b…"]]
