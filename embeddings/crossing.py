"""Near neighbours across two sets of vectors of which each has its own graph.

Of an edge between two sets only those matter that are no longer than the last that one of its ends has in its own set,
and that length is known. So the set with fewer vectors of its own is looked up in the cells of the other's index, all
of a cell by one product in whole numbers (`levels`), and a pair counts for either end that it is near enough for: both
directions for one search, and a small set beside a large one costs what the small one is (docs/log.md). From what is
found two steps lead on. A neighbour of a near vector, along the other's graph, is likely near (a search in a neighbour
graph, as Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable
small world graphs", 2020, on its lowest layer); and so is what a vector's own neighbours have found (Dong, Moses and
Li, "Efficient k-nearest neighbor graph construction for generic similarity measures", 2011).

The products only propose; what is kept is decided by distances that come from their two vectors alone.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from embeddings.blocks import one_thread, row_blocks
from embeddings.edges import NONE, Edges, Floats, Numbers, best_edges, distances_of, no_farther, numbers_of, settled
from embeddings.guessing import Graph, by_block
from embeddings.levels import Bytes, Columns, Levels
from embeddings.shards import Rows
from refrain.config import IndexConfig
from refrain.cores import core_count
from refrain.counting import mix, ranges, stable_order

_ASKED_AT_ONCE = 16  # blocks of rows whose products are made together: enough rows a cell for a product to be worth it
_PROPOSED = 4  # times the neighbours wanted that are compared at full precision, of a vector with so many near ones


@dataclass(frozen=True)
class Side:
    """A set of unit vectors (n, d), its graph, and which of them (n,) are in the other set too."""

    vectors: Floats
    graph: Graph
    shared: NDArray[np.bool_]


@dataclass(frozen=True)
class Crossing:
    """Edges between what only one side has: `left_edges` (l, k) lead from `left_rows` (l,) to rows of the right side,
    and the other way round; rows without an edge are left out."""

    left_rows: Rows
    left_edges: Edges
    right_rows: Rows
    right_edges: Edges


@dataclass(frozen=True)
class _Cells:
    """The vectors of an index cell by cell: those of cell c are `columns[c]`, whose numbers in the set are
    `numbers[starts[c] : starts[c + 1]]`."""

    quantiser: Any  # of faiss; None for one cell that has all
    columns: list[Columns]
    numbers: Rows
    starts: Rows


@dataclass(frozen=True)
class _Pairs:
    """Proposed pairs of a row and another set's number, with their levels."""

    rows: Numbers
    numbers: Numbers
    levels: Bytes

    def where(self, chosen: NDArray[np.bool_]) -> "_Pairs":
        return _Pairs(self.rows[chosen], self.numbers[chosen], self.levels[chosen])

    def turned(self) -> "_Pairs":
        """The pairs of the other set's rows with the numbers of these."""
        return _Pairs(self.numbers, self.rows, self.levels)

    def nearest(self, most: int) -> "_Pairs":
        """Of each row the `most` pairs of the highest levels, all where it has fewer, by row and descending level; of
        equals some by lot, for of a thousand near duplicates not all rows should have the same."""
        rows = self.rows.astype(np.uint64)
        lots = mix((rows << np.uint64(32)) | self.numbers.astype(np.uint64)) >> np.uint64(60)
        order = stable_order((rows << np.uint64(12)) | ((255 - self.levels).astype(np.uint64) << np.uint64(4)) | lots)
        counts = np.bincount(self.rows)
        order = order[ranges(counts[counts > 0]) < most]
        return _Pairs(self.rows[order], self.numbers[order], self.levels[order])


def cross(left: Side, right: Side, config: IndexConfig, told: Callable[[int], None]) -> Crossing:
    """The edges between two sets. `told` hears of every vector that only one side has, once."""
    if (~left.shared).sum() <= (~right.shared).sum():
        to_right, to_left = _found(left, right, config, told)
    else:
        to_left, to_right = _found(right, left, config, told)
    return Crossing(*to_right, *to_left)


def _found(
    asking: Side, asked: Side, config: IndexConfig, told: Callable[[int], None]
) -> tuple[tuple[Rows, Edges], tuple[Rows, Edges]]:
    """Rows and edges of what only `asking` has, to the other, and the other way round."""
    levels = Levels(asking.vectors.shape[1], config.seed)
    least = [levels.of(_least_cosines(side, config.neighbours)) for side in (asking, asked)]
    rows, most = np.flatnonzero(~asking.shared), _PROPOSED * config.neighbours
    found: list[tuple[_Pairs, _Pairs]] = []
    with threadpool_limits(1), ThreadPoolExecutor(core_count(), initializer=_one_thread) as pool:
        cells = _cells_of(asked, levels, pool)
        probes = max(1, int(config.crossing_probes_per_root * (len(cells.starts) - 1) ** 0.5))
        work = partial(_close, asking.vectors, levels, least[0], cells, asked.shared, least[1], probes, most)
        blocks = [rows[block] for block in row_blocks(len(rows), config.block_rows * _ASKED_AT_ONCE)]
        for block, pairs in zip(blocks, pool.map(work, blocks), strict=True):
            found.append(pairs)
            told(len(block))
    del cells, work
    edges = _edges(asking, asked, _joined([here for here, _ in found]), config)
    turned = _edges(asked, asking, _joined([there for _, there in found]).turned().nearest(most), config)
    told(int((~asked.shared).sum()))
    return edges, turned


def _least_cosines(side: Side, k: int) -> Floats:
    """For each vector (n,) the cosine above which another is near enough to matter."""
    last = np.asarray(side.graph.edges[:, k - 1])
    return np.where(last == NONE, np.float32(-1), 1 - distances_of(last)).astype(np.float32)


def _cells_of(side: Side, levels: Levels, pool: ThreadPoolExecutor) -> _Cells:
    import faiss

    index, n = side.graph.index, len(side.vectors)
    if not hasattr(index, "nlist"):
        return _Cells(None, [levels.columns(side.vectors)], np.arange(n), np.array([0, n]))
    lists = index.invlists
    sizes = [lists.list_size(cell) for cell in range(index.nlist)]
    held = [
        np.sort(faiss.rev_swig_ptr(lists.get_ids(cell), size)) if size else np.empty(0, np.int64)
        for cell, size in enumerate(sizes)
    ]
    columns = list(pool.map(lambda numbers: levels.columns(side.vectors[numbers]), held))
    return _Cells(index.quantizer, columns, np.concatenate(held), np.cumsum([0, *sizes]))


def _one_thread() -> None:
    """Nothing; the products of this thread use no other."""
    import torch

    one_thread()
    torch.set_num_threads(1)


def _close(
    vectors: Floats, levels: Levels, least: Bytes, cells: _Cells, shared: NDArray[np.bool_], others_least: Bytes,
    probes: int, most: int, rows: Rows,
) -> tuple[_Pairs, _Pairs]:  # fmt: skip
    """Pairs of some rows and what the cells nearest to them hold: those that may matter to the rows, the `most` nearest
    of each, and those that may matter to the others."""
    queries, least = vectors[rows], least[rows]
    cell_count = len(cells.starts) - 1
    if cells.quantiser is None:
        near = np.zeros((len(rows), 1), np.int64)
    else:
        near = cells.quantiser.search(queries, min(probes, cell_count))[1]
    order = np.argsort(near, axis=None, kind="stable")
    bounds = np.searchsorted(near.ravel()[order], np.arange(cell_count + 1))
    whole = levels.rows(queries)
    here, there = [], []
    for cell in np.flatnonzero(np.diff(bounds) * np.diff(cells.starts)).tolist():
        some = order[bounds[cell] : bounds[cell + 1]] // near.shape[1]
        numbers = cells.numbers[cells.starts[cell] : cells.starts[cell + 1]]
        found = levels.between(whole, some, cells.columns[cell])
        near_enough = found >= np.minimum(least[some][:, None], others_least[numbers])
        row, column = np.divmod(np.flatnonzero(near_enough), len(numbers))  # np.nonzero takes many times as long
        height = found[row, column]
        row, column = some[row].astype(np.int32), numbers[column].astype(np.int32)
        pairs = _Pairs(row, column, height)
        here.append(pairs.where(height >= least[row]))
        there.append(pairs.where(~shared[column] & (height >= others_least[column])))
    own, others = _joined(here).nearest(most), _joined(there)
    return (
        _Pairs(rows[own.rows].astype(np.int32), own.numbers, own.levels),
        _Pairs(rows[others.rows].astype(np.int32), others.numbers, others.levels),
    )


def _joined(parts: list[_Pairs]) -> _Pairs:
    return _Pairs(
        np.concatenate([np.empty(0, np.int32), *(part.rows for part in parts)]),
        np.concatenate([np.empty(0, np.int32), *(part.numbers for part in parts)]),
        np.concatenate([np.empty(0, np.uint8), *(part.levels for part in parts)]),
    )


def _edges(side: Side, other: Side, pairs: _Pairs, config: IndexConfig) -> tuple[Rows, Edges]:
    """Rows of a side and their edges to the other, where they may be among the nearest, from pairs of the two in the
    order of the rows."""
    k = config.neighbours
    limit = np.asarray(side.graph.edges[:, k - 1])
    edges = np.full((len(side.vectors), k), NONE)
    counts = np.bincount(pairs.rows, minlength=len(edges))
    starts = np.cumsum(counts) - counts

    def look(rows: Rows, candidates: Callable[[Rows], Numbers]) -> None:
        def nearest(block: Rows) -> Edges:
            some = rows[block]
            found = best_edges(settled(edges[some]), candidates(some), side.vectors[some], other.vectors, None)
            return no_farther(found, limit[some])

        edges[rows] = by_block(len(rows), k, config.block_rows, nearest, lambda done: None)

    def proposed(rows: Rows) -> Numbers:
        many = counts[rows]
        at = np.repeat(starts[rows], many) + ranges(many)
        out = np.full((len(rows), int(many.max(initial=0))), -1, np.int32)
        out[np.repeat(np.arange(len(rows)), many), ranges(many)] = pairs.numbers[at]
        return out

    def along_the_other(rows: Rows) -> Numbers:
        return _led_to(edges[rows, : config.spare_neighbours], other.graph.edges[:, :k])

    def of_own_neighbours(rows: Rows) -> Numbers:
        near = np.asarray(side.graph.edges[rows])[:, : config.spare_neighbours]
        return _led_to(near, edges[:, : config.spare_neighbours // 2])

    look(np.flatnonzero(counts), proposed)
    for _ in range(config.crossing_rounds):
        look(np.flatnonzero(edges[:, 0] != NONE), along_the_other)
        look(np.flatnonzero(~side.shared), of_own_neighbours)
    which = np.flatnonzero(edges[:, 0] != NONE)
    return which, settled(edges[which])


def _led_to(near: Edges, edges: Edges) -> Numbers:
    """The numbers (b, j * k), -1 for none, that the edges (n, k) of what some edges (b, j) lead to lead to."""
    others = numbers_of(near)
    found = numbers_of(edges[others])
    found[others < 0] = -1
    return found.reshape(len(near), -1)
