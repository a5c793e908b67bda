"""What a night counts: days in the zone of its window, late rows, and what looks wrong."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.night_counts import Lateness, count_days, lateness, oddities_of, requests_by_day
from refrain.settings import load_settings
from refrain.slices import night

RULE = replace(load_settings().config.alerts, volume_factor=3.0, noise_change=0.1)
DAY = date(2026, 5, 8)


def counts_of(*requests: int, last: date = DAY, **more: int) -> dict[str, int]:
    """A night's counts with these requests on the days that end with `last`."""
    first = last - timedelta(days=len(requests) - 1)
    return {f"requests {first + timedelta(days=at)}": count for at, count in enumerate(requests)} | more


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_requests_are_counted_on_the_days_of_the_zone(tmp_path: Path, zone: str) -> None:
    """Over the night in which New York's clocks go forward."""
    part = night(date(2026, 3, 9), 3, zone)
    begin = datetime(2026, 3, 7, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    end = datetime(2026, 3, 10, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    times = [begin + timedelta(minutes=at) for at in range(0, int((end - begin) / timedelta(minutes=1)), 37)]
    for day, group in Counter(time.date() for time in times).items():
        folder = tmp_path / "requests" / "requests" / f"day={day}"
        folder.mkdir(parents=True)
        own = [time for time in times if time.date() == day]
        assert len(own) == group
        table = pa.table({"timestamp": pa.array(own, pa.timestamp("us", tz="UTC"))})
        pq.write_table(table, folder / "part-0.parquet")
    expected = Counter(time.astimezone(ZoneInfo(zone)).date() for time in times)
    assert count_days(tmp_path, part) == dict(expected)


def test_a_day_without_a_request_counts_as_none(tmp_path: Path) -> None:
    assert count_days(tmp_path, night(DAY, 2)) == {DAY - timedelta(days=1): 0, DAY: 0}


def test_only_days_that_both_nights_read_can_be_late() -> None:
    before = counts_of(10, 20, 30, last=DAY - timedelta(days=1))
    assert lateness(counts_of(20, 33, 40), before) == Lateness(rows=3, days=1)
    assert lateness(counts_of(15, 33, 40), before) == Lateness(rows=3, days=1, gone_rows=5, gone_days=1)
    assert lateness(counts_of(20, 30, 40), before) == Lateness()
    assert lateness(counts_of(20, 30, 40), {}) == Lateness()


def test_lateness_is_told_in_words() -> None:
    assert Lateness(rows=1234, days=2).words == "1,234 rows came late in 2 days"
    assert Lateness(1, 1, 5, 3).words == "1 row came late in 1 day, 5 rows are gone in 3 days"
    assert not Lateness().words


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=9), st.lists(st.integers(0, 1000), min_size=1, max_size=9))
def test_late_and_gone_rows_add_up(now: list[int], then: list[int]) -> None:
    late = lateness(counts_of(*now), counts_of(*then))
    shared = min(len(now), len(then))
    assert late.rows - late.gone_rows == sum(now[-shared:]) - sum(then[-shared:])
    assert late.days + late.gone_days <= shared


@pytest.mark.parametrize(
    ("requests", "kinds"),
    [
        ((100, 100, 100, 100), []),
        ((100, 100, 100, 301), ["volume"]),
        ((100, 100, 100, 300), []),
        ((100, 100, 100, 33), ["volume"]),
        ((100, 100, 100, 34), []),
        ((100, 100, 100, 0), ["no_data"]),
        ((0,), ["no_data"]),
        ((100, 100, 900), []),  # two days say nothing of what is usual
        ((0, 100, 100, 900), []),
        ((100, 100, 100, 9000, 100), []),  # the median: one odd day makes the next no odder
    ],
)
def test_a_day_far_off_the_usual_looks_wrong(requests: tuple[int, ...], kinds: list[str]) -> None:
    assert [oddity.kind for oddity in oddities_of(DAY, counts_of(*requests), None, RULE)] == kinds


@pytest.mark.parametrize(
    ("before", "now", "kinds"),
    [((700, 1000), (810, 1000), ["noise"]), ((700, 1000), (790, 1000), []), ((700, 1000), (590, 1000), ["noise"])],
)
def test_a_jump_of_the_noise_looks_wrong(before: tuple[int, int], now: tuple[int, int], kinds: list[str]) -> None:
    told = [counts_of(9, 9, 9, 9, noise=noise, segments=segments) for noise, segments in (now, before)]
    assert [oddity.kind for oddity in oddities_of(DAY, told[0], told[1], RULE)] == kinds
    assert not oddities_of(DAY, told[0], None, RULE)
    assert not oddities_of(DAY, told[0], counts_of(9, segments=0, noise=0), RULE)


def test_the_days_among_the_counts_are_read_back_and_nothing_else() -> None:
    assert requests_by_day({"kept": 3, **counts_of(1, 2)}) == {DAY - timedelta(days=1): 1, DAY: 2}
