"""Logs as tables: requests, the segments in them, accounts, owners, distinct texts, and what could not be used.

`ingest_logs` reads once (refrain.staging) and then numbers, merges and counts over the whole log in SQL that spills to
disk, so that memory grows with accounts and not with requests.

Duplicates. Two records with one request_id and equal content are one request, counted once (`merged`). With different
content the first by (file name, record) stays and the others are quarantined. A record without a request_id gets the
keyed digest of its content, so identical records of the same microsecond are one request.
"""

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from refrain.artifacts import Store
from refrain.batches import Reading
from refrain.config import IngestConfig
from refrain.errors import InputError
from refrain.intake import Tally
from refrain.lines import Advance, TornFileError
from refrain.logs import LogFile, discover
from refrain.numbering import write_tables
from refrain.progress import Progress
from refrain.quarantine import TORN, Quarantine
from refrain.queries import database
from refrain.records import Portion, read_portions
from refrain.slices import Sieve, Slice, choose_files
from refrain.staged_tables import TABLES
from refrain.staging import Rules, cut_tasks, stage_all, worker_count, write_staged
from refrain.times import Clock, clock

logger = logging.getLogger(__name__)


def ingest_logs(
    sources: Sequence[str],
    out: Path,
    config: IngestConfig,
    *,
    store: Store,
    progress: Progress,
    part: Slice | None = None,
) -> dict[str, int]:
    """Counts of what was read, kept, merged and quarantined (read is their sum) and of what `out` then holds.

    `out` gets requests/, request_segments/, segments, accounts, owners, texts and quarantine.parquet and counts.json.
    With `part` only its requests are read; the others are counted as `outside`, and what cannot be used is quarantined
    whether or not it would have belonged.

    InputError where there is no record, no usable one, a torn file (unless the config keeps those), or too large a
    share of structurally broken records.
    """
    by = clock(config.timezone, config.earliest_year, config.latest_year)
    work = out / ".work"
    work.mkdir()
    try:
        counts = _read(sources, work, config, by, store.key, progress, part)
        with database(config.memory_limit_mib, work) as connection:
            for name, schema in TABLES.items():
                write_staged(work, name, 0, schema.empty_table())  # so that there is one
                paths = [str(path).replace("'", "''") for path in work.glob(f"{name}-*.parquet")]
                files = ", ".join(f"'{path}'" for path in paths)
                connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{files}])")
            counts |= write_tables(connection, out, config, counts, progress)
    finally:
        shutil.rmtree(work)
    (out / "counts.json").write_text(json.dumps(counts, sort_keys=True, indent=1) + "\n", encoding="ascii")
    logger.info("%s", ", ".join(f"{name} {counts[name]:,}" for name in ("read", "kept", "merged", "quarantined")))
    return counts


def _read(
    sources: Sequence[str],
    work: Path,
    config: IngestConfig,
    by: Clock,
    key: bytes,
    progress: Progress,
    part: Slice | None,
) -> dict[str, int]:
    """What the intake counted; the tables of `staged_tables.TABLES` then lie in `work`."""
    reading = Reading(
        names=config.columns,
        clock=by,
        batch_rows=config.batch_rows,
        batch_bytes=config.batch_mib << 20,
        record_bytes=config.max_record_mib << 20,
        csv_delimiter=config.csv_delimiter,
    )
    files = discover(sources) if part is None else choose_files(discover(sources), part)
    rules = Rules(work, config, reading, key, None if part is None else Sieve(part))
    total = sum(file.size for file in files)
    refused, tally, tasks = Quarantine(config.quarantine_content_characters), Tally(), 0
    with progress.task("reading bytes of the log", total) as advance:
        portions = _Portions(files, reading, advance, refused, stop=config.torn_files == "stop")
        for staged in stage_all(cut_tasks(portions, reading), rules, worker_count(config, total)):
            tally.add(staged)
            tasks += 1
    write_staged(work, "refused", tasks + 1, refused.drain())
    refused.reasons.update(tally.refused)
    read = tally.staged + refused.total
    seen = read + tally.outside
    if not seen:
        raise InputError("the log is empty: its files hold no record", hint=f"files read: {len(files)}")
    refused.check(seen, config.max_structural_error_share)
    if not tally.staged and tally.outside:
        raise InputError(f"none of the {seen:,} records belongs to the slice")
    if not tally.staged:
        raise InputError(f"none of the {read:,} records can be used: {refused.summary()}")
    return {
        "read": read,
        "quarantined": refused.total,
        "structural_errors": refused.structural,
        "naive_times": tally.naive_times,
        "files": len(files),
        "torn_files": portions.torn,
        # Not at zero: a slice that leaves nothing out leaves the very files of the whole log.
        **({"outside": tally.outside} if tally.outside else {}),
    }


class _Portions:
    """The portions of all files, one after the other; what cannot be read to its end ends the run or is counted."""

    def __init__(
        self, files: Sequence[LogFile], reading: Reading, advance: Advance, refused: Quarantine, *, stop: bool
    ) -> None:
        self._files, self._reading, self._advance, self._refused, self._stop = files, reading, advance, refused, stop
        self.torn = 0

    def __iter__(self) -> Iterator[Portion]:
        for file in self._files:
            rows = 0
            try:
                for portion in read_portions(file, self._reading, self._advance):
                    yield portion
                    rows = portion.before + portion.records
            except TornFileError:
                if self._stop:
                    told = f"it is torn or damaged (whole records before: {rows:,})"
                    raise InputError(
                        f"{file.name} cannot be read to its end: {told}",
                        hint='send the file again, or keep what came before with --set ingest.torn_files="keep"',
                    ) from None
                self.torn += 1
                self._refused.add(file.name, rows + 1, "", TORN, None, None)
