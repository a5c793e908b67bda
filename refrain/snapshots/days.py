"""Days of a query in folders `day=...` of Parquet, each whole or absent.

A folder's `_fetch.json`, which readers of logs leave out, says which query it holds and whether its day was over by
then. A day that is there, over and of the same query is not fetched again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import digest_file, digest_json, staged, sweep
from refrain.config import PlacesConfig
from refrain.errors import InputError
from refrain.locks import writer_lock
from refrain.progress import Progress
from refrain.slices import last_day_over
from refrain.snapshots.columns import columns_of, schema_of
from refrain.snapshots.source import Source, open_source

NOTE = "_fetch.json"
VERSION = 1
WHOLE = "snapshot"  # the folder of a query without days
_LOCK = "_fetch"
_DAY = timedelta(days=1)
_LEVEL = 3  # of zstd


@dataclass(frozen=True)
class Fetched:
    """A folder of a snapshot, its rows, and whether they were fetched now."""

    folder: Path
    rows: int
    fetched: bool


def fetch_days(
    url: str,
    query: str,
    to: Path,
    *,
    first: date | None = None,
    last: date | None = None,
    again: bool = False,
    now: datetime | None = None,
    config: PlacesConfig,
    progress: Progress,
) -> list[Fetched]:
    """The folders of the days of UTC from `first` to `last` (by default the last one that is over), or one folder for a
    query without :start and :end; each is fetched where it is not there, or `again`.

    InputError where days and query do not fit. A failure leaves the days before it whole and the others as they were.
    """
    now = now or datetime.now(UTC)
    with open_source(url, query, config) as source, writer_lock(to / _LOCK):
        sweep(to)
        days = _days(source, first, last, now)
        done = []
        with progress.task("fetching days", len(days)) as advance:
            for day in days:
                folder = to / (WHOLE if day is None else f"day={day}")
                over = day is None or day <= last_day_over(now)
                done.append(_fetch(source, folder, day, config, over=over, again=again))
                advance(1)
    return done


def _days(source: Source, first: date | None, last: date | None, now: datetime) -> list[date] | list[None]:
    if not source.by_day:
        if first or last:
            raise InputError(
                "the query has no days to choose from",
                hint="give it bounds: WHERE created_at >= :start AND created_at < :end",
            )
        return [None]
    if first is None:
        raise InputError("the query has :start and :end, but no first day is given", hint="--from 2026-09-01")
    last = last or last_day_over(now)
    if first > last:
        raise InputError(f"no day lies from {first} to {last}", hint="give the earlier day first")
    return [first + at * _DAY for at in range((last - first).days + 1)]


def _fetch(source: Source, folder: Path, day: date | None, config: PlacesConfig, *, over: bool, again: bool) -> Fetched:
    query = digest_json([VERSION, source.identity])
    held = None if again else _held(folder, query)
    # A query without days is about a moment: it is always fetched.
    if held is not None and day is not None:
        return Fetched(folder, held, fetched=False)
    with staged(folder) as out:
        writer = _Parts(out, config.fetch_mib << 20)
        try:
            for names, rows in source.read(day):
                writer.write(names, rows)
        finally:
            writer.close()
        files = {path.name: [path.stat().st_size, digest_file(path)] for path in sorted(out.iterdir())}
        note = {"version": VERSION, "query": query, "over": over, "rows": writer.rows, "files": files}
        (out / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="ascii")
    return Fetched(folder, writer.rows, fetched=True)


def _held(folder: Path, query: str) -> int | None:
    """The rows of a folder that holds a whole day of this query with its files as they were written; else None."""
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        note = json.loads((folder / NOTE).read_text(encoding="ascii"))
        files: dict[str, Any] = note["files"]
        whole = all((folder / name).stat().st_size == size for name, (size, _) in files.items())
        if whole and note["version"] == VERSION and note["query"] == query and note["over"] is True:
            return int(note["rows"])
    return None


class _Parts:
    """Writes rows as Parquet files `part-00000.parquet`, a new one where types grow; holds `limit` bytes at most."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._kinds: Mapping[str, str] = {}
        self._held: list[pa.Table] = []
        self._writer: pq.ParquetWriter | None = None
        self._files = 0
        self.rows = 0

    def write(self, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Takes some rows; the same names every time."""
        for some in _portions(rows, self._limit):
            kinds, columns = columns_of(names, some, self._kinds)
            if kinds != self._kinds:
                self._end()
                self._kinds = kinds
            self._held.append(pa.table(columns, schema=schema_of(names, kinds)))
            self.rows += len(some)
            if sum(table.nbytes for table in self._held) >= self._limit:
                self._flush()

    def close(self) -> None:
        """Nothing; what is held is written."""
        self._end()

    def _end(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _flush(self) -> None:
        if not self._held:
            return
        table = pa.concat_tables(self._held).combine_chunks()
        if self._writer is None:
            path = self._folder / f"part-{self._files:05d}.parquet"
            self._writer = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=_LEVEL)
            self._files += 1
        self._writer.write_table(table)
        self._held = []


def _portions(rows: Sequence[Sequence[Any]], limit: int) -> Iterator[Sequence[Sequence[Any]]]:
    """The rows a few at a time, so that no table of them is much larger than `limit` bytes."""
    start = size = 0
    for at, row in enumerate(rows):
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if size >= limit:
            yield rows[start : at + 1]
            start, size = at + 1, 0
    if start < len(rows):
        yield rows[start:]
