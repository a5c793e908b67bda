"""The records of a CSV file, some at a time."""

import csv
from collections.abc import Iterator

from refrain.batches import Batch, Fault, Reading
from refrain.contents import Cells
from refrain.errors import InputError
from refrain.lines import Advance, Overlong, read_lines
from refrain.logs import LogFile


class _TextLines:
    """The lines of a file as text for the csv module; raises at an over-long one and goes on after it.

    A class, because a generator that has raised is at its end.
    """

    def __init__(self, file: LogFile, reading: Reading, advance: Advance) -> None:
        self._lines = read_lines(file, reading.record_bytes, advance, reading.most_bytes)
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


def read_cells(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Cells]:
    """The rows of a file; TornFileError where it cannot be read to its end."""
    lines = _TextLines(file, reading, advance)
    rows = csv.reader(lines, delimiter=reading.csv_delimiter)
    default = csv.field_size_limit(reading.record_bytes)
    try:
        yield from _cells(file.name, rows, lines, reading)
    finally:
        csv.field_size_limit(default)


def read_csv(file: LogFile, reading: Reading, advance: Advance) -> Iterator[Batch]:
    """The same under our names, as batches that hold our columns alone."""
    for content in read_cells(file, reading, advance):
        header = content.header
        places = {name: header.index(theirs) for name, theirs in reading.sources if theirs in header}
        # CSV has no null: an empty field is none.
        columns = {name: [cells[place] or None for cells in content.cells] for name, place in places.items()}
        yield Batch(content.rows, columns, content.faults)


def _cells(name: str, rows: Iterator[list[str]], lines: _TextLines, reading: Reading) -> Iterator[Cells]:
    try:
        header = next((row for row in rows if row), [])
    except csv.Error:
        raise InputError(f"the header of {name} cannot be read") from None  # the csv error is about the line's text
    held, row, start = Cells(header), 0, lines.read
    while True:
        try:
            record = next(rows)
        except StopIteration:
            break
        except csv.Error:
            row += 1
            reason = "over-long record" if lines.head else "unparsable record"
            held.faults.append(Fault(row, reason, lines.head or None))
            lines.head = b""
            continue
        if not record:
            continue
        row += 1
        if len(record) == len(header):
            held.cells.append(record)
            held.rows.append(row)
        else:
            held.faults.append(Fault(row, "wrong number of fields", record))
        if len(held) >= reading.batch_rows or lines.read - start >= reading.batch_bytes:
            yield held
            held, start = Cells(header), lines.read
    if len(held):
        yield held
