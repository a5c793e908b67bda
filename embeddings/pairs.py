"""Pairs of vectors that are worth a look at full precision, by the level of their cosine, and looking them up in cells.

A product has a bounded number of levels, and of one row a bounded number of pairs leave it: a cell may hold most of a
day where most of it is one text in variants.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from embeddings.blocks import one_thread
from embeddings.cells import Cells, visits
from embeddings.edges import Floats, Numbers, padded
from embeddings.levels import Bytes, Columns, Levels
from embeddings.shards import Rows
from refrain.cores import core_count
from refrain.counting import mix, ranges, stable_order

_AT_ONCE = 1 << 23  # levels of a product
_MANY = 2  # times what is wanted


@dataclass(frozen=True)
class Pairs:
    """Proposed pairs of a row and another set's number, with their levels."""

    rows: Numbers
    numbers: Numbers
    levels: Bytes

    def where(self, chosen: NDArray[np.bool_]) -> "Pairs":
        return Pairs(self.rows[chosen], self.numbers[chosen], self.levels[chosen])

    def turned(self) -> "Pairs":
        """The pairs of the other set's rows with the numbers of these."""
        return Pairs(self.numbers, self.rows, self.levels)

    def nearest(self, most: int) -> "Pairs":
        """Of each row the `most` pairs of the highest levels, all where it has fewer, by row and descending level; of
        equals some by lot, for of a thousand near duplicates not all rows should have the same."""
        rows = self.rows.astype(np.uint64)
        lots = mix((rows << np.uint64(32)) | self.numbers.astype(np.uint64)) >> np.uint64(60)
        order = stable_order((rows << np.uint64(12)) | ((255 - self.levels).astype(np.uint64) << np.uint64(4)) | lots)
        counts = np.bincount(self.rows)
        order = order[ranges(counts[counts > 0]) < most]
        return Pairs(self.rows[order], self.numbers[order], self.levels[order])

    def bounded(self, most: int, rows: int) -> "Pairs":
        """The pairs of `rows` rows; where they are very many, the `most` nearest of each."""
        return self.nearest(most) if len(self.rows) > _MANY * most * rows else self

    def by_row(self, rows: Rows) -> Numbers:
        """The numbers of each of some rows, ascending, side by side, -1 behind them, of pairs in the order of the
        rows."""
        return padded(self.numbers, np.bincount(np.searchsorted(rows, self.rows), minlength=len(rows)))


def joined(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of all parts, one after another."""
    return Pairs(
        np.concatenate([np.empty(0, np.int32), *(part.rows for part in parts)]),
        np.concatenate([np.empty(0, np.int32), *(part.numbers for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.levels for part in parts)]),
    )


@dataclass(frozen=True)
class LookUp:
    """A set of vectors by cell, ready to be compared with: `columns` are those of each cell that is asked."""

    cells: Cells
    levels: Levels
    columns: dict[int, Columns]

    @classmethod
    def of(cls, vectors: Floats, cells: Cells, levels: Levels, near: Numbers) -> Self:
        """That of vectors (n, d) and their cells, of which `near` (m, p) will be asked."""

        def prepare(cell: int) -> Columns:
            return levels.columns(vectors[cells.held(cell)])

        asked = np.flatnonzero(np.bincount(near.ravel(), minlength=len(cells)) * np.diff(cells.starts)).tolist()
        with side_by_side_products() as pool:
            return cls(cells, levels, dict(zip(asked, pool.map(prepare, asked), strict=True)))

    def products(self, whole: Bytes, near: Numbers) -> Iterator[tuple[int, Rows, Bytes]]:
        """A cell, some rows of those who ask, and their levels with all that it has, for every cell and all rows (b, d)
        that have it among `near` (b, p)."""
        for cell, rows in visits(near, self.cells):
            step = max(1, _AT_ONCE // self.columns[cell].count)
            for start in range(0, len(rows), step):
                some = rows[start : start + step]
                yield cell, some, self.levels.between(whole, some, self.columns[cell])

    def pairs(
        self, whole: Bytes, near: Numbers, rows: Rows, least: Bytes, others_least: Bytes | None = None
    ) -> Iterator[tuple[Pairs, int]]:
        """Pairs of those who ask, by their numbers `rows` (b,), and of the numbers in the cells near to them (b, p), at
        the least level (b,) that one asks for, or (n,) of the numbers that these do, and how many who ask they are of.
        """
        for cell, some, found in self.products(whole, near):
            numbers, limit = self.cells.held(cell), least[some][:, None]
            if others_least is not None:
                limit = np.minimum(limit, others_least[numbers])
            # np.nonzero of both axes takes many times as long.
            row, column = np.divmod(np.flatnonzero(found >= limit), len(numbers))
            yield Pairs(rows[some[row]].astype(np.int32), numbers[column], found[row, column]), len(some)


@contextmanager
def side_by_side_products() -> Iterator[ThreadPoolExecutor]:
    """A pool of as many threads as there are cores, in each of which a product uses no other thread."""

    def alone() -> None:
        import torch

        one_thread()
        torch.set_num_threads(1)

    with threadpool_limits(1), ThreadPoolExecutor(core_count(), initializer=alone) as pool:
        yield pool
