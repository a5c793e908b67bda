"""What portions of a log hold, raw as far as that is cheap, so that another process can turn them into records."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from refrain.batches import Fault
from refrain.lines import Overlong

Raw = tuple[int, dict[str, Any]]
"""A record as its format has it, after its 1-based number in the file."""


@dataclass(frozen=True)
class Lines:
    """Records as JSON text, none of them blank."""

    lines: list[bytes | Overlong]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(len(line) if isinstance(line, bytes) else len(line.head) for line in self.lines)

    def records(self, before: int) -> Iterator[Raw | Fault]:
        """The records after the first `before` of the file, and what is none."""
        decode = json.JSONDecoder(parse_constant=lambda _: None).decode  # NaN and Infinity are no values
        for row, line in enumerate(self.lines, start=before + 1):
            if isinstance(line, Overlong):
                yield Fault(row, "over-long record", line.head)
                continue
            try:
                record = decode(line.decode("utf-8", "surrogateescape"))
            except (ValueError, RecursionError):
                yield Fault(row, "unparsable record", line)
            else:
                yield (row, record) if isinstance(record, dict) else Fault(row, "no object", line)


@dataclass(frozen=True)
class Cells:
    """Rows of a CSV file under its header, with their numbers, and the rows that do not fit it."""

    header: list[str]
    rows: list[int] = field(default_factory=list)
    cells: list[list[str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows) + len(self.faults)

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        return sum(len(cell) for row in self.cells for cell in row)

    def records(self, before: int) -> Iterator[Raw | Fault]:
        """The records, an empty cell left out (CSV has no null), the first of columns with one name."""
        del before
        yield from self.faults
        places = {name: place for place, name in reversed(list(enumerate(self.header)))}
        for row, cells in zip(self.rows, self.cells, strict=True):
            yield row, {name: cells[place] for name, place in places.items() if cells[place]}


@dataclass(frozen=True)
class Columns:
    """Rows of Arrow columns under the log's names."""

    part: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.part.num_rows)

    @property
    def size(self) -> int:
        """Bytes."""
        return int(self.part.nbytes)

    def __reduce__(self) -> tuple[Any, ...]:
        # As a message between processes: without what a slice leaves out.
        return _columns, (self.part.schema, self.part.serialize().to_pybytes())

    def records(self, before: int) -> Iterator[Raw | Fault]:
        """The records after the first `before` of the file; times are ISO 8601 text, without a zone where the column
        has none, and exact decimals plain numbers. A row with a value that Python cannot hold is a fault."""
        names = self.part.schema.names
        columns = [_values(column) for column in self.part.columns]
        for row, values in enumerate(zip(*columns, strict=True), start=before + 1):
            if any(value is _UNREADABLE for value in values):
                yield Fault(row, "unparsable record", None)
            else:
                yield row, dict(zip(names, values, strict=True))


@dataclass(frozen=True)
class Decoded:
    """Records that had to be decoded where the file was read."""

    found: list[Raw | Fault]

    def __len__(self) -> int:
        return len(self.found)

    @property
    def size(self) -> int:
        """Bytes, hardly known: such portions are rare."""
        return len(self.found)

    def records(self, before: int) -> Iterator[Raw | Fault]:
        """The records."""
        del before
        return iter(self.found)


def _columns(schema: pa.Schema, message: bytes) -> Columns:
    return Columns(pa.ipc.read_record_batch(pa.py_buffer(message), schema))


_UNREADABLE = object()


def _values(column: Any) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        column = column.cast(pa.timestamp("us", kind.tz), safe=False)
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException):  # a text that is no UTF-8, a time beyond the year 9999
        values = [_value(item) for item in column]
    return [_plain(value) for value in values] if _rich(kind) else values


def _value(item: Any) -> Any:
    try:
        return item.as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        buffer = item.as_buffer() if hasattr(item, "as_buffer") else None
        return buffer.to_pybytes() if buffer is not None else _UNREADABLE


def _rich(kind: pa.DataType) -> bool:
    """Whether values of this type hold what JSON has not."""
    if pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        return True
    return any(_rich(kind.field(at).type) for at in range(kind.num_fields)) or (
        pa.types.is_dictionary(kind) and _rich(kind.value_type)
    )


def _plain(value: Any) -> Any:
    """A value of Arrow as JSON could have it; texts and bytes stay."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value if isinstance(value, str | bytes | int | float | None) or value is _UNREADABLE else str(value)
