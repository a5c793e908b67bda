"""Folders that are whole or absent: written aside, synced, sealed by a manifest, renamed.

A result of a stage lies in `outputs/store/stages/<noun>/<address>/`. The address names what went in (inputs, config,
code); `manifest.json`, written last, lists what came out, with sizes and digests. It holds no time, no host and no
absolute path, so equal results are equal bytes.
"""

import hashlib
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from refrain.cores import core_count
from refrain.errors import StoreError
from refrain.key import load_key

MANIFEST = "manifest.json"
VERSION = 1  # of the manifest's form: another version is recomputed, not misread
READ_BYTES = 1 << 20
SYNCED_AT_ONCE = 8  # files that wait for the disk side by side
STAGING = ".staging-"
_CHECK = "check"  # the manifest's digest of itself
_SEEN_MOST = 1 << 16  # digests held in memory
_guard = threading.Lock()
_ours: set[str] = set()  # staging folders that a thread of this process is filling
_seen: dict[tuple[int, int, int, int], str] = {}  # device, inode, size, time of the last change -> digest

ENCODERS_VARIABLE = "REFRAIN_ENCODERS"


@dataclass(frozen=True)
class Store:
    """What outlasts a run: the key, the stages' results and the vectors."""

    root: Path

    @property
    def key(self) -> bytes:
        """The 32 bytes under which texts and accounts are hashed; made at first use."""
        return load_key(self.root)

    @property
    def stages(self) -> Path:
        """The folder of stage results by noun and address."""
        return self.root / "stages"

    @property
    def encoders(self) -> Path:
        """The folder of encoders distilled from others, by fingerprint: $REFRAIN_ENCODERS, which several stores may
        share as nothing of a log is in it, else one in the store."""
        shared = os.environ.get(ENCODERS_VARIABLE)
        return Path(shared) if shared else self.root / "encoders"

    @property
    def staged(self) -> Path:
        """The folder of staged tables of log files, by address."""
        return self.root / "staged"

    @property
    def vectors(self) -> Path:
        """The folder of vector shards by encoder fingerprint."""
        return self.root / "vectors"

    @property
    def graphs(self) -> Path:
        """The folder of days' neighbour graphs and of what lies between two days."""
        return self.root / "graphs"


@dataclass(frozen=True)
class FileEntry:
    """One file of an artifact."""

    size: int
    blake2b: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact is made of and what it holds."""

    stage: str
    noun: str
    address: str
    inputs: tuple[str, ...]
    config: Mapping[str, Any]
    code: str
    counts: Mapping[str, int]
    files: Mapping[str, FileEntry]

    @property
    def content(self) -> str:
        """Digest of the files' names, sizes and bytes, whatever they were computed from."""
        return digest_json({name: [entry.size, entry.blake2b] for name, entry in sorted(self.files.items())})

    def to_json(self) -> str:
        """The manifest as it stands on disk; equal manifests are equal text."""
        data = {"version": VERSION, **asdict(self)}
        return json.dumps({**data, _CHECK: digest_json(data)}, indent=1, ensure_ascii=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The manifest in `text`; ValueError where it is none of this version or not as it was written."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("version") != VERSION:
            raise ValueError("not a manifest of this version")
        check = data.pop(_CHECK, None)
        if check is not None and check != digest_json(data):  # none: written before manifests had one
            raise ValueError("a manifest that was altered")
        del data["version"]
        try:
            files = {name: FileEntry(**entry) for name, entry in data.pop("files").items()}
            return cls(**{**data, "inputs": tuple(data["inputs"])}, files=files)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("a manifest with missing or foreign fields") from error


def digest_json(value: object) -> str:
    """BLAKE2b-128 in hex of `value` as canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


def digest_file(path: Path) -> str:
    """BLAKE2b-128 in hex of a file's bytes."""
    digest = hashlib.blake2b(digest_size=16)
    room = memoryview(bytearray(READ_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(room):
            digest.update(room[:count])
    return digest.hexdigest()


def digest_files(paths: Sequence[Path], digest: Callable[[Path], str] = digest_file) -> list[str]:
    """The digests of some files, several read at a time: hashing needs no interpreter."""
    with ThreadPoolExecutor(core_count()) as pool:
        return list(pool.map(digest, paths))


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`; becomes `target`, synced, when the block ends well, and vanishes otherwise.

    Where `target` exists already (damaged, or outdated in a run) it is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    staging, doomed = aside(target.parent), aside(target.parent)
    with _guard:
        _ours.update((staging.name, doomed.name))
    try:
        staging.mkdir()
        yield staging
        sync_tree(staging)
        if target.exists():
            target.rename(doomed)
        staging.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(doomed, ignore_errors=True)  # what is left of it is swept: the result stands
    except BaseException:
        if doomed.exists() and not target.exists():
            doomed.rename(target)
        shutil.rmtree(staging, ignore_errors=True)
        raise
    finally:
        with _guard:
            _ours.difference_update((staging.name, doomed.name))


def aside(folder: Path) -> Path:
    """A new name in `folder` for what is not whole yet; `sweep` removes what a killed process leaves under one."""
    return folder / f"{STAGING}{os.getpid()}-{secrets.token_hex(4)}"


def discard(folder: Path) -> None:
    """Nothing; `folder` is gone at once for whoever looks, and then from the disk; a kill leaves no part of it that
    `sweep` does not find."""
    doomed = aside(folder.parent)
    folder.rename(doomed)
    shutil.rmtree(doomed)


def sweep(folder: Path) -> int:
    """How many names of half-written things were removed directly below `folder`, but for those being written by this
    process.

    Call it under the writers' lock only: whoever made the others is dead then, even where this process has its id (in
    a container all have the same).
    """
    with _guard:
        stale = [path for path in folder.glob(f"{STAGING}*") if path.name not in _ours]
    for path in stale:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(stale)


def seal(
    folder: Path,
    *,
    stage: str,
    noun: str,
    address: str,
    inputs: tuple[str, ...],
    config: Mapping[str, Any],
    code: str,
    counts: Mapping[str, int],
) -> Manifest:
    """The manifest of what lies in `folder`, written into it last; every file is read-only from here on.

    Runs hold hard links to these files, so an edit in place would reach into the store.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {}
    for path, digest in zip(paths, digest_files(paths, digest_once), strict=True):
        files[path.relative_to(folder).as_posix()] = FileEntry(path.stat().st_size, digest)
        path.chmod(0o444)
    manifest = Manifest(stage, noun, address, inputs, config, code, dict(counts), files)
    path = folder / MANIFEST
    sync_tree(folder)
    path.write_text(manifest.to_json(), encoding="ascii")
    path.chmod(0o444)
    return manifest


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder`, or None where there is none.

    StoreError where it cannot be trusted: unreadable, or a file that it lists is missing or has another size.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.from_json(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise StoreError(f"{path} cannot be read as a manifest") from error
    for name, entry in manifest.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise StoreError(f"{folder / name} is missing") from error
        if size != entry.size:
            raise StoreError(f"{folder / name} has {size} bytes instead of {entry.size}")
    return manifest


def trusted_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder`, or None where there is none; every byte of what it lists was read once in this process.

    StoreError, which names the file, where anything is not as it was written.
    """
    manifest = read_manifest(folder)
    names = sorted(manifest.files) if manifest else []
    for name, digest in zip(names, digest_files([folder / name for name in names], digest_once), strict=True):
        if manifest and digest != manifest.files[name].blake2b:
            raise StoreError(f"{folder / name} was altered: its bytes are not those that were written")
    return manifest


def digest_once(path: Path) -> str:
    """The digest of a file's bytes; read once a process, whatever it is called, unless it is written to."""
    found = path.stat()
    identity = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    digest = _seen.get(identity)
    if digest is None:
        digest = digest_file(path)
        with _guard:
            if len(_seen) >= _SEEN_MOST:
                _seen.clear()
            _seen[identity] = digest
    return digest


def damaged_files(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """The names of files whose bytes are not what `manifest` says; reads them all."""
    there = [name for name in sorted(manifest.files) if (folder / name).is_file()]
    found = dict(zip(there, digest_files([folder / name for name in there]), strict=True))
    return tuple(name for name, entry in sorted(manifest.files.items()) if found.get(name) != entry.blake2b)


def whole_manifest(folder: Path) -> Manifest | None:
    """The manifest in `folder` where every byte of what it lists is as it says; None where anything is amiss."""
    try:
        manifest = read_manifest(folder)
    except StoreError:
        return None
    return None if manifest is None or damaged_files(folder, manifest) else manifest


def link_tree(source: Path, target: Path) -> None:
    """Nothing; the empty folder `target` then holds the files of `source`, hard-linked, copied where links fail."""
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except OSError:
            shutil.copy2(path, place)


def write_text(path: Path, text: str) -> None:
    """Nothing; `path` then holds `text` whole, or what it held before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = aside(path.parent)
    with _guard:
        _ours.add(new.name)
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
        with _guard:
            _ours.discard(new.name)
    sync_folder(path.parent)


def sync_tree(folder: Path) -> None:
    """Nothing; every file and folder in `folder` is on the disk."""
    paths = list(folder.rglob("*"))
    with ThreadPoolExecutor(SYNCED_AT_ONCE) as pool:  # each waits for the disk, which takes many writes at a time
        list(pool.map(lambda path: sync_folder(path) if path.is_dir() else _sync(path, os.O_RDONLY), paths))
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Nothing; the names in `folder` are on the disk."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
