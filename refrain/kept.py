"""Staged tables of a log's files, kept so that no file is cut twice: a night reads what is new in its window.

A unit is a file, or several small ones that follow one another. Its tables lie in the store under the digests of all
that shapes them: the files' bytes, names and formats, the settings that staging follows, the key, the slice, the code.
"""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from refrain.artifacts import MANIFEST, digest_json, discard, seal, staged, sweep, whole_manifest
from refrain.code import code_digest
from refrain.config import IngestConfig, content_fields, speed_fields
from refrain.detection import OWN_COLUMNS, Formats
from refrain.door import Door
from refrain.intake import Tally
from refrain.key import key_id
from refrain.logs import LogFile
from refrain.settings import plain
from refrain.slices import Slice, names_a_day
from refrain.staging import part_of

_JOINING = ("owners", "max_structural_error_share", "memory_limit_mib")  # settings that staging does not look at
NOT_JOINED: Mapping[str, str] = {}
_HEX_DIGITS = 32  # of a file's digest


@dataclass(frozen=True)
class Unit:
    """Consecutive files of a log, staged and kept together; `by_day` as in a Task."""

    files: tuple[LogFile, ...]
    by_day: bool

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self.files)


def cut_units(
    files: Sequence[LogFile], part: Slice | None, digests: Mapping[str, str], unit_bytes: int
) -> Iterator[Unit]:
    """The files in units of about `unit_bytes`; a file as large is one alone. Without digests nothing is kept, and
    units are as large as they can be.

    A small file ends a unit where its digest, read as a fraction, is below its share of a unit: the files alone decide
    on that, so a window that moves on leaves the units in its middle as they were.
    """
    held: list[LogFile] = []
    for file in files:
        digest = digests.get(file.name)
        alone = digest is not None and file.size >= unit_bytes
        if held and (alone or _by_day(held[0], part) != _by_day(file, part)):
            yield Unit(tuple(held), _by_day(held[0], part))
            held = []
        held.append(file)
        if alone or (digest is not None and int(digest, 16) * unit_bytes < file.size << 4 * _HEX_DIGITS):
            yield Unit(tuple(held), _by_day(file, part))
            held = []
    if held:
        yield Unit(tuple(held), _by_day(held[0], part))


def _by_day(file: LogFile, part: Slice | None) -> bool:
    return part is not None and names_a_day(file.name)


class KeptTables:
    """The units' tables in a folder of the store. Only who holds the writers' lock may have one.

    `systems` stands for the table of autonomous systems, "" for none.
    """

    def __init__(
        self,
        folder: Path,
        config: IngestConfig,
        key: bytes,
        part: Slice | None,
        formats: Formats = OWN_COLUMNS,
        joined: Mapping[str, str] = NOT_JOINED,
        door: Door | None = None,
        systems: str = "",
    ) -> None:
        self._folder, self._key, self._part, self._formats = folder, key, part, formats
        self._joined, self._door = joined, door
        left_out = {*speed_fields(config), *content_fields(config), *_JOINING}
        self._config = {name: value for name, value in plain(config).items() if name not in left_out}
        if systems:
            self._config["asn_table"] = systems
        self._code = code_digest("refrain.kept")
        self._used: set[Path] = set()
        sweep(folder)

    def find(self, unit: Unit, digests: Mapping[str, str]) -> tuple[Path, Tally, int] | None:
        """The folder of a unit's tables, what became of its records, and its torn files; None where it is not there
        whole."""
        target = self._target(unit, digests)
        manifest = whole_manifest(target)
        if manifest is None:
            return None
        self._used.add(target)
        os.utime(target / MANIFEST)
        counts = dict(manifest.counts)
        torn = counts.pop("torn_files")
        return target, Tally(**counts, refused=_refused(target)), torn

    def keep(self, unit: Unit, digests: Mapping[str, str], tables: Path, tally: Tally, torn: int) -> Path:
        """The folder that then holds the tables, which are moved from `tables`."""
        target = self._target(unit, digests)
        with staged(target) as out:
            for path in sorted(tables.iterdir()):
                shutil.move(path, out)
            seal(
                out,
                stage="ingest",
                noun="staged",
                address=target.name,
                inputs=self._inputs(unit, digests),
                config=self._config,
                code=self._code,
                counts={
                    "staged": tally.staged,
                    "outside": tally.outside,
                    "purged": tally.purged,
                    "expired": tally.expired,
                    "passed": tally.passed,
                    "naive_times": tally.naive_times,
                    "torn_files": torn,
                },
            )
        self._used.add(target)
        return target

    def trim(self, limit: int) -> int:
        """How many units were removed: those used longest ago, not those of this run, until `limit` bytes are left."""
        ages = {path.parent: path.stat().st_mtime_ns for path in self._folder.glob(f"*/{MANIFEST}")}
        sizes = {unit: sum(path.stat().st_size for path in unit.iterdir()) for unit in ages}
        total, removed = sum(sizes.values()), 0
        for unit in sorted(ages.keys() - self._used, key=lambda unit: (ages[unit], unit.name)):
            if total <= limit:
                break
            discard(unit)
            total -= sizes[unit]
            removed += 1
        return removed

    def _inputs(self, unit: Unit, digests: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(f"{digests[file.name]} {file.name}{self._read_as(file)}" for file in unit.files)

    def _read_as(self, file: LogFile) -> str:
        """How a file is read, and with what all files of its format say where that joins its records."""
        joined = self._joined.get(self._formats.form(file))
        return self._formats.identity(file) + (f" with {joined}" if joined else "")

    def _target(self, unit: Unit, digests: Mapping[str, str]) -> Path:
        part = part_of(self._part, by_day=unit.by_day)
        identity: dict[str, Any] = {
            "inputs": self._inputs(unit, digests),
            "config": self._config,
            "code": self._code,
            "key": key_id(self._key),
            "slice": part.digest(self._key) if part else None,
            **({"door": self._door.name} if self._door else {}),
        }
        return self._folder / digest_json(identity)


def _refused(folder: Path) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(folder.glob("refused-*.parquet")):
        table = pq.ParquetFile(path).read(columns=["reason", "field"])
        found.update(zip(table["reason"].to_pylist(), table["field"].to_pylist(), strict=True))
    return found
