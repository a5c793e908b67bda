"""Rows of a table as a database takes them.

PostgreSQL: times as they are, lists as JSONB, texts without U+0000 (refrain.exporters.escapes). Elsewhere: times as
ISO 8601 in UTC with six digits of a second, so that their order is that of the times, and lists as JSON.
"""

import json
from datetime import datetime
from typing import Any

import pyarrow as pa

from refrain.contract import TEST_PREFIX
from refrain.exporters.escapes import without_nul
from refrain.exporters.exporter import Options
from refrain.exporters.layout import RUN, TESTS
from refrain.exporters.sql_database import POSTGRESQL
from refrain.formats import plain


def rows_of(
    name: str, batch: pa.RecordBatch, columns: list[str], options: Options, dialect: str
) -> list[tuple[Any, ...]]:
    """The rows of a batch of the table `name`, in the order of `columns`; null where the batch lacks one."""
    given = dict(zip(batch.schema.names, batch.columns, strict=True))
    none: list[Any] = [None] * batch.num_rows
    found: dict[str, list[Any]] = {RUN: [options.run] * batch.num_rows}
    if name == "campaigns":
        found |= _of_campaigns(batch, options, dialect)
    for column in columns:
        if column not in found:
            found[column] = _values(given[column], dialect) if column in given else none
    return list(zip(*(found[column] for column in columns), strict=True))


def stored_text(text: str, dialect: str) -> str:
    """A text as the database holds it."""
    return without_nul(text) if dialect == POSTGRESQL else text


def _of_campaigns(batch: pa.RecordBatch, options: Options, dialect: str) -> dict[str, list[Any]]:
    """What campaigns have beside their file's columns: the tests as one object, and what the nights know."""
    tests = [name for name in batch.schema.names if name.startswith(TEST_PREFIX)]
    values = [batch.column(name).to_pylist() for name in tests]
    shown = [name.removeprefix(TEST_PREFIX) for name in tests]
    numbers = batch.column("campaign_id").to_pylist()
    standings = [options.standing(number) for number in numbers]
    return {
        TESTS: [_json(dict(zip(shown, row, strict=True)), dialect) for row in zip(*values, strict=True)]
        if tests
        else [_json({}, dialect) for _ in numbers],
        "identity": [options.identities.get(number) for number in numbers],
        "state": [standing.state or None for standing in standings],
        "verdict": [standing.verdict or None for standing in standings],
    }


def _values(array: pa.Array, dialect: str) -> list[Any]:
    values: list[Any] = array.to_pylist()
    kind = array.type
    if pa.types.is_string(kind) and dialect == POSTGRESQL:
        return [None if value is None else without_nul(value) for value in values]
    if pa.types.is_list(kind):
        return [None if value is None else _json(value, dialect) for value in values]
    if pa.types.is_timestamp(kind) and dialect != POSTGRESQL:
        return [None if value is None else _moment(value) for value in values]
    return values


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _json(value: Any, dialect: str) -> str:
    if isinstance(value, list):
        value = [stored_text(item, dialect) if isinstance(item, str) else item for item in value]
    return json.dumps(plain(value), ensure_ascii=dialect != POSTGRESQL, allow_nan=False)
