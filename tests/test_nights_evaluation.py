"""Nights judged against a truth: ids that hold, events that are right, days to the first alert."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from identities import RULE, START

from refrain.errors import InputError
from refrain.lineage import Event
from refrain.lineage.evaluation import JudgedNight, evaluate_nights, judge_night
from refrain.simulate.nights import NIGHTS_SCHEMA


def truth(folder: Path, *told: tuple[str, int, str, str]) -> Path:
    rows = [
        {"campaign": name, "night": START + timedelta(days=night), "event": event, "other": other, "requests": 0}
        for name, night, event, other in told
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=NIGHTS_SCHEMA), folder / "nights.parquet")
    return folder / "nights.parquet"


def night(
    number: int,
    families: dict[str, str | None],
    *events: Event,
    alerts: Sequence[str] = (),
    own: dict[str, int] | None = None,
) -> JudgedNight:
    counts = own or dict.fromkeys(families, 10)
    return JudgedNight(START + timedelta(days=number), families, counts, frozenset(alerts), events)


def said(name: str, event: str, *others: str, **details: str) -> Event:
    return Event(name, event, others, details)  # type: ignore[arg-type]


def test_a_perfect_story(tmp_path: Path) -> None:
    told = truth(tmp_path, ("a", 0, "born", ""), ("a", 3, "grew", ""))
    nights = [night(n, {"c-1": "a", "c-9": None}, alerts=["c-1"] if n >= 2 else []) for n in range(12)]
    nights[1] = night(1, {"c-1": "a"}, said("c-1", "born"), said("c-9", "born"), said("c-1", "continued"))
    nights[4] = night(4, {"c-1": "a"}, said("c-1", "grew"), alerts=["c-1"])
    found = evaluate_nights(nights, told, RULE)
    assert (found.held, found.reused, found.event_precision, found.event_recall) == (1.0, 0, 1.0, 1.0)
    assert found.campaign_nights == 12
    assert found.days_to_alert == {"a": 2}
    assert found.by_event == {"born": (1, 1, 1), "grew": (1, 1, 1)}


def test_wrong_early_and_missed_events_are_counted(tmp_path: Path) -> None:
    told = truth(tmp_path, ("a", 0, "born", ""), ("a", 3, "grew", ""), ("b", 0, "born", ""))
    nights = [night(n, {"c-1": "a"}) for n in range(15)]
    nights[0] = night(0, {"c-1": "a"}, said("c-1", "born"))
    nights[2] = night(2, {"c-1": "a"}, said("c-1", "grew"))  # a day before it happens
    nights[5] = night(5, {"c-1": "a"}, said("c-1", "pivoted"))
    found = evaluate_nights(nights, told, RULE)
    assert found.event_precision == pytest.approx(1 / 3)
    assert found.event_recall == pytest.approx(1 / 3)
    assert found.wrong == ("2026-09-03 a grew", "2026-09-06 a pivoted")
    assert found.missed == ("2026-09-01 b born", "2026-09-04 a grew")
    assert found.days_to_alert == {"a": None, "b": None}


def test_what_may_still_be_found_is_not_missed(tmp_path: Path) -> None:
    told = truth(tmp_path, ("a", 0, "born", ""), ("a", 2, "ended", ""), ("a", 9, "grew", ""))
    nights = [night(n, {"c-1": "a"}) for n in range(12)]
    nights[0] = night(0, {"c-1": "a"}, said("c-1", "born"))
    assert evaluate_nights(nights, told, RULE).event_recall == 1.0


def test_one_change_of_id_breaks_the_nights_after_it_unless_it_succeeded(tmp_path: Path) -> None:
    told = truth(tmp_path, ("a", 0, "born", ""))
    before, after = [night(n, {"c-1": "a"}) for n in range(6)], [night(n, {"c-2": "a"}) for n in range(6, 10)]
    assert evaluate_nights([*before, *after], told, RULE).held == pytest.approx(0.6)
    after[0] = night(6, {"c-2": "a"}, said("c-2", "succeeded", "c-1"))
    assert evaluate_nights([*before, *after], told, RULE).held == 1.0


def test_the_larger_piece_stands_for_the_campaign(tmp_path: Path) -> None:
    told = truth(tmp_path, ("a", 0, "born", ""))
    first = night(0, {"c-2": "a"})
    both = night(1, {"c-1": "a", "c-2": "a"}, own={"c-1": 3, "c-2": 5})
    assert evaluate_nights([first, both], told, RULE).held == 1.0


def test_an_id_of_two_campaigns_is_reused_unless_the_truth_joins_them(tmp_path: Path) -> None:
    nights = [night(0, {"c-1": "a"}), night(1, {"c-1": "b"})]
    assert evaluate_nights(nights, truth(tmp_path, ("a", 0, "born", "")), RULE).reused == 1
    joined = truth(tmp_path, ("a", 0, "born", ""), ("b", 1, "split", "a"))
    assert evaluate_nights(nights, joined, RULE).reused == 0


def test_a_split_is_right_once_whoever_tells_it(tmp_path: Path) -> None:
    told = truth(tmp_path, ("b", 2, "split", "a"))
    nights = [
        night(0, {"c-1": "a"}),
        night(3, {"c-1": "a", "c-2": "a"}, said("c-1", "split", "c-2", role="parent"), said("c-2", "split", "c-1")),
        night(20, {"c-1": "a"}),
    ]
    found = evaluate_nights(nights, told, RULE)
    assert (found.event_precision, found.event_recall) == (1.0, 1.0)


def test_a_night_is_judged_by_its_requests(tmp_path: Path) -> None:
    requests = [f"r{n}" for n in range(12)]
    families = ["a"] * 4 + ["b"] * 2 + ["organic"] * 6
    columns = {"request_id": requests, "account_id": requests, "family": families}
    kinds = ["campaign" if name in "ab" else "organic" for name in families]
    pq.write_table(pa.table({**columns, "kind": kinds}), tmp_path / "truth.parquet")
    local = [0, 0, 0, 0, 0, 1, 1, 1, 1, None, None, None]
    pq.write_table(
        pa.table({"request_id": requests, "campaign_id": pa.array(local, pa.int64())}), tmp_path / "labels.parquet"
    )
    pq.write_table(pa.table({"campaign_id": [0, 1], "alert": [True, False]}), tmp_path / "campaigns.parquet")
    events = [said("c-1", "born"), said("t-1", "born")]
    found = judge_night(START, tmp_path, {0: "c-1", 1: "c-2"}, events, tmp_path / "truth.parquet")
    assert found.families == {"c-1": "a", "c-2": None}
    assert found.own["c-1"] == 4
    assert found.alerts == {"c-1"}
    assert found.events == (events[0],)


def test_a_truth_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nights.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        evaluate_nights([], tmp_path / "nights.parquet", RULE)


def test_no_nights_have_no_shares(tmp_path: Path) -> None:
    found = evaluate_nights([], truth(tmp_path, ("a", 0, "born", "")), RULE)
    assert (found.held, found.event_precision, found.event_recall, found.nights) == (None, None, None, 0)
    assert date.fromisoformat("2026-09-01") == START
