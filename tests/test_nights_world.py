"""The scripted nights do what their truth says."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from refrain.errors import InputError
from refrain.simulate import write_nights
from refrain.simulate.scene import NEW_MODEL, START

SIZE: dict[str, Any] = {"seed": 3, "nights": 16, "per_day": 400}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "nights"
    write_nights(folder, **SIZE)
    return folder


@pytest.fixture(scope="module")
def sent(world: Path) -> dict[str, list[dict[str, Any]]]:
    """Requests by family, of the whole log, with the day from 0 and the truth's template."""
    log = [row for path in sorted(world.rglob("day=*/*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]
    truth = {row["request_id"]: row for row in pq.read_table(world / "truth.parquet").to_pylist()}
    assert {row["request_id"] for row in log} == truth.keys()
    assert len(log) == len(truth)
    out = defaultdict(list)
    for row in log:
        known = truth[row["request_id"]]
        out[known["family"]].append({**row, **known, "day": (row["timestamp"] - START).days})
    return dict(out)


def days(rows: list[dict[str, Any]]) -> set[int]:
    return {row["day"] for row in rows}


def accounts(rows: list[dict[str, Any]], *, since: int = 0, until: int = 99) -> set[str]:
    return {row["account_id"] for row in rows if since <= row["day"] < until}


def test_the_truth_names_every_event_of_the_issue(world: Path) -> None:
    rows = pq.read_table(world / "nights.parquet").to_pylist()
    told = {(row["campaign"], row["event"], row["other"]): (row["night"] - START.date()).days for row in rows}
    assert told == {
        ("steady", "born", ""): 0, ("pivot", "born", ""): 0, ("relay", "born", ""): 0, ("pause", "born", ""): 0,
        ("over", "born", ""): 0, ("swell", "born", ""): 0, ("fork", "born", ""): 0, ("join_a", "born", ""): 0,
        ("join_b", "born", ""): 0, ("pivot", "pivoted", ""): 6, ("relay", "succeeded", ""): 8,
        ("pause", "dormant", ""): 4, ("pause", "returned", ""): 10, ("over", "dormant", ""): 5,
        ("over", "ended", ""): 5, ("swell", "grew", ""): 6, ("swell", "shrank", ""): 11,
        ("fork_b", "split", "fork"): 7, ("join_a", "merged", "join_b"): 7, ("", "late", ""): 11,
    }  # fmt: skip


def test_pauses_and_ends_are_silent(sent: dict[str, list[dict[str, Any]]]) -> None:
    assert days(sent["steady"]) == set(range(16))
    assert days(sent["pause"]) == {*range(4), *range(10, 16)}
    assert days(sent["over"]) == set(range(5))


def test_a_pool_is_replaced_whole_and_a_pause_brings_the_same_accounts_back(
    sent: dict[str, list[dict[str, Any]]],
) -> None:
    relay, pause = sent["relay"], sent["pause"]
    assert not accounts(relay, until=8) & accounts(relay, since=8)
    assert len(accounts(relay, since=8)) == len(accounts(relay, until=8)) == 10
    assert accounts(pause, until=4) == accounts(pause, since=10)


def test_a_split_parts_the_pool_and_its_wrappers(sent: dict[str, list[dict[str, Any]]]) -> None:
    fork, piece = sent["fork"], sent["fork_b"]
    later = [row for row in fork if row["day"] >= 7]
    assert min(days(piece)) == 7
    assert not accounts(later) & accounts(piece)
    assert accounts(later) | accounts(piece) == accounts(fork, until=7)
    templates = [{row["template"] for row in rows} for rows in (fork, later, piece)]
    assert [len(found) for found in templates] == [2, 1, 1]
    assert templates[1] | templates[2] == templates[0]
    assert len(accounts(later)) > len(accounts(piece))


def test_a_merge_gives_both_pools_both_wrappers(sent: dict[str, list[dict[str, Any]]]) -> None:
    left, right = sent["join_a"], sent["join_b"]
    assert max(days(right)) == 6
    assert not accounts(left, until=7) & accounts(right)
    assert accounts(left, since=7) == accounts(left, until=7) | accounts(right)


def test_growth_shrinking_and_the_pivot(sent: dict[str, list[dict[str, Any]]]) -> None:
    swell, pivot = sent["swell"], sent["pivot"]
    sizes = [len(accounts(swell, since=a, until=b)) for a, b in ((0, 6), (6, 11), (11, 16))]
    assert sizes == [5, 10, 5]
    share = [row["model"] == NEW_MODEL for row in pivot if row["day"] >= 6]
    assert not any(row["model"] == NEW_MODEL for row in pivot if row["day"] < 6)
    assert sum(share) > 0.5 * len(share)


def test_late_rows_are_of_one_day_and_lie_apart(world: Path) -> None:
    [path] = (world / "late").rglob("*.parquet")
    assert path.relative_to(world / "late").parts == ("2026-05-22", "day=2026-05-20", "late-0.parquet")
    late = pq.ParquetFile(path).read().to_pylist()
    assert {row["timestamp"].date() for row in late} == {(START + timedelta(days=9)).date()}
    assert 0.05 < len(late) / (len(late) + pq.read_metadata(_day(world, "2026-05-20")).num_rows) < 0.2


def _day(world: Path, day: str) -> Path:
    return world / "requests" / f"day={day}" / "part-0.parquet"


def test_too_few_nights_and_foreign_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="16 nights"):
        write_nights(tmp_path / "a", nights=5, per_day=10)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="no earlier sample"):
        write_nights(tmp_path / "b", **SIZE)


def test_the_same_arguments_write_the_same_bytes(world: Path, tmp_path: Path) -> None:
    write_nights(tmp_path / "again", **SIZE)
    names = sorted(str(path.relative_to(world)) for path in world.rglob("*") if path.is_file())
    assert names == sorted(
        str(p.relative_to(tmp_path / "again")) for p in (tmp_path / "again").rglob("*") if p.is_file()
    )
    assert all((world / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
