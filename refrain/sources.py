"""The files of a log: what a file name, a folder or a pattern stands for, in one order everywhere."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refrain.errors import InputError

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")


@dataclass(frozen=True)
class SourceFile:
    """One file of a log; `name` is relative to what was asked for, so it is the same on every machine."""

    name: str
    path: Path

    @property
    def format(self) -> str:
        """The suffix that says how to read it, one of FORMATS."""
        return _suffixes(self.path)[0]

    @property
    def compression(self) -> str:
        """The suffix of its compression, one of COMPRESSIONS, or nothing."""
        return _suffixes(self.path)[1]


def source_files(sources: Sequence[str]) -> list[SourceFile]:
    """The files that `sources` (files, folders, patterns) stand for, each once, sorted by name.

    A folder is searched at any depth; parts of the path below it (`day=2026-01-01/`) stay in the name. Files and
    folders that begin with "." or "_" are the marks of other programs and are left out there. InputError where a
    source gives no file or names one of an unknown kind.
    """
    found: dict[Path, SourceFile] = {}
    for source in sources:
        given = Path(source)
        if given.is_dir():
            files = [SourceFile(path.relative_to(given).as_posix(), path) for path in _below(given)]
        elif given.is_file():
            if not _suffixes(given)[0]:
                raise InputError(f"cannot tell the format of {source}", hint=f"known: {', '.join(FORMATS)} (.gz, .zst)")
            files = [SourceFile(given.name, given)]
        else:
            files = _matches(source)
        if not files:
            raise InputError(
                f"no log file at {source}",
                hint=f"a file, a folder or a quoted pattern of {', '.join(FORMATS)}, also with .gz or .zst",
            )
        for file in files:
            found.setdefault(file.path.resolve(), file)
    return sorted(found.values(), key=lambda file: file.name)


def _matches(pattern: str) -> list[SourceFile]:
    """The files that match `pattern`, named relative to its part before the first wildcard."""
    fixed: list[str] = []
    for part in Path(pattern).parts:
        if glob.has_magic(part):
            break
        fixed.append(part)
    base = Path(*fixed)
    files: list[SourceFile] = []
    for match in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 (Path.glob takes no absolute pattern)
        path = Path(match)
        inside = _below(path) if path.is_dir() else [path] if path.is_file() and _suffixes(path)[0] else []
        files += [SourceFile(file.relative_to(base).as_posix(), file) for file in inside]
    return files


def _below(folder: Path) -> list[Path]:
    """The readable files in `folder` at any depth, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and _suffixes(path)[0]
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    )


def _suffixes(path: Path) -> tuple[str, str]:
    """The format and the compression that the name of `path` says, each empty where it says none."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return (suffixes[-1] if suffixes and suffixes[-1] in FORMATS else "", compression)
