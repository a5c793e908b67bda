"""Files of a log in a bucket: which there are, what they are known by without being read, and their bytes."""

import fnmatch
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from refrain.artifacts import digest_json
from refrain.config import PlacesConfig
from refrain.errors import PlaceError
from refrain.file_systems import system_of, tried
from refrain.place_urls import Place, parse_place

Wanted = Callable[[str], bool]
"""Whether a folder of this name, relative to the source and ending in "/", may hold anything of interest."""

REQUESTS = 16  # at a time, for lists and marks: each waits for the network alone
_HIDDEN = (".", "_")
_MAGIC = "*?["
_MARKS = ("etag", "generation", "versionid")  # in any case: S3 and Azure have the first, Google the first two


@dataclass(frozen=True)
class RemoteFile:
    """One object: where it is, its bytes and its time when it was listed."""

    place: Place
    size: int
    mtime_ns: int
    config: PlacesConfig

    @cached_property
    def mark(self) -> str:
        """What the service calls these bytes (ETag, generation), asked for once; empty where it says nothing."""
        return tried(lambda: _mark(self._open()), self.place.url, self.config)

    def digest(self) -> str:
        """128 bits in hex that stand for the content without reading it: URL, mark, size and time."""
        return digest_json([self.place.url, self.mark, self.size, self.mtime_ns])

    @contextmanager
    def open(self, ahead: int = 0) -> Iterator[Any]:
        """The bytes as a file of Arrow's, read on from where the network broke off; with `ahead` at least so many at a
        time.

        PlaceError where they cannot be reached, or are not those that were listed: no failure of the network is ever
        taken for a torn file.
        """
        import pyarrow as pa

        file = tried(self._open, self.place.url, self.config)
        self.__dict__.setdefault("mark", _mark(file))  # what cached_property would ask for
        self._check(_mark(file))
        raw = _Stream(file, self)
        try:
            yield pa.PythonFile(io.BufferedReader(raw, ahead) if ahead else raw, mode="r")
        except BaseException:
            if raw.failure is not None:
                raise raw.failure from None
            raise
        finally:
            file.close()
        self._check(tried(lambda: _mark(self._open()), self.place.url, self.config))

    def _open(self) -> Any:
        return system_of(self.place, self.config).open_input_file(self.place.path)

    def _check(self, mark: str) -> None:
        if mark != self.mark:
            raise PlaceError(f"{self.place.url} changed while it was read", hint="run it again")


class _Stream(io.RawIOBase):
    """A file of Arrow's for Python that tries again where a read fails; `failure` is why it gave up."""

    def __init__(self, file: Any, of: RemoteFile) -> None:
        super().__init__()
        self._file, self._of, self._position = file, of, 0
        self.failure: PlaceError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._of.size}[whence]
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = max(0, min(len(buffer), self._of.size - self._position))
        if not wanted:
            return 0
        try:
            data = tried(lambda: self._file.read_at(wanted, self._position), self._of.place.url, self._of.config)
            if len(data) != wanted:
                raise PlaceError(f"{self._of.place.url} ended before its end", hint="run it again")
        except PlaceError as error:
            self.failure = error
            raise
        buffer[:wanted] = data
        self._position += wanted
        return wanted


def _mark(file: Any) -> str:
    said = file.metadata() or {}
    known = {_text(key).lower(): _text(value) for key, value in said.items()}
    return " ".join(known[name] for name in _MARKS if name in known)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def find_remote(source: str, config: PlacesConfig, wanted: Wanted | None) -> tuple[list[tuple[str, RemoteFile]], bool]:
    """The objects that a URL (of one, of a folder, or a pattern) stands for, each with its name relative to the URL's
    folder or fixed part, sorted; and whether folders were left out because they are not `wanted`.

    What begins with "." or "_" below that part is left out, as are names that no folder could hold.
    """
    place = parse_place(source)
    system = system_of(place, config)
    info = tried(lambda: system.get_file_info(place.path), place.url, config)
    if place.key and info.is_file:
        return [(place.key.rpartition("/")[2], _remote(place, info, config))], False
    fixed, pattern = _parts(place)
    walk = _Walk(fixed, config, pattern, wanted)
    found = sorted((name, _remote(place, info, config)) for name, info in walk.files())
    return [(name, file) for name, file in found], walk.left_out


def marks(files: Sequence[RemoteFile]) -> Iterator[str]:
    """The digests of some files, in their order; asks for many at a time."""
    with ThreadPoolExecutor(REQUESTS) as pool:
        yield from pool.map(RemoteFile.digest, files)


def _remote(place: Place, info: Any, config: PlacesConfig) -> RemoteFile:
    return RemoteFile(place.at(info.path), info.size or 0, info.mtime_ns or 0, config)


def _parts(place: Place) -> tuple[Place, tuple[str, ...]]:
    """The part of a place before its first wildcard, and the patterns behind it, one a folder."""
    parts = place.key.split("/") if place.key else []
    at = next((at for at, part in enumerate(parts) if any(sign in part for sign in _MAGIC)), len(parts))
    return Place(place.scheme, place.account, place.bucket, "/".join(parts[:at])), tuple(parts[at:])


class _Walk:
    """Lists a folder: as a whole where all of it counts, else folder by folder without those that cannot count."""

    def __init__(self, base: Place, config: PlacesConfig, pattern: tuple[str, ...], wanted: Wanted | None) -> None:
        self._base, self._config, self._pattern, self._wanted = base, config, pattern, wanted
        self._system = system_of(base, config)
        self.left_out = False

    def files(self) -> Iterator[tuple[str, Any]]:
        """Every file that counts, with its name relative to the base."""
        # At Google, Arrow lists a folder without the folders in it where no objects mark them: all names are listed.
        whole = self._base.scheme == "gs" or (self._wanted is None and not self._pattern)
        level = [self._base.path]
        with ThreadPoolExecutor(REQUESTS) as pool:
            while level:
                folders = []
                for folder, infos in zip(level, pool.map(lambda at: self._list(at, whole=whole), level), strict=True):
                    for info in infos:
                        # A key with "//" in it makes a folder that lists itself.
                        if not info.path.startswith(f"{folder}/"):
                            continue
                        name = info.path[len(self._base.path) + 1 :]
                        parts = name.split("/")
                        if any(not part or part.startswith(_HIDDEN) for part in parts):
                            continue
                        if info.is_file:
                            if _fits(parts, self._pattern) and (not whole or self._inside(parts)):
                                yield name, info
                        elif not whole and self._enters(name, parts):
                            folders.append(info.path)
                level = folders

    def _inside(self, parts: list[str]) -> bool:
        """Whether all folders of a file's name are wanted."""
        wanted = self._wanted
        inside = wanted is None or all(wanted("/".join(parts[:at]) + "/") for at in range(1, len(parts)))
        self.left_out = self.left_out or not inside
        return inside

    def _enters(self, name: str, parts: list[str]) -> bool:
        if self._wanted is not None and not self._wanted(f"{name}/"):
            self.left_out = True
            return False
        for part, pattern in zip(parts, self._pattern, strict=False):
            if pattern == "**":
                return True
            if not fnmatch.fnmatchcase(part, pattern):
                return False
        return True

    def _list(self, folder: str, *, whole: bool) -> list[Any]:
        from pyarrow import fs

        selector = fs.FileSelector(folder, allow_not_found=True, recursive=whole)
        url = self._base.at(folder).url
        found: list[Any] = tried(lambda: self._system.get_file_info(selector), url, self._config)
        return found


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a file's name, or that of a folder around it, fits a pattern."""
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_fits(parts[at:], pattern[1:]) for at in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])
