"""A search through every file of an outputs folder, unpacked, for what a purge should have left nowhere.

Files are searched as bytes, and what they hold again as it was written: tables by column, JSON and HTML with their
escapes undone, `.gz` and `.zst` decompressed, databases row by row.
"""

import gzip
import html
import io
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.needles import Needles, joined
from refrain.progress import Progress
from refrain.purge_seen import ID_COLUMNS

DATABASES = (".sqlite", ".sqlite3", ".db")
_HEAD = b"SQLite format 3\x00"


@dataclass(frozen=True)
class Sought:
    """What must be nowhere: `needles` in any bytes, `ids` as a whole value of an id column, however short they are."""

    needles: Needles
    ids: frozenset[str]


@dataclass(frozen=True)
class Hit:
    """A file that still holds something, how many different things, and whether it could not be read instead."""

    path: Path
    found: int
    unreadable: bool = False


def search_outputs(outputs: Path, sought: Sought, progress: Progress) -> tuple[list[Hit], int]:
    """The files below `outputs` that hold something sought, or cannot be searched, and how many were searched. A file
    that several names stand for is searched once and told by each of its names."""
    files = [path for path in sorted(outputs.rglob("*")) if path.is_file() and not path.is_symlink()]
    hits: list[Hit] = []
    known: dict[tuple[int, int], Hit | None] = {}
    with progress.task("searching what is left", len(files)) as advance:
        for path in files:
            advance(1)
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            place = (state.st_dev, state.st_ino)
            if place not in known:
                known[place] = search_file(path, sought)
            hit = known[place]
            if hit is not None:
                hits.append(Hit(path, hit.found, hit.unreadable))
    return hits, len(files)


def search_file(path: Path, sought: Sought) -> Hit | None:
    """What a file holds of what is sought; None where it holds nothing."""
    try:
        if path.suffix == ".parquet":  # its columns are all that it holds
            found = _in_table(path, sought)
        else:
            with path.open("rb") as file:
                found = sought.needles.within_file(file)
            found |= _unpacked(path, path.suffix, sought)
    except (OSError, EOFError, ValueError, pa.ArrowException, sqlite3.Error, RecursionError):
        return Hit(path, 0, unreadable=True)
    return Hit(path, len(found)) if found else None


def _unpacked(path: Path, suffix: str, sought: Sought) -> set[bytes]:
    if suffix in (".gz", ".zst"):
        with _opened(path, suffix) as file:
            data = file.read()
        found = sought.needles.within(data)
        inner = Path(path.stem).suffix
        return found | (_in_text(data, inner, sought) if inner in _READERS else set())
    if suffix in _READERS:
        return _in_text(path.read_bytes(), suffix, sought)
    with path.open("rb") as file:
        head = file.read(len(_HEAD))
    return _in_database(path, sought) if head == _HEAD else set()


def _opened(path: Path, suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.open(path)
    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def _in_table(path: Path, sought: Sought) -> set[bytes]:
    found: set[bytes] = set()
    ids = pa.array(sorted(sought.ids), pa.string())
    file = pq.ParquetFile(path)
    columns = [column.name for column in file.schema_arrow if _speaks(column.type)]
    for batch in file.iter_batches(columns=columns):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            values = column
            while pa.types.is_list(values.type):
                values = values.flatten()
            if name not in ID_COLUMNS:
                for part in joined(values.to_pylist()):
                    found |= sought.needles.within(part)
            else:  # compared whole: one may be a part of another
                hits = values.cast(pa.string()).filter(pc.is_in(values.cast(pa.string()), ids))
                found.update(text.encode() for text in hits.to_pylist())
    return found


def _speaks(kind: pa.DataType) -> bool:
    while pa.types.is_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _in_text(data: bytes, suffix: str, sought: Sought) -> set[bytes]:
    found: set[bytes] = set()
    for part in joined(_READERS[suffix](data)):
        found |= sought.needles.within(part)
    return found


def _json_texts(data: bytes) -> Iterator[str]:
    yield from _texts(json.loads(data or b"null"))


def _jsonl_texts(data: bytes) -> Iterator[str]:
    for line in io.BytesIO(data):
        if line.strip():
            yield from _texts(json.loads(line))


def _html_texts(data: bytes) -> Iterator[str]:
    yield html.unescape(data.decode("utf-8", "replace"))


def _toml_texts(data: bytes) -> Iterator[str]:
    import tomllib

    yield from _texts(tomllib.loads(data.decode("utf-8")))


_READERS: dict[str, Callable[[bytes], Iterator[str]]] = {
    ".json": _json_texts,
    ".jsonl": _jsonl_texts,
    ".html": _html_texts,
    ".toml": _toml_texts,
}


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of JSON; without recursion, as its depth is the file's."""
    waiting = [value]
    while waiting:
        at = waiting.pop()
        if isinstance(at, str):
            yield at
        elif isinstance(at, dict):
            waiting += [*at.keys(), *at.values()]
        elif isinstance(at, list):
            waiting += at


def _in_database(path: Path, sought: Sought) -> set[bytes]:
    found: set[bytes] = set()
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        for table, column in text_columns(connection):
            rows = connection.execute(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL')
            while portion := rows.fetchmany(4096):
                values = [row[0] for row in portion if isinstance(row[0], bytes)]
                found |= sought.needles.within(b"\0".join(values))
    return found


def text_columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """The tables of a database and their columns, views and what SQLite keeps for itself left out."""
    sql = """
        SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p
        WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite%' ORDER BY 1, 2
    """
    return [(_name(table), _name(column)) for table, column in connection.execute(sql).fetchall()]


def _name(value: bytes | str) -> str:
    return (value.decode() if isinstance(value, bytes) else value).replace('"', '""')
