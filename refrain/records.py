"""The records of a log file in batches of columns, whatever the file's format.

A batch never grows with the file: it ends at a number of records or of bytes. What cannot be read as a record is a
fault of that record; a file that cannot be read to its end raises TornFileError after what could be read.

A file is read in portions, raw as far as that is cheap, so that another process can turn them into batches.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.batches import MISSING, Batch, Fault, Reading
from refrain.columns import TIMES
from refrain.csv_records import read_csv
from refrain.lines import READ_BYTES, Advance, Overlong, TornFileError, read_lines
from refrain.logs import LogFile
from refrain.times import column_times


@dataclass(frozen=True)
class Lines:
    """Lines of JSON, none of them blank."""

    lines: list[bytes | Overlong]

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True)
class Columns:
    """Rows of Arrow columns under the log's names."""

    part: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.part.num_rows)

    def __reduce__(self) -> tuple[Any, ...]:
        # As a message between processes: without what a slice leaves out.
        return _columns, (self.part.schema, self.part.serialize().to_pybytes())


def _columns(schema: pa.Schema, message: bytes) -> Columns:
    return Columns(pa.ipc.read_record_batch(pa.py_buffer(message), schema))


@dataclass(frozen=True)
class Portion:
    """Consecutive records of the file `file`, after the first `before`; what its folders' names say, by our names."""

    file: str
    before: int
    content: Lines | Columns | Batch
    partitions: Mapping[str, str]

    @property
    def records(self) -> int:
        """How many there are, readable or not."""
        return len(self.content)

    @property
    def size(self) -> int:
        """Bytes of the content, roughly."""
        if isinstance(self.content, Lines):
            return sum(len(line) if isinstance(line, bytes) else len(line.head) for line in self.content.lines)
        if isinstance(self.content, Columns):
            return int(self.content.part.nbytes)
        columns = self.content.columns.values()
        return sum(len(value) for column in columns for value in column if isinstance(value, str | bytes))

    def batch(self, reading: Reading) -> Batch:
        """The records; a folder's `key=value` stands in for a column that the file lacks."""
        if isinstance(self.content, Lines):
            batch = _decoded(self, self.content.lines, reading)
        elif isinstance(self.content, Columns):
            batch = _converted(self.content.part, self.before, reading)
        else:
            batch = self.content
        for name, value in self.partitions.items():
            column = batch.columns.get(name, [MISSING] * len(batch.rows))
            batch.columns[name] = [value if given is MISSING else given for given in column]
        return batch


def read_portions(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Portion]:
    """The records of a file. TornFileError where it cannot be read to its end; what came before has been given out by
    then."""
    if file.format == ".parquet":
        contents: Iterator[Lines | Columns | Batch] = _parquet(file, reading, advance)
    else:
        contents = (read_csv if file.format == ".csv" else _jsonl)(file, reading, advance)
    folders = (part.partition("=") for part in file.name.split("/")[:-1])
    values = {key: value for key, equals, value in folders if equals}
    partitions = {name: values[theirs] for name, theirs in reading.sources if theirs in values}
    before = 0
    for content in contents:
        yield Portion(file.name, before, content, partitions)
        before += len(content)


def read_batches(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    """`read_portions` as batches."""
    for portion in read_portions(file, reading, advance):
        yield portion.batch(reading)


def _jsonl(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Lines]:
    lines: list[bytes | Overlong] = []
    size = 0
    for line in read_lines(file, reading.record_bytes, advance):
        if isinstance(line, Overlong):
            lines.append(line)
            size += len(line.head)
        elif line and not line.isspace():
            lines.append(line)
            size += len(line)
        if len(lines) >= reading.batch_rows or size >= reading.batch_bytes:
            yield Lines(lines)
            lines, size = [], 0
    if lines:
        yield Lines(lines)


def _decoded(portion: Portion, lines: list[bytes | Overlong], reading: Reading) -> Batch:
    decode = json.JSONDecoder(parse_constant=lambda _: None).decode  # NaN and Infinity are no values
    records: list[dict[str, Any]] = []
    batch = Batch()
    for row, line in enumerate(lines, start=portion.before + 1):
        if isinstance(line, Overlong):
            batch.faults.append(Fault(row, "over-long record", line.head))
            continue
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
    present = set().union(*records)
    sources = [(name, theirs) for name, theirs in reading.sources if theirs in present or name in portion.partitions]
    batch.columns = {name: [record.get(theirs, MISSING) for record in records] for name, theirs in sources}
    return batch


def _parquet(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Columns | Batch]:
    try:
        # Pages one by one instead of whole column chunks: a row group may be as large as the file.
        with file.open() as raw, pq.ParquetFile(raw, pre_buffer=False, buffer_size=READ_BYTES) as parquet:
            yield from _parquet_rows(parquet, file.size, reading, advance)
    except (pa.ArrowException, OSError) as error:
        raise TornFileError(file.name) from error


def _parquet_rows(file: pq.ParquetFile, size: int, reading: Reading, advance: Advance) -> Iterator[Columns | Batch]:
    metadata = file.metadata
    names = list(dict.fromkeys(theirs for _, theirs in reading.sources if theirs in file.schema_arrow.names))
    uncompressed = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    average = max(1, uncompressed // max(1, metadata.num_rows))
    rows = max(1, min(reading.batch_rows, reading.batch_bytes // average))
    row = done = 0
    for part in file.iter_batches(batch_size=rows, columns=names, use_threads=False):
        # What Arrow cannot convert shows here, where it can still be told from a fault of ours.
        yield Columns(part) if _valid(part) else _converted(part, row, reading)
        row += part.num_rows
        position = size * row // max(1, metadata.num_rows)
        advance(position - done)
        done = position


def _valid(part: pa.RecordBatch) -> bool:
    try:
        part.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _converted(part: pa.RecordBatch, before: int, reading: Reading) -> Batch:
    names = {theirs: name for name, theirs in reading.sources}
    batch = Batch(rows=list(range(before + 1, before + part.num_rows + 1)))
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
    return batch


def _values(column: Any) -> list[Any]:
    """A column as Python values; texts that are no UTF-8 come as bytes."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        binary = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
        values = column.cast(binary).to_pylist()
    return values
