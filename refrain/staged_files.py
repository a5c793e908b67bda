"""The files of a log as staged tables: those that the store has, and the others read, cut and kept."""

import logging
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from refrain.artifacts import Store
from refrain.config import IngestConfig
from refrain.detection import Formats, reading_of
from refrain.door import Door, open_door
from refrain.errors import InputError
from refrain.intake import Tally
from refrain.joined_facts import joined_identities, write_joined
from refrain.kept import KeptTables, Unit, cut_units
from refrain.lines import Advance, TornFileError
from refrain.logs import LogFile, digests_of
from refrain.progress import Progress
from refrain.quarantine import TORN, Quarantine
from refrain.records import Portion, read_portions
from refrain.slices import Slice
from refrain.staging import Rules, Task, cut_tasks, stage_all, worker_count, write_staged
from refrain.system_lookup import open_systems, systems_identity
from refrain.tombstones import NO_TOMBSTONES, Tombstones

logger = logging.getLogger(__name__)


@dataclass
class Staged:
    """The staged tables of a log: the files of `rows` in the order of the log, beside which the others lie, and those
    of `refused`; what became of the records, how many files are torn, and how many the store had."""

    rows: list[Path] = field(default_factory=list)
    refused: list[Path] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    torn: int = 0
    reused: int = 0


@dataclass
class _Reading:
    """A unit on its way: where its tables go, and how far it is."""

    unit: Unit
    folder: Path
    refused: Quarantine
    tally: Tally = field(default_factory=Tally)
    tasks: int = 0  # given out
    staged: int = 0  # of these
    torn: int = 0
    read: bool = False  # to its end


def stage_files(
    files: Sequence[LogFile],
    work: Path,
    config: IngestConfig,
    *,
    store: Store,
    progress: Progress,
    part: Slice | None,
    digests: Mapping[str, str] | None,
    formats: Formats,
    stones: Tombstones = NO_TOMBSTONES,
) -> Staged:
    """The staged tables of the files without what was purged, in `work` or, where they are kept, in the store.

    InputError for a torn file, unless the config keeps what came before, for a folder that is named by a value which
    is to be hashed, and for a table of systems that cannot be read.
    """
    door = open_door(config)
    if door is not None:
        door.check_names((file.name for file in files), reading_of(config).sources)
    kept = None
    if not config.keep_staged:
        digests = {}
    else:
        if digests is None:
            digests = {file.name: digest for file, digest in digests_of(files)}
        joined = joined_identities(files, formats, digests)
        kept = KeptTables(store.staged, config, store.key, part, formats, joined, door, systems_identity(config))
    staging = _Staging(work, config, store.key, part, kept, digests, formats, stones, door)
    units = list(cut_units(files, part, digests, config.staged_unit_kib << 10))
    new = staging.find(units)
    if new:
        staging.join(files, progress)
    with progress.task("reading bytes of the log", sum(unit.size for unit in units)) as advance:
        return staging.stage(units, new, advance)


class _Staging:
    """Stages the units that are not kept, and keeps them."""

    def __init__(
        self,
        work: Path,
        config: IngestConfig,
        key: bytes,
        part: Slice | None,
        kept: KeptTables | None,
        digests: Mapping[str, str],
        formats: Formats,
        stones: Tombstones,
        door: Door | None,
    ) -> None:
        self._work, self._config, self._kept, self._digests, self._formats = work, config, kept, digests, formats
        self._rules = Rules(config, reading_of(config), key, part, stones, door)
        self._found = Staged()
        self._places: dict[int, Path] = {}  # by unit
        self._waiting: deque[tuple[int, _Reading]] = deque()

    def find(self, units: Sequence[Unit]) -> list[int]:
        """The positions of the units that are not kept and have to be read."""
        new = []
        for at, unit in enumerate(units):
            # A purge removes the units that hold what it purges; until it is finished, any may.
            there = self._kept.find(unit, self._digests) if self._kept and self._rules.stones.finished else None
            if there is None:
                new.append(at)
                continue
            self._places[at], tally, torn = there
            self._found.tally.add(tally)
            self._found.torn += torn
            self._found.reused += len(unit.files)
        return new

    def join(self, files: Sequence[LogFile], progress: Progress) -> None:
        """Nothing; what the records of these files say of one another can be looked up then, and the systems of their
        addresses."""
        joined = write_joined(files, self._formats, self._rules.reading, self._work, progress)
        reading, systems = replace(self._rules.reading, joined=joined), open_systems(self._config)
        self._rules = replace(self._rules, reading=reading, systems=systems)

    def stage(self, units: Sequence[Unit], new: Sequence[int], advance: Advance) -> Staged:
        """The tables of all units, of which `new` are read; `advance` is told the bytes of files that were read or need
        not be."""
        advance(sum(units[at].size for at in self._places))
        workers = worker_count(self._config, sum(units[at].size for at in new))
        given: deque[_Reading] = deque()  # by task
        for tally in stage_all(self._tasks(units, new, given, advance), self._rules, workers):
            reading = given.popleft()
            reading.tally.add(tally)
            reading.staged += 1
            self._finish()
        self._finish()
        for at in range(len(units)):
            self._found.rows += sorted(self._places[at].glob("rows-*.parquet"))
            self._found.refused += sorted(self._places[at].glob("refused-*.parquet"))
        if self._kept:
            removed = self._kept.trim(self._config.staged_mib << 20)
            logger.info("staged tables of %d files were there, %d units removed", self._found.reused, removed)
        return self._found

    def _tasks(
        self, units: Sequence[Unit], new: Sequence[int], given: "deque[_Reading]", advance: Advance
    ) -> Iterator[Task]:
        for at in new:
            folder = self._work / f"unit-{at:08d}"
            folder.mkdir()
            reading = _Reading(units[at], folder, Quarantine(self._config.quarantine_content_characters))
            self._waiting.append((at, reading))
            portions = self._portions(reading, advance)
            for task in cut_tasks(portions, self._rules.reading, folder, by_day=units[at].by_day):
                given.append(reading)
                reading.tasks += 1
                yield task
            reading.read = True

    def _portions(self, reading: _Reading, advance: Advance) -> Iterator[Portion]:
        """The portions of a unit's files; what cannot be read to its end ends the run or is counted."""
        for file in reading.unit.files:
            rows = 0
            try:
                for portion in read_portions(file, self._rules.reading, advance, self._formats.form(file)):
                    yield portion
                    rows = portion.before + portion.records
            except TornFileError:
                if self._config.torn_files == "stop":
                    told = f"it is torn or damaged (whole records before: {rows:,})"
                    raise InputError(
                        f"{file.name} cannot be read to its end: {told}",
                        hint='send the file again, or keep what came before with --set ingest.torn_files="keep"',
                    ) from None
                reading.torn += 1
                reading.refused.add(file.name, rows + 1, "", TORN, None, None)

    def _finish(self) -> None:
        """Keeps the units that are done, in order."""
        while self._waiting and self._waiting[0][1].read and self._waiting[0][1].staged == self._waiting[0][1].tasks:
            at, done = self._waiting.popleft()
            done.tally.refused.update(done.refused.reasons)
            if done.torn:
                write_staged(done.folder, "refused", done.tasks, done.refused.drain())
            self._places[at] = done.folder
            if self._kept:
                self._places[at] = self._kept.keep(done.unit, self._digests, done.folder, done.tally, done.torn)
            self._found.tally.add(done.tally)
            self._found.torn += done.torn
