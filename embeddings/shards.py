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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refrain.artifacts import digest_file, sync_folder

logger = logging.getLogger(__name__)

DIGEST_BYTES = 16
# Fixed-width byte strings compare as bytes do; the zeros that numpy strips at the end change no order among equals.
DIGEST = np.dtype(f"S{DIGEST_BYTES}")
RECORD, TEMPORARY = ".json", ".tmp"
PARTS = ("digests", "vectors")

Digests = NDArray[np.bytes_]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """One shard: `digests` (n,) ascending and `vectors` (n, d) float32, both memory-mapped."""

    path: Path  # without suffix
    digests: Digests
    vectors: NDArray[np.float32]
    vectors_digest: str

    def is_intact(self) -> bool:
        """Whether the vectors' bytes are those that were committed; reads them all."""
        return digest_file(_part(self.path, "vectors")) == self.vectors_digest


@dataclass
class Shards:
    """The shards of one encoder's fingerprint in the order of their names."""

    folder: Path
    shards: list[Shard]
    damaged: int = 0  # shards that could not be trusted and were left out
    checked: set[Path] = field(default_factory=set)  # shards whose vectors were read and found whole

    def find(self, digests: Digests) -> tuple[NDArray[np.int32], Rows]:
        """For each digest the position of its shard, -1 where none holds it, and its row in there.

        A shard's vectors are checked when one of them is first asked for; a damaged shard is left out and counted.
        """
        owner = np.full(len(digests), -1, dtype=np.int32)
        offset = np.full(len(digests), -1, dtype=np.int64)
        at = 0
        while at < len(self.shards):
            shard = self.shards[at]
            places = np.searchsorted(shard.digests, digests)
            places[places == len(shard.digests)] = 0
            hits = (owner < 0) & (shard.digests[places] == digests)
            if hits.any() and not self._trust(shard):
                return self.find(digests)  # positions of shards have moved
            owner[hits] = at
            offset[hits] = places[hits]
            at += 1
        return owner, offset

    def _trust(self, shard: Shard) -> bool:
        if shard.path in self.checked:
            return True
        if shard.is_intact():
            self.checked.add(shard.path)
            return True
        self.shards.remove(shard)
        self.damaged += 1
        logger.warning("a shard of vectors does not match its record and is left out")
        return False


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
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
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
    """How many half-written files were removed. Call it under the store's writer lock only."""
    stale = sorted(folder.glob(f"*{TEMPORARY}"))
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def as_digests(values: Sequence[bytes]) -> Digests:
    """Digests of 16 bytes each as an array that sorts and compares like them."""
    return np.frombuffer(b"".join(values), dtype=DIGEST)


def _open_shard(record: Path) -> Shard | None:
    path = record.with_suffix("")
    try:
        entries = json.loads(record.read_text(encoding="ascii"))
        if any(_part(path, part).stat().st_size != entries[part]["size"] for part in PARTS):
            return None
        if digest_file(_part(path, "digests")) != entries["digests"]["blake2b"]:
            return None
        raw, vectors = (np.load(_part(path, part), mmap_mode="r", allow_pickle=False) for part in PARTS)
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
