"""Digests of texts as arrays, and many of them found at once in the digests of many shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

DIGEST_BYTES = 16
# Fixed-width byte strings compare as bytes do; the zeros that numpy strips at the end change no order among equals.
DIGEST = np.dtype(f"S{DIGEST_BYTES}")

Digests = NDArray[np.bytes_]
Rows = NDArray[np.int64]


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
