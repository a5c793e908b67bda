"""The records of a CSV file in batches."""

import csv
from collections.abc import Iterator

from refrain.batches import Batch, Fault, Reading
from refrain.errors import InputError
from refrain.lines import Advance, Overlong, read_lines
from refrain.logs import LogFile


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


def read_csv(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    """The records of a file; TornFileError where it cannot be read to its end."""
    lines = _TextLines(file, reading.record_bytes, advance)
    rows = csv.reader(lines, delimiter=reading.csv_delimiter)
    default = csv.field_size_limit(reading.record_bytes)
    try:
        yield from _rows(file.name, rows, lines, reading)
    finally:
        csv.field_size_limit(default)


def _rows(name: str, rows: Iterator[list[str]], lines: _TextLines, reading: Reading) -> Iterator[Batch]:
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
