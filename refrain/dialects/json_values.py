"""Values of a log's record: JSON inside texts, maps as Parquet has them, and fields by path."""

from collections.abc import Mapping
from typing import Any

from refrain.dialects.dialect import Record
from refrain.dialects.encoded import UnparsableError, decoded


def parsed(value: object) -> Any:
    """The value, decoded where it is a text or bytes: an object in a CSV cell or a database column. None where it is
    blank. UnparsableError where the text is no JSON."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    return None if isinstance(value, str) and not value.strip() else decoded(value)


def mapping(value: object) -> Mapping[str, Any]:
    """An object's fields; also of a list of pairs, as Arrow gives a map; empty where the value is neither."""
    if isinstance(value, str | bytes):
        try:
            value = parsed(value)
        except UnparsableError:
            return {}
    if isinstance(value, Mapping):
        return value
    if isinstance(value, list) and all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in value):  # noqa: PLR2004
        return {name: held for name, held in value if isinstance(name, str)}
    return {}


def first(*values: object) -> Any:
    """The first value that says something: neither null nor the empty text. None where none does."""
    return next((value for value in values if value not in (None, "")), None)


def given(record: Mapping[str, Any], *names: str) -> Any:
    """`first` of these fields, where an absent one is null."""
    return first(*(record.get(name) for name in names))


def told(values: Record) -> Record:
    """The record without what says nothing."""
    return {name: value for name, value in values.items() if value not in (None, "")}
