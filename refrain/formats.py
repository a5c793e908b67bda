"""Exported tables as CSV for spreadsheets and as JSON lines; every file appears whole or not at all.

CSV is what people open in a spreadsheet, where a cell that begins like a formula is run (OWASP, "CSV Injection"). A
text cell that could be one, and one that begins with an apostrophe, gets an apostrophe in front: who needs the exact
text takes one leading apostrophe off, or reads JSON lines or Parquet.
"""

import csv
import json
import math
import os
import shutil
import unicodedata
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import pyarrow.parquet as pq

PARQUET, CSV, JSONL = FORMATS = ("parquet", "csv", "jsonl")
# The first visible characters of a formula, in ASCII and full width.
_FORMULA = frozenset("=+-@＝＋－＠")
_LEADING = frozenset("\t\r\n'")
# Read at a time: enough for speed, little beside the texts of a table of templates.
_BATCH_ROWS = 8192


def write_format(source: Path, target: Path, format: str) -> int:  # noqa: A002 (the option's name)
    """The number of rows of the Parquet file `source`, written to `target` as parquet, csv or jsonl."""
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    file = pq.ParquetFile(source)
    try:
        if format == PARQUET:
            shutil.copyfile(source, aside)
        else:
            with aside.open("w", encoding="utf-8", newline="") as out:
                (_write_csv if format == CSV else _write_jsonl)(file, out)
                out.flush()
                os.fsync(out.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
    return int(file.metadata.num_rows)


def guarded(text: str) -> str:
    """The text as a spreadsheet may show it: with an apostrophe in front where it could be a formula."""
    if not text:
        return text
    if text[0] in _LEADING:
        return f"'{text}"
    # What some programs skip before they look for a formula: spaces, controls, invisible characters.
    first = next((character for character in text if unicodedata.category(character)[0] not in "ZC"), "")
    return f"'{text}" if first in _FORMULA else text


def unguarded(text: str) -> str:
    """The text that `guarded` was given; another tool's own apostrophe stays where `guarded` would not have put one."""
    return text[1:] if text[:1] == "'" and guarded(text[1:]) == text else text


def plain(value: Any) -> Any:
    """A value of a table as JSON has it: times as ISO 8601 in UTC, no infinities."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def _records(file: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        yield from batch.to_pylist()


def _write_csv(file: pq.ParquetFile, out: TextIO) -> None:
    writer = csv.writer(out)
    writer.writerow(file.schema_arrow.names)
    writer.writerows([_cell(value) for value in record.values()] for record in _records(file))


def _cell(value: Any) -> str:
    """A value as a CSV cell: empty for null, JSON for lists, `true` and `false`."""
    value = plain(value)
    if value is None:
        return ""
    return guarded(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_jsonl(file: pq.ParquetFile, out: TextIO) -> None:
    for record in _records(file):
        # ASCII only: a terminal that shows the file meets no escape sequence and no hidden character.
        out.write(json.dumps(plain(record), ensure_ascii=True, allow_nan=False))
        out.write("\n")
