"""The files of a log: what a file name, a folder or a pattern stands for, in one order everywhere."""

import glob
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from refrain.artifacts import digest_file
from refrain.config import PlacesConfig
from refrain.errors import InputError
from refrain.place_urls import Place, is_url, shown_url
from refrain.remote import REQUESTS, RemoteFile, Wanted, find_remote, marks
from refrain.settings import load_settings
from refrain.text import repair

FORMATS = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
_ENDINGS = f"known: {', '.join(FORMATS)}, also with .gz or .zst (Parquet compresses inside)"


Value = TypeVar("Value")


@dataclass(frozen=True)
class LogFile:
    """One file of a log; `name` is relative to what was asked for, so it is the same on every machine.

    One in a bucket is `remote`, and its `path` is bucket and key: no file of this machine. Open it with `open`.
    """

    name: str
    path: Path
    remote: RemoteFile | None = None

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
        """Bytes on disk, or in the bucket."""
        return self.path.stat().st_size if self.remote is None else self.remote.size

    def open(self, ahead: int = 0) -> AbstractContextManager[Any]:
        """The bytes as a file of Arrow's; from a bucket at least `ahead` at a time, for who reads from start to end."""
        if self.remote is not None:
            return self.remote.open(ahead)
        import pyarrow as pa

        file: AbstractContextManager[Any] = pa.OSFile(str(self.path), "rb")
        return file

    def digest(self) -> str:
        """128 bits in hex that stand for the content: of the bytes, or in a bucket of what the service says of them."""
        return digest_file(self.path) if self.remote is None else self.remote.digest()


def discover(sources: Sequence[str], places: PlacesConfig | None = None, wanted: Wanted | None = None) -> list[LogFile]:
    """The files that `sources` (files, folders, patterns, URLs) stand for, each once, sorted by name; names are unique.

    A folder is searched at any depth; parts of the path below it (`day=2026-01-01/`) stay in the name. Files and
    folders that begin with "." or "_" are the marks of other programs and are left out there. InputError where a
    source gives no file or names one of an unknown kind. In a bucket only folders that are `wanted` are looked into; a
    source may have none of them. `places` are the defaults where they are not given.
    """
    found: dict[Path | Place, LogFile] = {}
    taken: set[str] = set()
    for at, source in enumerate(sources):
        given = Path(source)
        if is_url(source):
            logs, left_out = _far(source, places or load_settings().config.places, wanted)
            if left_out and not logs:
                continue
        elif given.is_dir():
            logs = _below(given, given)
        elif given.is_file():
            if not _endings(given)[0]:
                raise InputError(f"cannot tell the format of {source}", hint=_ENDINGS)
            logs = [_named(given, given.parent)]
        else:
            logs = _matches(source)
        if not logs:
            raise InputError(
                f"no log file at {shown_url(source)}", hint=f"a file, a folder or a quoted pattern; {_ENDINGS}"
            )
        for log in logs:
            place = log.path.resolve() if log.remote is None else log.remote.place
            if place not in found:
                # Two sources may hold files of one name; the place of the source keeps them apart.
                unique = replace(log, name=f"{at + 1}/{log.name}") if log.name in taken else log
                found[place] = unique
                taken.add(unique.name)
    return sorted(found.values(), key=lambda log: log.name)


def digests_of(logs: Sequence[LogFile]) -> Iterator[tuple[LogFile, str]]:
    """Each file and its digest; those in buckets, which are asked for many at a time, first."""
    far = [(log, log.remote) for log in logs if log.remote is not None]
    for (log, _), digest in zip(far, marks([remote for _, remote in far]), strict=True):
        yield log, digest
    for log in logs:
        if log.remote is None:
            yield log, log.digest()


def each(logs: Sequence[LogFile], work: Callable[[LogFile], Value]) -> Iterator[Value]:
    """What `work` makes of each file, in order; of many at a time where that waits for a network.

    Not where some are CSV, as the csv module has one limit for all threads.
    """
    if not any(log.remote for log in logs) or any(log.format == ".csv" for log in logs):
        yield from map(work, logs)
        return
    with ThreadPoolExecutor(REQUESTS) as pool:
        yield from pool.map(work, logs)


def _far(source: str, places: PlacesConfig, wanted: Wanted | None) -> tuple[list[LogFile], bool]:
    """The readable files of a URL, and whether some of its folders are not `wanted`."""
    found, left_out = find_remote(source, places, wanted)
    logs = [LogFile(repair(name)[0], Path(file.place.path), file) for name, file in found]
    return [log for log in logs if _endings(log.path)[0]], left_out


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
