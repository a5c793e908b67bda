"""The store of vectors: digest-ordered shards that commit one by one.

A shard is three files: `<name>.digests.npy` (n, 16) uint8 ascending, `<name>.vectors.npy` (n, d) float32 and, written
last, its commit record `<name>.json` with the sizes and BLAKE2b digests of the two. Its name is a digest of its first
file's rows. A shard without a record, or with one that does not fit its files, counts for nothing: its texts are
encoded again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refrain.artifacts import digest_file, digest_once, sync_folder
from refrain.cores import core_count
from refrain.counting import stable_order

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16
# Fixed-width byte strings compare as bytes do; the zeros that numpy strips at the end change no order among equals.
DIGEST = np.dtype(f"S{DIGEST_BYTES}")
RECORD, TEMPORARY = ".json", ".tmp"
PARTS = ("digests", "vectors")
_TAKEN_AT_ONCE = 512  # vectors on their way from a shard: they stay in a core's cache
_ALONE_BELOW = 1 << 15  # vectors that one core copies sooner than others are started

Digests = NDArray[np.bytes_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """One shard: `digests` (n,) ascending and `vectors` (n, d) float32, both memory-mapped, as plain arrays: numpy's
    own kind for a mapped file takes microseconds for every piece that is cut from it."""

    path: Path  # without suffix
    digests: Digests
    vectors: NDArray[np.float32]
    vectors_digest: str

    def is_intact(self) -> bool:
        """Whether the vectors' bytes are those that were committed; reads them all, once a process."""
        return digest_once(_part(self.path, "vectors")) == self.vectors_digest


@dataclass(frozen=True)
class Places:
    """All digests of several shards in one order, so that finding many costs one sort and not one search a shard."""

    high: NDArray[np.uint64]  # (n,) ascending: the first halves of the digests
    low: NDArray[np.uint64]  # their second halves, ascending where the first are equal
    shard: NDArray[np.int32]
    row: Rows

    @classmethod
    def of(cls, shards: Sequence[Digests]) -> Self:
        """The places of the digests of some shards; of a digest in several, the first shard's comes first."""
        counts = np.array([len(digests) for digests in shards], np.int64)
        high, low = _halves(np.concatenate([as_digests([]), *shards]))
        order = np.lexsort((low, high))
        shard = np.repeat(np.arange(len(shards), dtype=np.int32), counts)
        row = np.arange(len(high)) - np.repeat(np.cumsum(counts) - counts, counts)
        return cls(high[order], low[order], shard[order], row[order])

    def find(self, digests: Digests) -> tuple[NDArray[np.int32], Rows]:
        """For each digest its first shard and its row there, -1 where none holds it."""
        high, low = _halves(digests)
        order = np.argsort(high)  # in order, neighbouring searches touch the same memory
        high, low = high[order], low[order]
        at = np.searchsorted(self.high, high)
        some = np.arange(len(high))
        while len(some):  # over those whose first half is another's: once, for digests that are no test's
            some = some[at[some] < len(self.high)]
            some = some[(self.high[at[some]] == high[some]) & (self.low[at[some]] != low[some])]
            at[some] += 1
        here = at < len(self.high)
        here[here] = (self.high[at[here]] == high[here]) & (self.low[at[here]] == low[here])
        owner, offset = np.full(len(high), -1, np.int32), np.full(len(high), -1, np.int64)
        owner[order[here]], offset[order[here]] = self.shard[at[here]], self.row[at[here]]
        return owner, offset


def _halves(digests: Digests) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The first and the second eight bytes of each as numbers that sort like them."""
    numbers = np.ascontiguousarray(digests, dtype=DIGEST).view(">u8").reshape(-1, 2)
    return numbers[:, 0].astype(np.uint64), numbers[:, 1].astype(np.uint64)


@dataclass
class Shards:
    """The shards of one encoder's fingerprint in the order of their names."""

    folder: Path
    shards: list[Shard]
    damaged: int = 0  # shards that could not be trusted and were left out
    checked: set[Path] = field(default_factory=set)  # shards whose vectors were read and found whole
    _places: Places | None = None  # of all digests, until a shard is left out

    def find(self, digests: Digests) -> tuple[NDArray[np.int32], Rows]:
        """For each digest the position of its shard (the first that holds it), -1 where none does, and its row there.

        A shard's vectors are checked when one of them is first asked for; a damaged shard is left out and counted.
        """
        while True:
            if self._places is None:
                self._places = Places.of([shard.digests for shard in self.shards])
            owner, offset = self._places.find(digests)
            if self._trust(np.unique(owner[owner >= 0]).tolist()):
                return owner, offset

    def gather(self, owner: NDArray[np.int32], offset: Rows, dimension: int) -> NDArray[np.float32]:
        """The vectors (n, d) at some rows of some shards, as `find` gives them."""
        out = np.empty((len(owner), dimension), dtype=np.float32)
        if not len(owner):
            return out

        def copy(members: Rows) -> None:
            vectors = self.shards[owner[members[0]]].vectors
            for start in range(0, len(members), _TAKEN_AT_ONCE):
                some = members[start : start + _TAKEN_AT_ONCE]
                out[some] = vectors.take(offset[some], axis=0)

        order = stable_order(owner.astype(np.int64))
        parts = np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)
        if len(owner) < _ALONE_BELOW:
            for members in parts:
                copy(members)
        else:
            with ThreadPoolExecutor(core_count()) as pool:  # copying needs no interpreter
                list(pool.map(copy, parts))
        return out

    def _trust(self, asked: Sequence[int]) -> bool:
        """Whether all these shards are whole; those that are not are left out."""
        new = [self.shards[at] for at in asked if self.shards[at].path not in self.checked]
        with ThreadPoolExecutor(core_count()) as pool:  # hashing needs no interpreter
            intact = list(pool.map(Shard.is_intact, new))
        self.checked.update(shard.path for shard, whole in zip(new, intact, strict=True) if whole)
        for shard in (shard for shard, whole in zip(new, intact, strict=True) if not whole):
            self.shards = [other for other in self.shards if other.path != shard.path]
            self.damaged += 1
            self._places = None
            logger.warning("a shard of vectors does not match its record and is left out")
        return all(intact)


def open_shards(folder: Path) -> Shards:
    """The shards in a folder that committed and whose digests are whole; none where there is no folder."""
    opened = Shards(folder, [])
    for record in sorted(folder.glob(f"*{RECORD}")):
        shard = _open_shard(record)
        if shard is None:
            opened.damaged += 1
            logger.warning("a shard of vectors cannot be read and is left out")
        else:
            opened.shards.append(shard)
    return opened


def write_shard(folder: Path, digests: Digests, vectors: NDArray[np.float32]) -> str:
    """The name of a new, committed shard of `digests` (n,), ascending and distinct, and their `vectors` (n, d)."""
    raw = np.ascontiguousarray(digests, dtype=DIGEST).view(np.uint8).reshape(len(digests), DIGEST_BYTES)
    name = hashlib.blake2b(raw.tobytes(), digest_size=DIGEST_BYTES).hexdigest()
    path = folder / name
    (path.parent / f"{name}{RECORD}").unlink(missing_ok=True)  # a damaged shard of this name must not seem whole
    record: dict[str, Any] = {}
    arrays: tuple[NDArray[Any], ...] = (raw, np.ascontiguousarray(vectors, dtype=np.float32))
    for part, array in zip(PARTS, arrays, strict=True):
        target = _part(path, part)
        temporary = target.with_name(target.name + TEMPORARY)
        try:
            with temporary.open("wb") as file:
                np.save(file, array, allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)  # on a full disk, this is what filled it
            raise
        record[part] = {"size": temporary.stat().st_size, "blake2b": digest_file(temporary)}
        temporary.replace(target)
    target = folder / f"{name}{RECORD}"
    temporary = target.with_name(target.name + TEMPORARY)
    with temporary.open("w", encoding="ascii") as text:
        text.write(json.dumps(record, sort_keys=True) + "\n")
        text.flush()
        os.fsync(text.fileno())
    sync_folder(folder)  # the parts' names must outlast a power cut before the record's name does
    temporary.replace(target)
    sync_folder(folder)
    return name


def sweep_shards(folder: Path) -> int:
    """How many half-written files were removed, those of shards without a record too. Call it under the store's writer
    lock only."""
    parts = (folder.glob(f"*.{part}.npy") for part in PARTS)
    orphans = [path for found in parts for path in found if not (folder / (path.name.split(".")[0] + RECORD)).exists()]
    stale = sorted(folder.glob(f"*{TEMPORARY}")) + orphans
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def as_digests(values: Sequence[bytes]) -> Digests:
    """Digests of 16 bytes each as an array that sorts and compares like them."""
    return np.frombuffer(b"".join(values), dtype=DIGEST)


def digests_of(column: pa.Array | pa.ChunkedArray) -> Digests:
    """A column of digests without nulls as an array that sorts and compares like them."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [as_digests([])]
    for chunk in chunks:
        if len(chunk):
            bytes_of_all = chunk.cast(pa.binary(DIGEST_BYTES)).buffers()[1]
            parts.append(np.frombuffer(bytes_of_all, dtype=DIGEST, count=chunk.offset + len(chunk))[chunk.offset :])
    return np.concatenate(parts)


def _open_shard(record: Path) -> Shard | None:
    path = record.with_suffix("")
    try:
        entries = json.loads(record.read_text(encoding="ascii"))
        if any(_part(path, part).stat().st_size != entries[part]["size"] for part in PARTS):
            return None
        if digest_file(_part(path, "digests")) != entries["digests"]["blake2b"]:
            return None
        raw, vectors = (
            np.load(_part(path, part), mmap_mode="r", allow_pickle=False).view(np.ndarray) for part in PARTS
        )
        vectors_digest = str(entries["vectors"]["blake2b"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if raw.ndim != 2 or raw.shape[1] != DIGEST_BYTES or raw.dtype != np.uint8:  # noqa: PLR2004
        return None
    if vectors.ndim != raw.ndim or len(vectors) != len(raw) or vectors.dtype != np.float32:
        return None
    return Shard(path, raw.view(DIGEST).reshape(len(raw)), vectors, vectors_digest)


def _part(path: Path, part: str) -> Path:
    return path.with_name(f"{path.name}.{part}.npy")
