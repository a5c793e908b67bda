"""The records of a log file in batches of columns, whatever the file's format.

A batch never grows with the file: it ends at a number of records or of bytes. What cannot be read as a record is a
fault of that record; a file that cannot be read to its end raises TornFileError after what could be read.

A file is read in portions (refrain.contents), so that another process can turn them into batches.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.batches import MISSING, Batch, Fault, Reading
from refrain.columns import TIMES
from refrain.contents import Cells, Columns, Decoded, Lines, Raw
from refrain.csv_records import read_cells, read_csv
from refrain.dialect_batches import dialect_batch
from refrain.dialects import dialect
from refrain.documents import read_json
from refrain.lines import READ_BYTES, Advance, Overlong, TornFileError, read_lines
from refrain.logs import LogFile
from refrain.times import column_times

Content = Lines | Columns | Cells | Decoded | Batch


@dataclass(frozen=True)
class Portion:
    """Consecutive records of the file `file`, after the first `before`; what its folders' names say, by our names.

    `dialect` names their format; "" stands for our own columns.
    """

    file: str
    before: int
    content: Content
    partitions: Mapping[str, str]
    dialect: str = ""

    @property
    def records(self) -> int:
        """How many there are, readable or not."""
        return len(self.content)

    @property
    def size(self) -> int:
        """Bytes of the content, roughly."""
        if not isinstance(self.content, Batch):
            return self.content.size
        columns = self.content.columns.values()
        return sum(len(value) for column in columns for value in column if isinstance(value, str | bytes))

    def batch(self, reading: Reading) -> Batch:
        """The records; a folder's `key=value` stands in for a column that the file lacks."""
        if isinstance(self.content, Batch):
            batch = self.content
        elif self.dialect:
            batch = dialect_batch(self.content.records(self.before), dialect(self.dialect), reading)
        elif isinstance(self.content, Columns):
            batch = _converted(self.content.part, self.before, reading)
        else:
            batch = _mapped(self, self.content.records(self.before), reading)
        for name, value in self.partitions.items():
            column = batch.columns.get(name, [MISSING] * len(batch.rows))
            absent = (MISSING, None) if self.dialect else (MISSING,)
            batch.columns[name] = [value if given in absent else given for given in column]
        return batch


def read_portions(file: LogFile, reading: Reading, advance: Advance, form: str = "") -> Iterator[Portion]:
    """The records of a file whose format is called `form`, or which has our own columns. TornFileError where it cannot
    be read to its end; what came before has been given out by then."""
    if file.format == ".parquet":
        contents: Iterator[Content] = _parquet(file, reading, advance, whole=bool(form))
    elif file.format == ".csv":
        contents = (read_cells if form else read_csv)(file, reading, advance)
    else:
        contents = _lines(file, reading, advance)
    folders = (part.partition("=") for part in file.name.split("/")[:-1])
    values = {key: value for key, equals, value in folders if equals}
    partitions = {name: values[theirs] for name, theirs in reading.sources if theirs in values}
    before = 0
    for content in contents:
        yield Portion(file.name, before, content, partitions, form)
        before += len(content)


def read_batches(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    """`read_portions` as batches."""
    for portion in read_portions(file, reading, advance):
        yield portion.batch(reading)


def _lines(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Lines]:
    lines: list[bytes | Overlong] = []
    size = 0
    read = read_json if file.format == ".json" else read_lines
    try:
        for line in read(file, reading.record_bytes, advance, reading.most_bytes):
            if isinstance(line, Overlong):
                lines.append(line)
                size += len(line.head)
            elif line and not line.isspace():
                lines.append(line)
                size += len(line)
            if len(lines) >= reading.batch_rows or size >= reading.batch_bytes:
                yield Lines(lines)
                lines, size = [], 0
    except TornFileError:
        if lines:
            yield Lines(lines)
        raise
    if lines:
        yield Lines(lines)


def _mapped(portion: Portion, raw: Iterable[Raw | Fault], reading: Reading) -> Batch:
    """Records with our own columns."""
    records: list[dict[str, Any]] = []
    batch = Batch()
    for one in raw:
        if isinstance(one, Fault):
            batch.faults.append(one)
        else:
            batch.rows.append(one[0])
            records.append(one[1])
    present = set().union(*records)
    sources = [(name, theirs) for name, theirs in reading.sources if theirs in present or name in portion.partitions]
    batch.columns = {name: [record.get(theirs, MISSING) for record in records] for name, theirs in sources}
    return batch


def _parquet(file: LogFile, reading: Reading, advance: Advance, *, whole: bool) -> Iterator[Content]:
    try:
        # Pages one by one instead of whole column chunks: a row group may be as large as the file.
        with pq.ParquetFile(file.path, pre_buffer=False, buffer_size=READ_BYTES) as parquet:
            yield from _parquet_rows(parquet, file.size, reading, advance, whole=whole)
    except (pa.ArrowException, OSError) as error:
        raise TornFileError(file.name) from error


def _parquet_rows(
    file: pq.ParquetFile, size: int, reading: Reading, advance: Advance, *, whole: bool
) -> Iterator[Content]:
    metadata = file.metadata
    there = file.schema_arrow.names
    names = None if whole else list(dict.fromkeys(theirs for _, theirs in reading.sources if theirs in there))
    uncompressed = sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    average = max(1, uncompressed // max(1, metadata.num_rows))
    rows = max(1, min(reading.batch_rows, reading.batch_bytes // average))
    row = done = 0
    for part in file.iter_batches(batch_size=rows, columns=names, use_threads=False):
        # What Arrow cannot convert shows here, where it can still be told from a fault of ours.
        columns = Columns(part)
        if _valid(part):
            yield columns
        else:
            yield Decoded(list(columns.records(row))) if whole else _converted(part, row, reading)
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
