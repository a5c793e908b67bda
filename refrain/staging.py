"""Portions of a log as tables on disk, staged here or in worker processes.

A task is a few consecutive portions and leaves files of its own, so workers share nothing, and which process staged a
task shows in no byte.
"""

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.batches import Reading
from refrain.columns import LABELS
from refrain.config import IngestConfig
from refrain.cores import core_count
from refrain.door import Door
from refrain.errors import RefrainError, WorkerError, WorkerLostError, fault_place
from refrain.heap import keep_freed
from refrain.intake import Intake, Tally
from refrain.passages import segment_digests
from refrain.records import Portion
from refrain.slices import Sieve, Slice
from refrain.system_lookup import SystemLookup
from refrain.tombstones import NO_TOMBSTONES, Graves, Tombstones

_BATCHES = 8  # of records in a task, fewer where they are large: a task is some tenths of a second
_LABELS = ["file", "account_id", "exit_network", *LABELS]  # of the staged columns, those whose values repeat
_GARBAGE = 500_000  # new objects between two searches for cycles, of which hardly any are made
_WAITING = 2  # tasks for each worker that are read ahead: one in its hands, one at the door


@dataclass(frozen=True)
class Task:
    """Consecutive portions, the folder that their tables go to, and the task's number there in the order of the log.

    `by_day` says that the days of a slice are kept elsewhere: these portions are of a folder of one day."""

    folder: Path
    number: int
    portions: tuple[Portion, ...]
    by_day: bool = False


@dataclass(frozen=True)
class Rules:
    """What staging needs beside the records: how they are read, which of them belong, which were purged, what of them
    is hashed, and what systems their addresses are of."""

    config: IngestConfig
    reading: Reading
    key: bytes
    part: Slice | None
    stones: Tombstones = NO_TOMBSTONES
    door: Door | None = None
    systems: SystemLookup | None = None


class Stager:
    """Stages tasks."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._intakes = {by_day: self._intake(part_of(rules.part, by_day=by_day)) for by_day in (False, True)}

    def _intake(self, part: Slice | None) -> Intake:
        config, key = self._rules.config, self._rules.key
        sieve = None if part is None else Sieve(part, partial(segment_digests, config=config, key=key))
        graves = None if self._rules.stones.empty else Graves(self._rules.stones, key)
        return Intake(config, self._rules.reading.clock, key, sieve, graves, self._rules.door, self._rules.systems)

    def stage(self, task: Task) -> Tally:
        """What became of the records; the tables then lie in the folder as `<name>-<number>.parquet`."""
        intake = self._intakes[task.by_day]
        for portion in task.portions:
            intake.take(portion.file, portion.batch(self._rules.reading))
        tables, tally = intake.drain()
        for name, table in tables.items():
            write_staged(task.folder, name, task.number, table)
        return tally


def part_of(part: Slice | None, *, by_day: bool) -> Slice | None:
    """What of a slice is sifted while records are staged: without its days where `by_day`; None for no condition."""
    if part is None or not by_day:
        return part
    rest = replace(part, first=None, last=None)
    return None if rest.empty else rest


def write_staged(folder: Path, name: str, number: int, table: pa.Table) -> None:
    """Nothing; one file more of the table `name` then lies in the folder."""
    pq.write_table(
        table,
        folder / f"{name}-{number:08d}.parquet",
        compression="zstd",
        compression_level=3,  # kept for other nights: a seventh smaller than at 1, for a microsecond a record
        use_dictionary=_LABELS if name == "rows" else False,
        write_statistics=False,
    )


def cut_tasks(portions: Iterable[Portion], reading: Reading, folder: Path, *, by_day: bool = False) -> Iterator[Task]:
    """The portions in tasks of `_BATCHES` full ones, fewer where these hold more bytes than a batch may."""
    held: list[Portion] = []
    records = size = number = 0
    for portion in portions:
        held.append(portion)
        records += portion.records
        size += portion.size
        if records >= _BATCHES * reading.batch_rows or size >= reading.batch_bytes:
            yield Task(folder, number, tuple(held), by_day)
            held, records, size, number = [], 0, 0, number + 1
    if held:
        yield Task(folder, number, tuple(held), by_day)


def worker_count(config: IngestConfig, size: int) -> int:
    """How many processes beside this one stage a log of `size` bytes; 0 where this one does it alone."""
    wanted = config.workers or core_count()
    if wanted == 1 or size < config.worker_mib << 20 or multiprocessing.current_process().daemon:
        return 0
    return wanted


def stage_all(tasks: Iterator[Task], rules: Rules, workers: int) -> Iterator[Tally]:
    """What became of each task, in order; at most `_WAITING` tasks a worker are held."""
    if not workers:
        yield from map(Stager(rules).stage, tasks)
        return
    # Spawned: a fork would copy locks that other threads hold.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(rules,))
    try:
        waiting: deque[Future[Tally | Exception]] = deque()
        for task in tasks:
            waiting.append(pool.submit(_stage, task))
            if len(waiting) >= workers * _WAITING:
                yield _tally(waiting.popleft())
        while waiting:
            yield _tally(waiting.popleft())
    except BrokenProcessPool:
        raise WorkerLostError(
            "a worker process of ingest was killed or ended without a word",
            hint="give the same command again: files that were staged are kept. Where the system killed it for want of "
            "memory (dmesg says so), --set ingest.workers=1 or a smaller ingest.batch_mib needs less; a script that "
            "calls refrain needs its main guard",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _tally(future: "Future[Tally | Exception]") -> Tally:
    found = future.result()
    if isinstance(found, Exception):
        raise found
    return found


_stagers: list[Stager] = []  # a worker process has one


def _start(rules: Rules) -> None:
    gc.set_threshold(_GARBAGE)
    keep_freed()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends its workers
    threading.Thread(target=_follow_parent, daemon=True).start()
    _stagers.append(Stager(rules))


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _stage(task: Task) -> Tally | Exception:
    try:
        return _stagers[0].stage(task)
    except Exception as error:  # noqa: BLE001 (whatever it is, the parent raises it)
        return _told(error)


def _told(error: Exception) -> Exception:
    """The error as the parent may raise it: without a text that could quote the log."""
    if isinstance(error, RefrainError):
        return error
    if isinstance(error, OSError) and error.errno is not None:
        return OSError(error.errno, os.strerror(error.errno), error.filename)  # a full disk, as it is told elsewhere
    return WorkerError(fault_place(error))
