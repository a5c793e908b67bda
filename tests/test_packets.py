"""Packets of a small run: the waterfall and what would change it by recomputation, ties, bounds, equal bytes."""

import io
import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tables import (
    FORMULA_ACCOUNT,
    HOSTILE,
    NOTES,
    RUBRIC,
    Campaign,
    Template,
    export,
    log_of,
    small_requests,
    write_campaigns,
    write_clusters,
    write_requests,
    write_templates,
)

from refrain.coordination.combine import cauchy_combination, partial_conjunction
from refrain.findings import finding, pieces
from refrain.marking import fillings, marked, shortened, units_of
from refrain.report import write_report
from refrain.show import render_finding
from refrain.thresholds import Decision
from refrain.verdicts import p_needed

DECISION = Decision(0.01, 1e-3, 2, ("identity", "time", "use"), 0.01, 24, 48)
PLACE = "course, office or hackathon in one place"


def write(run: Path) -> None:
    """Nothing; `run` has a pool of eight of whom six share a network, two send one text, and its exports."""
    requests = []
    for request in small_requests():
        if request.request_id.startswith("r-"):
            member = int(request.request_id.split("-")[1])
            more: dict[str, Any] = {"ip": f"198.51.100.{member}" if member < 6 else f"203.0.{member}.9"}
            segments = request.segments
            if request.request_id in ("r-2-0-1", "r-5-1-2"):
                segments = (("user", RUBRIC), ("user", f"same {HOSTILE}"), ("user", NOTES))
            request = replace(request, more=more, segments=segments)  # noqa: PLW2901 (the same one, told more of)
        requests.append(request)
    log = log_of(requests)
    pool = tuple(sorted({r.account_id for r in requests if r.request_id.startswith("r-")}))
    template = Template(f"{RUBRIC}\n{{slot}}\n{NOTES}", (RUBRIC, NOTES), 64)
    tests = (
        ("identity", "network", 6.0, 0.1, 1e-7, None, f"shared {HOSTILE}"),
        ("identity", "client", 0.9, 0.3, 2e-4, None, "one client"),
        ("identity", "card", float("nan"), float("nan"), None, "the log has no cards", "not tested"),
        ("time", "rhythm", 0.9, 0.5, 1e-6, None, "round the clock"),
        ("use", "repetition", 0.9, 0.5, 0.02, None, "often"),
    )
    explains = {PLACE: ("identity_network", "identity_client"), "gateway": ("identity_network",)}
    alert = Campaign((0,), pool, True, tests, ((PLACE, False, HOSTILE), ("gateway", True, "one network")), explains)
    other = Template(HOSTILE, (HOSTILE,))
    quiet = Campaign(
        (1,), ("person-0", "person-2"), False, tests, ((PLACE, True, "x"), ("gateway", True, "y")), explains
    )
    write_requests(run / "requests", log)
    write_clusters(run / "clusters", log, [{RUBRIC: 0.9}])
    write_templates(run / "templates", log, [template, other])
    write_campaigns(run / "campaigns", log, [template, other], [alert, quiet])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write(folder)
    export(folder)
    return folder


def packets(exports: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (exports / "packets.jsonl").read_text(encoding="ascii").splitlines()]


def recombined(run: Path, campaign: int, without: set[str]) -> float:
    """The partial conjunction of a campaign's tests in the stage's table, some left out."""
    rows = pq.read_table(run / "campaigns" / "tests.parquet").to_pylist()
    families: dict[str, list[float]] = {}
    for row in rows:
        if row["campaign_id"] == campaign and row["p_value"] is not None:
            left = families.setdefault(row["family"], [])
            left += [row["p_value"]] * (f"{row['family']}_{row['test']}" not in without)
    return partial_conjunction([cauchy_combination(p) if p else 1.0 for p in families.values()], 2)


def test_the_waterfall_comes_to_the_stored_p_values(run: Path) -> None:
    stored = pq.read_table(run / "campaigns" / "families.parquet").to_pylist()
    for packet in packets(run / "exports"):
        fall = packet["waterfall"]
        assert fall["p_value"] == pytest.approx(packet["p_value"], rel=1e-12)
        told = {row["family"]: (row["p_value"], row["unexplained"], row["speaks"]) for row in fall["families"]}
        for row in stored:
            if row["campaign_id"] == packet["campaign_id"]:
                assert told[row["family"]] == (row["p_value"], row["unexplained"], row["speaks"])
    [network] = [t for f in fall["families"] for t in f["tests"] if t["test"] == "network"]
    assert network["explained_by"] == [PLACE, "gateway"]


def test_what_would_end_an_alert_is_what_ends_it_when_it_is_left_out(run: Path) -> None:
    alert, _ = packets(run / "exports")
    changes = alert["would_change"]["changes"]
    explained = {"identity_network"}  # by the gateway
    hypotheses = {PLACE: {"identity_network", "identity_client"}}
    for change in changes:
        gone = explained | hypotheses.get(change["name"], set()) | set(change["tests"])
        assert change["p_value"] == pytest.approx(recombined(run, 0, gone), rel=1e-12)
        assert change["alert"] == (change["p_value"] <= alert["waterfall"]["alert_p"])
    assert {(row["kind"], row["name"]) for row in changes} == {
        ("test", "identity_client"), ("test", "time_rhythm"),
        ("family", "identity"), ("family", "time"), ("hypothesis", PLACE),
    }  # fmt: skip


def test_what_would_make_a_quiet_finding_alert_is_told_with_the_column_that_is_missing(run: Path) -> None:
    _, quiet = packets(run / "exports")
    changes = {(row["kind"], row["name"]): row for row in quiet["would_change"]["changes"]}
    place = changes["hypothesis", PLACE]
    assert (place["tests"], place["alert"]) == (["identity_client"], True)
    assert place["p_value"] == pytest.approx(recombined(run, 1, {"identity_network"}))
    assert changes["hypotheses", "all"]["p_value"] == pytest.approx(recombined(run, 1, set()))
    assert changes["column", "payment_hash"]["tests"] == ["identity_card"]
    assert [(row["test"], row["columns"]) for row in quiet["missing"]] == [("card", ["payment_hash"])]


@given(st.lists(st.sampled_from([1e-9, 1e-4, 4e-4, 6e-4, 1e-3, 0.5, 1.0]), min_size=1, max_size=3))
def test_the_p_value_needed_is_the_last_that_alerts(others: list[float]) -> None:
    needed = p_needed(others, DECISION)
    beyond = float(np.nextafter(needed, 1)) * (1 + 1e-9)
    if needed:
        assert partial_conjunction([*others, needed * (1 - 1e-9)], 2) <= DECISION.alert_p
    if partial_conjunction([*others, 1.0], 2) > DECISION.alert_p:
        assert partial_conjunction([*others, beyond], 2) > DECISION.alert_p


def test_messages_name_the_ties_and_cover_other_owners(run: Path) -> None:
    alert, _ = packets(run / "exports")
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for message in alert["messages"]:
        by_kind.setdefault(message["kind"], []).append(message)
    assert {m["request_id"] for m in by_kind["text"]} == {"r-2-0-1", "r-5-1-2"}
    assert {m["value"] for m in by_kind["network"]} == {"198.51.100.0/24"}
    assert [(row["owners"], row["outside"]) for row in alert["shared"][:1]] == [(6, 0)]
    owners = [message["owner"] for message in by_kind["spread"]]
    assert not set(owners) & {m["owner"] for kind, group in by_kind.items() if kind != "spread" for m in group}
    assert all(first != second for first, second in combinations(owners, 2))
    for message in alert["messages"]:
        assert [text for kind, text in message["pieces"] if kind == "fixed"] == [RUBRIC, NOTES]


def test_counts_add_up(run: Path) -> None:
    for packet in packets(run / "exports"):
        assert sum(packet["timeline"]["counts"]) == packet["counts"]["requests"]
        assert sum(template["requests_in_campaign"] for template in packet["templates"]) == packet["counts"]["requests"]
        assert sum(account["requests"] for account in packet["accounts"]) == packet["counts"]["requests"]
        for template in packet["templates"]:
            assert all(slot["fillings"] <= slot["requests"] <= template["requests_read"] for slot in template["slots"])


def test_bounds_bound_and_the_same_run_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    write(tmp_path / "again")
    again = export(tmp_path / "again")
    assert (again / "packets.jsonl").read_bytes() == (run / "exports" / "packets.jsonl").read_bytes()
    write(tmp_path / "small")
    tight = {"packet_accounts": 2, "packet_messages": 3, "packet_samples": 1, "packet_characters": 80}
    small, _ = packets(export(tmp_path / "small", **tight))
    whole, _ = packets(run / "exports")
    assert small["accounts"] == whole["accounts"][:2]
    assert small["counts"] == whole["counts"]
    for message in small["messages"]:
        assert sum(len(text) for kind, text in message["pieces"] if kind != "cut") <= 80
    assert [m["request_id"] for m in small["messages"]] == [m["request_id"] for m in whole["messages"]][:3]


def test_hostile_text_is_seen_and_obeyed_by_nothing(run: Path) -> None:
    raw = (run / "exports" / "packets.jsonl").read_bytes()
    assert b"\x1b" not in raw and raw.isascii()
    for width in (60, 140):
        file = io.StringIO()
        for campaign in (0, 1):
            render_finding(finding(run, campaign), Console(file=file, width=width, color_system=None))
        text = file.getvalue()
        assert not set(text) & set("\x1b\x00\u202e\u202c\u200b\r\t")
        assert "What would change the verdict" in text
        assert "198.51.100.0/24" in text
    write_report(run, run / "report.html")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert not set(page) & set("\x1b\x00\u202e\u202c\u200b")
    assert "<script" not in page and "onerror=alert(1)>" not in page
    assert '<b class="fixed">' in page
    assert FORMULA_ACCOUNT.replace("'", "&#39;") in page


@given(st.lists(st.sampled_from(["Grade A and B.", "own words", "Put notes", "12", "\n", "gräde", "\u4e2d\u6587"])))
def test_marked_pieces_are_the_text(parts: list[str]) -> None:
    text = " ".join(parts)
    found = marked(text, units_of(pieces("Grade A and B.{slot}Put notes")))
    assert "".join(piece for _, piece in found) == text
    for limit in (1, 7, 40):
        kept = shortened(found, limit)
        cut = sum(int(piece) for kind, piece in kept if kind == "cut")
        shown = sum(len(piece) for kind, piece in kept if kind != "cut")
        assert shown <= limit
        assert shown + cut == len(text)


def test_fillings_go_to_their_slots_rewordings_and_disguise_included() -> None:
    skeleton = pieces("Grade A and B.\n{slot}\nPut notes\nbetween tags.\n{slot}")
    units = units_of(skeleton, ["Judge these both."])
    assert fillings("gr\u0430de  a AND b!\nfoo 12\nPut notes between tags: z", units, skeleton) == {0: "foo 12", 1: "z"}
    assert fillings("Judge these both. foo Put notes between tags z", units, skeleton) == {0: "foo", 1: "z"}
    assert fillings("nothing of it", units, skeleton) == {}
