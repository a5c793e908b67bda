"""Moments in every form that a log writes them in."""

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.times import UNREADABLE, clock, column_times, read_time

BY = clock("UTC", 2000, 2100)
MICROS = 1_767_225_600_123_456  # 2026-01-01T00:00:00.123456Z


@pytest.mark.parametrize(
    ("value", "micros", "naive"),
    [
        ("2026-01-01T00:00:00.123456Z", MICROS, False),
        ("2026-01-01T00:00:00.123456789z", MICROS, False),
        ("2026-01-01 01:00:00.123456+01:00", MICROS, False),
        (" 2026-01-01 00:00:00.123456 UTC ", MICROS, False),
        ("2026-01-01T00:00:00.123456", MICROS, True),
        ("20260101T000000", MICROS - 123_456, True),
        ("2026-01-01", MICROS - 123_456, True),
        (MICROS // 10**6, MICROS - 123_456, False),
        (MICROS / 10**6, MICROS, False),
        (MICROS // 10**3, MICROS - 456, False),
        (MICROS, MICROS, False),
        (MICROS * 1000 + 789, MICROS, False),
        (str(MICROS * 1000), MICROS, False),
        ("1767225600.123456", MICROS, False),
        (Decimal("1767225600.123456"), MICROS, False),
    ],
)
def test_one_moment_in_many_forms(value: object, micros: int, naive: bool) -> None:
    moment = read_time(value, BY)
    assert moment is not None
    assert (moment.micros, moment.naive) == (micros, naive)


@pytest.mark.parametrize(
    "value",
    [
        None, "", "yesterday", "1999-12-31T23:59:59Z", "2101-01-01", "0001-01-01T00:00:00+23:59", 0, -1, 20260101,
        1e300, float("nan"), float("inf"), True, [], {"t": 1}, "9" * 5000, "1e400", "２０２６-01-01", 10**400,
    ],
)  # fmt: skip
def test_what_is_no_believable_moment_is_none(value: object) -> None:
    assert read_time(value, BY) is None


def test_naive_times_are_read_in_the_configured_zone() -> None:
    berlin = clock("Europe/Berlin", 2000, 2100)
    winter, summer = (read_time(text, berlin) for text in ("2026-01-01T01:00:00.123456", "2026-07-01T02:00:00"))
    assert winter is not None and summer is not None
    assert winter.micros == MICROS
    assert summer.micros == int(datetime(2026, 7, 1, tzinfo=UTC).timestamp()) * 10**6


@given(st.integers(BY.earliest, BY.latest - 1), st.sampled_from(["s", "ms", "us", "ns"]))
def test_a_column_says_what_its_values_say_one_by_one(micros: int, unit: str) -> None:
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    value = micros * ticks // 10**6
    column = pa.array([value, None], pa.int64()).cast(pa.timestamp(unit, tz="UTC"))
    expected = read_time(value, BY)
    assert expected is not None
    assert column_times(column, BY) == [expected.micros, None]


def test_a_column_outside_the_span_is_unreadable_and_never_taken_for_another_unit() -> None:
    early = pa.array([950_000_000_000], pa.int64()).cast(pa.timestamp("us"))  # 1970; as milliseconds it would be 2000
    huge = pa.array([np.iinfo(np.int64).max]).cast(pa.timestamp("s"))
    assert column_times(early, BY) == column_times(huge, BY) == [UNREADABLE]
    assert read_time(UNREADABLE, BY) is None


def test_a_naive_column_is_read_in_the_configured_zone() -> None:
    column = pa.array([(MICROS - 123_456) // 1000 + 3_600_000], pa.int64()).cast(pa.timestamp("ms"))
    assert column_times(column, clock("Europe/Berlin", 2000, 2100)) == [MICROS - 123_456]
    assert column_times(pa.array([date(2026, 1, 1)]), BY) == [MICROS - 123_456]
