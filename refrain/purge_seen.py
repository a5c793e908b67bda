"""What is to be purged, and what the requests that go and those that stay have: texts by digest, values in clear."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.columns import LABELS
from refrain.needles import Needles

Flags = NDArray[np.bool_]
ID_COLUMNS = ("account_id", "request_id")
_VALUES = tuple(name for name in LABELS if name not in ("model", "channel"))  # columns that may say who somebody is
DIGEST = np.dtype("S16")
"""A keyed digest; numpy strips the zeros at its end, which changes no comparison."""


@dataclass(frozen=True)
class Targets:
    """What is to be purged: accounts and requests by id, and requests before a moment in microseconds since 1970."""

    accounts: frozenset[str] = frozenset()
    requests: frozenset[str] = frozenset()
    before: int | None = None

    def doomed(self, accounts: Any, requests: Any, micros: NDArray[np.int64]) -> Flags:
        """Which of some requests, given as aligned columns, are to be purged."""
        found = np.zeros(len(micros), bool)
        for column, ids in ((accounts, self.accounts), (requests, self.requests)):
            if ids and column is not None:
                found |= pc.is_in(column, pa.array(sorted(ids), pa.string())).to_numpy(zero_copy_only=False)
        return found if self.before is None else found | (micros < self.before)


class Seen:
    """Digests of what doomed requests have and of what others have."""

    def __init__(self) -> None:
        self.doomed: list[NDArray[np.bytes_]] = []
        self.kept: list[NDArray[np.bytes_]] = []

    def add(self, digests: NDArray[np.bytes_], doomed: Flags, kept: Flags) -> None:
        """Adds those that doomed requests have and those that others have."""
        self.doomed.append(np.unique(digests[doomed]))
        self.kept.append(np.unique(digests[kept]))

    def own(self) -> NDArray[np.bytes_]:
        """What the doomed alone have, sorted. A digest of zeros stands for what was purged before."""
        none = [np.empty(0, DIGEST)]
        found: NDArray[np.bytes_] = np.setdiff1d(np.concatenate(none + self.doomed), np.concatenate(none + self.kept))
        left: NDArray[np.bytes_] = found[found != b""]
        return left


def mentions(request_ids: Any, contents: Any, ids: Needles) -> Flags:
    """Which quarantined records, given as columns, name one of the ids."""
    pairs = zip(request_ids.to_pylist(), contents.to_pylist(), strict=True)
    return np.array([bool(ids.within(f"{name or ''}\0{text}".encode())) for name, text in pairs], bool)


def note_values(table: pa.Table, doomed: Flags, values: tuple[set[str], set[str]]) -> None:
    """Nothing; what doomed requests and what others have in their columns of labels is added to the two sets."""
    for name in _VALUES:
        if name not in table.column_names:
            continue
        for seen, flags in zip(values, (doomed, ~doomed), strict=True):
            seen.update(filter(None, pc.unique(table[name].filter(pa.array(flags))).to_pylist()))


def used_rows(size: int, uses: Iterable[tuple[NDArray[Any], Flags]]) -> tuple[Flags, Flags]:
    """Which of `size` rows doomed requests have, and which others have; `uses` are rows, -1 for none, and who is."""
    doomed, kept = np.zeros(size, bool), np.zeros(size, bool)
    for rows, flags in uses:
        doomed[rows[flags & (rows >= 0)]] = True
        kept[rows[~flags & (rows >= 0)]] = True
    return doomed, kept


def digests_in(path: Path) -> NDArray[np.bytes_]:
    """The digests of a table of texts, by row."""
    column = pq.read_table(path, columns=["digest"], partitioning=None)["digest"]
    parts = [np.empty(0, DIGEST)]
    for chunk in column.chunks:
        raw = chunk.cast(pa.binary(DIGEST.itemsize)).buffers()[1]
        held = np.frombuffer(raw, DIGEST, count=chunk.offset + len(chunk)) if len(chunk) else parts[0]
        parts.append(held[chunk.offset :])
    return np.concatenate(parts)
