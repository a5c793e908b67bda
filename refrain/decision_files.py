"""Files of decisions, CSV and JSON lines: their records by number, and the same form written."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from refrain.decision_form import ALIASES, FIELDS, Bad, written
from refrain.errors import InputError
from refrain.formats import CSV, JSONL, guarded, unguarded
from refrain.ledger.rows import DecisionRow

FORMATS = (CSV, JSONL)
FILE_MIB = 64  # of a file of decisions: some hundred thousand, more than people make
_RECORD_BYTES = 1 << 16  # a decision has a few hundred characters
_ENDINGS = {".csv": CSV, ".jsonl": JSONL, ".ndjson": JSONL, ".json": JSONL}
NOT_UTF8, UNPARSABLE, NO_OBJECT = "no UTF-8", "unparsable record", "no object"
OVER_LONG, CELLS = "over-long record", "wrong number of fields"


def format_of(name: str, wanted: str | None) -> str:
    """`wanted`, or the format that the ending of a file's name means; InputError where neither is one."""
    found = wanted or next((form for ending, form in _ENDINGS.items() if name.lower().endswith(ending)), None)
    if found not in FORMATS:
        raise InputError("decisions are read and written as csv or jsonl", hint="give --format csv or --format jsonl")
    return found


def read_records(data: bytes, form: str) -> Iterator[tuple[int, dict[str, Any] | Bad]]:
    """The number of each record (from 1; a header and blank lines are not counted) and the record, or why it is none.

    InputError where a CSV file's header lacks a field.
    """
    data = data.removeprefix(b"\xef\xbb\xbf")
    return _csv_records(data) if form == CSV else _json_records(data)


def write_records(rows: Iterable[DecisionRow], form: str) -> str:
    """The decisions as text in a form: CSV cells that a spreadsheet could run are guarded, JSON is ASCII."""
    if form == JSONL:
        return "".join(json.dumps(written(row), ensure_ascii=True) + "\n" for row in rows)
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    writer.writerows([guarded(value) for value in written(row).values()] for row in rows)
    return out.getvalue()


def _json_records(data: bytes) -> Iterator[tuple[int, dict[str, Any] | Bad]]:
    lines = (line for line in io.BytesIO(data) if line.strip())
    for number, line in enumerate(lines, 1):
        yield number, _json_record(line)


def _json_record(line: bytes) -> dict[str, Any] | Bad:
    if len(line) > _RECORD_BYTES:
        return Bad("", OVER_LONG)
    try:
        found = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        return Bad("", NOT_UTF8)
    except (ValueError, RecursionError):
        return Bad("", UNPARSABLE)
    return found if isinstance(found, dict) else Bad("", NO_OBJECT)


def _csv_records(data: bytes) -> Iterator[tuple[int, dict[str, Any] | Bad]]:
    rows = csv.reader(io.StringIO(data.decode("utf-8", "surrogateescape"), newline=""))
    header = _header(rows)
    number = 0
    while True:
        try:
            cells = next(rows, None)
        except csv.Error:  # a field beyond the csv module's limit; it goes on with the next line
            number += 1
            yield number, Bad("", OVER_LONG)
            continue
        if cells is None:
            return
        if not any(cells):
            continue
        number += 1
        yield number, _csv_record(header, cells)


def _header(rows: Iterator[list[str]]) -> list[str]:
    """The names of the columns; InputError, which names no cell of the file, where a field has none."""
    try:
        header = [cell.strip().lower() for cell in next((row for row in rows if any(row)), [])]
    except csv.Error:
        header = []
    lacking = [name for name in FIELDS if not set(ALIASES.get(name, (name,))) & set(header)]
    if lacking:
        raise InputError(
            f"the file's header lacks {', '.join(lacking)}", hint=f"its first line must be {','.join(FIELDS)}"
        )
    return header


def _csv_record(header: list[str], cells: list[str]) -> dict[str, Any] | Bad:
    if len(cells) != len(header):
        return Bad("", CELLS)
    if sum(map(len, cells)) > _RECORD_BYTES:
        return Bad("", OVER_LONG)
    if any("\udc80" <= character <= "\udcff" for cell in cells for character in cell):
        return Bad("", NOT_UTF8)
    return {name: unguarded(cell) or None for name, cell in reversed([*zip(header, cells, strict=True)])}
