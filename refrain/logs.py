"""The files of a log: what a file name, a folder or a pattern stands for, in one order everywhere."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from refrain.errors import InputError
from refrain.text import repair

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
_ENDINGS = f"known: {', '.join(FORMATS)}, also with .gz or .zst (Parquet compresses inside)"


@dataclass(frozen=True)
class LogFile:
    """One file of a log; `name` is relative to what was asked for, so it is the same on every machine."""

    name: str
    path: Path

    @property
    def format(self) -> str:
        """The ending that says how to read it, one of FORMATS."""
        return _endings(self.path)[0]

    @property
    def compression(self) -> str:
        """The ending of its compression, one of COMPRESSIONS, or nothing."""
        return _endings(self.path)[1]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.path.stat().st_size


def discover(sources: Sequence[str]) -> list[LogFile]:
    """The files that `sources` (files, folders, patterns) stand for, each once, sorted by name; names are unique.

    A folder is searched at any depth; parts of the path below it (`day=2026-01-01/`) stay in the name. Files and
    folders that begin with "." or "_" are the marks of other programs and are left out there. InputError where a
    source gives no file or names one of an unknown kind.
    """
    found: dict[Path, LogFile] = {}
    taken: set[str] = set()
    for at, source in enumerate(sources):
        given = Path(source)
        if given.is_dir():
            logs = _below(given, given)
        elif given.is_file():
            if not _endings(given)[0]:
                raise InputError(f"cannot tell the format of {source}", hint=_ENDINGS)
            logs = [_named(given, given.parent)]
        else:
            logs = _matches(source)
        if not logs:
            raise InputError(f"no log file at {source}", hint=f"a file, a folder or a quoted pattern; {_ENDINGS}")
        for log in logs:
            if log.path.resolve() not in found:
                # Two sources may hold files of one name; the place of the source keeps them apart.
                unique = replace(log, name=f"{at + 1}/{log.name}") if log.name in taken else log
                found[log.path.resolve()] = unique
                taken.add(unique.name)
    return sorted(found.values(), key=lambda log: log.name)


def _matches(pattern: str) -> list[LogFile]:
    """The files that match `pattern`, named relative to its part before the first wildcard."""
    fixed: list[str] = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    base = Path(*fixed)
    logs: list[LogFile] = []
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (Path.glob takes no absolute pattern)
        path = Path(match)
        if path.is_dir():
            logs += _below(path, base)
        elif _endings(path)[0]:
            logs.append(_named(path, base))
    return logs


def _below(folder: Path, base: Path) -> list[LogFile]:
    """The readable files in `folder` at any depth, named relative to `base`."""
    return [
        _named(path, base)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and _endings(path)[0]
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]


def _named(path: Path, base: Path) -> LogFile:
    return LogFile(repair(path.relative_to(base).as_posix())[0], path)  # a file's name may be any bytes


def _endings(path: Path) -> tuple[str, str]:
    """The format and the compression that a name says, each empty where it says none that can be read."""
    endings = [ending.lower() for ending in path.suffixes]
    compression = endings.pop() if endings and endings[-1] in COMPRESSIONS else ""
    form = endings[-1] if endings and endings[-1] in FORMATS else ""
    return ("" if form == ".parquet" and compression else form, compression)
