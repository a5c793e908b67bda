"""Moments as microseconds since 1970 (UTC), from whatever form a log writes them in."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from types import NoneType
from typing import Any, NamedTuple, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_LONGEST = 64  # characters: no written moment is longer, and a megabyte of digits is not worth converting
# Units of an epoch number: (multiply, divide) to microseconds. A century of one unit never overlaps that of another.
_UNITS = ((10**6, 1), (10**3, 1), (1, 1), (1, 10**3))
_ARROW_UNITS = {"s": (10**6, 1), "ms": (10**3, 1), "us": (1, 1), "ns": (1, 10**3)}
UNREADABLE = -1  # an integer that `read_time` refuses: a second before 1970


@dataclass(frozen=True)
class Clock:
    """How times are read: the zone of times that name none, and the span that is believed, in microseconds."""

    zone: tzinfo
    earliest: int
    latest: int


class Moment(NamedTuple):
    """Microseconds since 1970 (UTC), and whether the zone had to be assumed."""

    micros: int
    naive: bool


def clock(zone: str, earliest_year: int, latest_year: int) -> Clock:
    """A clock that believes times from the start of `earliest_year` to the end of `latest_year`."""
    low, high = (datetime(year, 1, 1, tzinfo=UTC) for year in (earliest_year, latest_year + 1))
    earliest, latest = (low - _EPOCH) // _MICROSECOND, (high - _EPOCH) // _MICROSECOND
    return Clock(UTC if zone == "UTC" else ZoneInfo(zone), earliest, latest)


def read_time(value: object, by: Clock) -> Moment | None:
    """The moment that `value` names: ISO 8601 text, or an epoch number in s, ms, us or ns told apart by magnitude.

    None where it names none or lies outside the span that the clock believes.
    """
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST:
            return None
        return _epoch(Decimal(text), by) if _NUMBER.fullmatch(text) else _written(text, by)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, float):
        return _epoch(Decimal(repr(value)), by) if math.isfinite(value) else None
    return _epoch(value, by)


def all_believed(column: Sequence[object], by: Clock) -> bool:
    """Whether `read_time` gives back every value of a column as it is: microseconds that are believed, or None."""
    if not set(map(type, column)) <= {int, NoneType}:
        return False
    given = cast("list[int]", [value for value in column if value is not None])
    return not given or (min(given) >= by.earliest and max(given) < by.latest)


def _epoch(number: Decimal | int, by: Clock) -> Moment | None:
    if by.earliest <= number < by.latest and isinstance(number, int):
        return Moment(number, naive=False)  # in the other units it lies outside the span
    if not 0 <= number <= by.latest * 10**3:  # beyond the smallest unit; also keeps giant exponents out
        return None
    for multiply, divide in _UNITS:
        micros = int(number * multiply // divide)
        if by.earliest <= micros < by.latest:
            return Moment(micros, naive=False)
    return None


def _written(text: str, by: Clock) -> Moment | None:
    upper = text.upper()
    if upper.endswith("UTC"):
        upper = upper.removesuffix("UTC").rstrip() + "Z"
    try:
        when = datetime.fromisoformat(upper)
        naive = when.tzinfo is None
        micros = (when.replace(tzinfo=by.zone) if naive else when) - _EPOCH
    except (ValueError, OverflowError):
        return None
    whole = micros // _MICROSECOND
    return Moment(whole, naive) if by.earliest <= whole < by.latest else None


def column_times(column: Any, by: Clock) -> list[int | None]:
    """An Arrow column of timestamps or dates as microseconds; UNREADABLE where outside the clock's span, None for null.

    A column without a zone is read in the clock's.
    """
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("ms"))
    multiply, divide = _ARROW_UNITS[column.type.unit]
    raw = np.asarray(column.cast(pa.int64()).fill_null(UNREADABLE).to_numpy(zero_copy_only=False))
    believed = (raw >= by.earliest * divide // multiply) & (raw < by.latest * divide // multiply)
    micros = np.where(believed, raw, 0) * multiply // divide
    if column.type.tz is None and by.zone is not UTC:
        local = pa.array(micros, pa.timestamp("us"))
        fixed = pc.assume_timezone(local, str(by.zone), ambiguous="earliest", nonexistent="earliest")
        micros = np.asarray(fixed.cast(pa.int64()).to_numpy(zero_copy_only=False))
    values = pa.array(np.where(believed, micros, UNREADABLE), mask=np.asarray(column.is_null()))
    result: list[int | None] = values.to_pylist()
    return result
