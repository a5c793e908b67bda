"""Rows of Python values as Arrow columns whose types only climb.

A database may give a column any type, and SQLite another in every row. A batch is written with the types seen so far;
one that needs wider types begins a new file, of which there are few, as a type has few above it.
"""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from refrain.text import repair

TYPES = {
    "null": pa.null(),
    "bool": pa.bool_(),
    "int": pa.int64(),
    "float": pa.float64(),
    "time": pa.timestamp("us", "UTC"),
    "local": pa.timestamp("us"),
    "date": pa.date32(),
    "binary": pa.binary(),
    "text": pa.large_string(),
}
_INT_BITS = 63
_DIGITS = 40  # of a whole number that an id may have


def plain(value: Any) -> tuple[str, Any]:
    """The kind of a value, a key of TYPES, and the value as that kind has it."""
    if value is None:
        return "null", None
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, int):
        return ("int", value) if value.bit_length() <= _INT_BITS else ("text", str(value))
    if isinstance(value, float):
        return "float", value
    if isinstance(value, str):
        return "text", repair(value)[0]
    if isinstance(value, bytes | bytearray | memoryview):
        return "binary", bytes(value)
    if isinstance(value, datetime):
        return ("local", value) if value.tzinfo is None else _instant(value)
    if isinstance(value, date):
        return "date", value
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, dict | list | tuple):
        try:
            return "text", repair(json.dumps(value, ensure_ascii=False, default=str))[0]
        except (ValueError, RecursionError):
            return "null", None
    return "text", repair(str(value))[0]


def _instant(value: datetime) -> tuple[str, Any]:
    try:
        return "time", value.astimezone(UTC)
    except OverflowError:  # at the edge of what a datetime holds; the intake refuses it with a reason
        return "text", value.isoformat()


def _number(value: Decimal) -> tuple[str, Any]:
    if not value.is_finite():
        return "float", math.nan if value.is_nan() else float(value)  # a signalling NaN is no float
    # Not int(value) first: a Decimal may have a billion digits.
    if value.adjusted() < _DIGITS and value == value.to_integral_value():
        return plain(int(value))
    found = float(value)
    return ("float", found) if math.isfinite(found) else ("text", str(value))


def joined(one: str, other: str) -> str:
    """The narrowest kind that holds two."""
    if other in (one, "null"):
        return one
    if one == "null":
        return other
    return "float" if {one, other} == {"int", "float"} else "text"


def columns_of(
    names: Sequence[str], rows: Sequence[Sequence[Any]], kinds: Mapping[str, str]
) -> tuple[dict[str, str], list[list[Any]]]:
    """The kinds that `kinds` grow to with these rows, by name, and the rows as columns of values of those kinds."""
    found, columns = {}, []
    for at, name in enumerate(names):
        values = [plain(row[at]) for row in rows]
        kind = kinds.get(name, "null")
        for other in {kind for kind, _ in values}:
            kind = joined(kind, other)
        found[name] = kind
        columns.append([widened(value, own, kind) for own, value in values])
    return found, columns


def widened(value: Any, own: str, kind: str) -> Any:
    """A value of the kind `own` as one of a kind above it."""
    if own in (kind, "null"):
        return value
    if kind == "float":
        return float(value)
    if own == "binary":
        return repair(value)[0]
    if own == "bool":
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def schema_of(names: Sequence[str], kinds: Mapping[str, str]) -> pa.Schema:
    """The schema of columns of these kinds."""
    return pa.schema([(name, TYPES[kinds[name]]) for name in names])
