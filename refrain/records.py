"""The records of a log file in batches of columns, whatever the file's format.

A batch never grows with the file: it ends at a number of records or of bytes. What cannot be read as a record is a
fault of that record; a file that cannot be read to its end raises TornFileError after what could be read.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.columns import COLUMNS, TIMES
from refrain.errors import InputError
from refrain.lines import READ_BYTES, Advance, Overlong, TornFileError, read_lines
from refrain.logs import LogFile
from refrain.times import Clock, column_times


class Missing:
    """The value of a column that a record does not have at all; a null is None."""


MISSING = Missing()


@dataclass(frozen=True)
class Reading:
    """How files are read: our name -> theirs, the clock, and the limits of a batch and of a line."""

    names: Mapping[str, str]
    clock: Clock
    batch_rows: int
    batch_bytes: int
    record_bytes: int
    csv_delimiter: str

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Our name and the log's for every column that the log may have."""
        pairs = ((name, self.names.get(name, name)) for name in COLUMNS)
        return tuple((name, theirs) for name, theirs in pairs if theirs)


@dataclass(frozen=True)
class Fault:
    """A record that cannot be read: its 1-based number in the file, why, and what could be seen of it."""

    row: int
    reason: str
    content: Any


@dataclass
class Batch:
    """Records as columns of equal length, under our names. `rows` are 1-based record numbers in the file."""

    rows: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    naive: frozenset[str] = frozenset()  # columns of times whose zone was assumed for the whole batch


def read_batches(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    """The records of a file; a folder's `key=value` stands in for a column that the file lacks.

    TornFileError where the file cannot be read to its end; what came before has been given out by then.
    """
    if file.format == ".parquet":
        batches = _parquet(file, reading, advance)
    else:
        batches = (_csv if file.format == ".csv" else _jsonl)(file, reading, advance)
    folders = (part.partition("=") for part in file.name.split("/")[:-1])
    partitions = {key: value for key, equals, value in folders if equals}
    from_path = {name: partitions[theirs] for name, theirs in reading.sources if theirs in partitions}
    for batch in batches:
        for name, value in from_path.items():
            column = batch.columns.get(name, [MISSING] * len(batch.rows))
            batch.columns[name] = [value if given is MISSING else given for given in column]
        yield batch


def _jsonl(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    decode = json.JSONDecoder(parse_constant=lambda _: None).decode  # NaN and Infinity are no values
    sources = reading.sources
    records: list[dict[str, Any]] = []
    batch, size, row = Batch(), 0, 0

    def full() -> Batch:
        batch.columns = {name: [record.get(theirs, MISSING) for record in records] for name, theirs in sources}
        return batch

    for line in read_lines(file, reading.record_bytes, advance):
        if isinstance(line, Overlong):
            row += 1
            batch.faults.append(Fault(row, "over-long record", line.head))
            continue
        if not line or line.isspace():
            continue
        row += 1
        size += len(line)
        try:
            record = decode(line.decode("utf-8", "surrogateescape"))
        except (ValueError, RecursionError):
            batch.faults.append(Fault(row, "unparsable record", line))
        else:
            if isinstance(record, dict):
                records.append(record)
                batch.rows.append(row)
            else:
                batch.faults.append(Fault(row, "no object", line))
        if len(records) + len(batch.faults) >= reading.batch_rows or size >= reading.batch_bytes:
            yield full()
            records, batch, size = [], Batch(), 0
    if records or batch.faults:
        yield full()


class _TextLines:
    """The lines of a file as text for the csv module; raises at an over-long one and goes on after it.

    A class, because a generator that has raised is at its end.
    """

    def __init__(self, file: LogFile, limit: int, advance: Advance) -> None:
        self._lines = read_lines(file, limit, advance)
        self.read = 0
        self.head = b""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        if isinstance(line, Overlong):
            self.head = line.head
            raise csv.Error("over-long line")
        self.read += len(line)
        return line.decode("utf-8", "surrogateescape") + "\n"


def _csv(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    lines = _TextLines(file, reading.record_bytes, advance)
    rows = csv.reader(lines, delimiter=reading.csv_delimiter)
    default = csv.field_size_limit(reading.record_bytes)
    try:
        yield from _csv_rows(file.name, rows, lines, reading)
    finally:
        csv.field_size_limit(default)


def _csv_rows(name: str, rows: Iterator[list[str]], lines: _TextLines, reading: Reading) -> Iterator[Batch]:
    try:
        header = next((row for row in rows if row), [])
    except csv.Error:
        raise InputError(f"the header of {name} cannot be read") from None  # the csv error is about the line's text
    places = {name: header.index(theirs) for name, theirs in reading.sources if theirs in header}
    records: list[list[str]] = []
    batch, row, start = Batch(), 0, lines.read

    def full() -> Batch:
        # CSV has no null: an empty field is none.
        batch.columns = {name: [record[place] or None for record in records] for name, place in places.items()}
        return batch

    while True:
        try:
            record = next(rows)
        except StopIteration:
            break
        except csv.Error:
            row += 1
            reason = "over-long record" if lines.head else "unparsable record"
            batch.faults.append(Fault(row, reason, lines.head or None))
            lines.head = b""
            continue
        if not record:
            continue
        row += 1
        if len(record) == len(header):
            records.append(record)
            batch.rows.append(row)
        else:
            batch.faults.append(Fault(row, "wrong number of fields", record))
        if len(records) + len(batch.faults) >= reading.batch_rows or lines.read - start >= reading.batch_bytes:
            yield full()
            records, batch, start = [], Batch(), lines.read
    if records or batch.faults:
        yield full()


def _parquet(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    try:
        # Pages one by one instead of whole column chunks: a row group may be as large as the file.
        with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=READ_BYTES) as parquet:
            yield from _parquet_rows(parquet, file.path.stat().st_size, reading, advance)
    except (pa.ArrowException, OSError) as error:
        raise TornFileError(file.name) from error


def _parquet_rows(file: pq.ParquetFile, size: int, reading: Reading, advance: Advance) -> Iterator[Batch]:
    metadata = file.metadata
    names = {theirs: name for name, theirs in reading.sources if theirs in file.schema_arrow.names}
    uncompressed = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    average = max(1, uncompressed // max(1, metadata.num_rows))
    rows = max(1, min(reading.batch_rows, reading.batch_bytes // average))
    row = done = 0
    for part in file.iter_batches(batch_size=rows, columns=list(names), use_threads=False):
        batch = Batch(rows=list(range(row + 1, row + part.num_rows + 1)))
        naive = set()
        for theirs, column in zip(part.schema.names, part.columns, strict=True):
            name = names[theirs]
            kind = column.type
            if name in TIMES and (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
                batch.columns[name] = column_times(column, reading.clock)
                if pa.types.is_date(kind) or kind.tz is None:
                    naive.add(name)
            else:
                batch.columns[name] = _values(column)
        batch.naive = frozenset(naive)
        row += part.num_rows
        yield batch
        position = size * row // max(1, metadata.num_rows)
        advance(position - done)
        done = position


def _values(column: Any) -> list[Any]:
    """A column as Python values; texts that are no UTF-8 come as bytes."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        binary = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        values = column.cast(binary).to_pylist()
    return values
