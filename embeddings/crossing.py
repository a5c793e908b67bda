"""Near neighbours across two sets of vectors of which each has its own graph.

Of an edge between two sets only those matter that are no longer than the last that one of its ends has in its own set,
and that length is known. So the set with fewer vectors of its own is looked up in the cells of the other's index, all
of a cell by one matrix product, and a pair counts for either end that it is near enough for: both directions for one
search, and a small set beside a large one costs what the small one is (docs/log.md). From what is found a step leads
along the other's graph: a neighbour of a near vector is likely near (a search in a neighbour graph, as Malkov and
Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical navigable small world graphs",
2020, on its lowest layer).

The product only proposes: it takes what is near enough by a margin above its rounding, and what is kept is decided by
distances that come from their two vectors alone, so no bit depends on how a product was cut up.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from embeddings.edges import NONE, Edges, Floats, best_edges, distances_of, no_farther, settled
from embeddings.guessing import Graph, by_block, hops, row_blocks
from embeddings.shards import Rows
from refrain.config import IndexConfig
from refrain.cores import core_count
from refrain.counting import ranges

_MARGIN = 1e-4  # of a cosine: far above what a product of unit vectors rounds by
_ASKED_AT_ONCE = 16  # blocks of rows whose products are made together: enough rows a cell for a product to be worth it


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
    """The vectors of an index cell by cell: those of cell c are `vectors[starts[c] : starts[c + 1]]`, whose numbers in
    the set are `numbers` at the same places."""

    quantiser: Any  # of faiss; None for one cell that has all
    vectors: Floats
    numbers: Rows
    starts: Rows


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
    limits = [_least_cosines(side, config.neighbours) for side in (asking, asked)]
    cells, rows = _cells_of(asked), np.flatnonzero(~asking.shared)
    probes = max(1, int(config.crossing_probes_per_root * (len(cells.starts) - 1) ** 0.5))
    work = partial(_close, asking.vectors, limits[0], cells, asked.shared, limits[1], probes)
    pairs = []
    with threadpool_limits(1), ThreadPoolExecutor(core_count()) as pool:
        blocks = [rows[block] for block in row_blocks(len(rows), config.block_rows * _ASKED_AT_ONCE)]
        for block, found in zip(blocks, pool.map(work, blocks), strict=True):
            pairs.append(found)
            told(len(block))
    del cells
    none = np.empty(0, np.int32)
    near, far, for_near, for_far = (
        np.concatenate(part) for part in zip((none, none, none > 0, none > 0), *pairs, strict=True)
    )
    edges = _edges(asking, asked, near[for_near], far[for_near], config)
    turned = _edges(asked, asking, far[for_far], near[for_far], config)
    told(int((~asked.shared).sum()))
    return edges, turned


def _least_cosines(side: Side, k: int) -> Floats:
    """For each vector (n,) the cosine above which another is near enough to matter, less the margin."""
    last = np.asarray(side.graph.edges[:, k - 1])
    return np.where(last == NONE, np.float32(-np.inf), 1 - distances_of(last) - np.float32(_MARGIN)).astype(np.float32)


def _cells_of(side: Side) -> _Cells:
    import faiss

    index, n = side.graph.index, len(side.vectors)
    if not hasattr(index, "nlist"):
        return _Cells(None, side.vectors, np.arange(n), np.array([0, n]))
    lists = index.invlists
    sizes = [lists.list_size(cell) for cell in range(index.nlist)]
    held = [
        np.sort(faiss.rev_swig_ptr(lists.get_ids(cell), size)) if size else np.empty(0, np.int64)
        for cell, size in enumerate(sizes)
    ]
    numbers = np.concatenate(held)
    return _Cells(index.quantizer, side.vectors[numbers], numbers, np.cumsum([0, *sizes]))


def _close(
    vectors: Floats, least: Floats, cells: _Cells, shared: NDArray[np.bool_], others_least: Floats, probes: int,
    rows: Rows,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """Pairs of some rows and what the cells nearest to them hold, where they may matter to either, and to which."""
    import faiss

    faiss.omp_set_num_threads(1)  # of this thread
    queries, least = vectors[rows], least[rows]
    cell_count = len(cells.starts) - 1
    if cells.quantiser is None:
        near = np.zeros((len(rows), 1), np.int64)
    else:
        near = cells.quantiser.search(queries, min(probes, cell_count))[1]
    order = np.argsort(near, axis=None, kind="stable")
    bounds = np.searchsorted(near.ravel()[order], np.arange(cell_count + 1))
    found = []
    for cell in np.flatnonzero(np.diff(bounds)).tolist():
        held = slice(cells.starts[cell], cells.starts[cell + 1])
        some = order[bounds[cell] : bounds[cell + 1]] // near.shape[1]
        numbers = cells.numbers[held]
        cosines = queries[some] @ cells.vectors[held].T
        either = np.minimum(least[some][:, None], others_least[numbers])
        row, column = np.divmod(np.flatnonzero(cosines >= either), max(1, len(numbers)))
        values, row, column = cosines[row, column], some[row], numbers[column]
        found.append((row, column, values >= least[row], ~shared[column] & (values >= others_least[column])))
    none = np.empty(0, np.int64)
    row, column, here, there = (
        np.concatenate(part) for part in zip((none, none, none > 0, none > 0), *found, strict=True)
    )
    kept = here | there
    return rows[row[kept]].astype(np.int32), column[kept].astype(np.int32), here[kept], there[kept]


def _edges(
    side: Side, other: Side, rows: NDArray[np.int32], numbers: NDArray[np.int32], config: IndexConfig
) -> tuple[Rows, Edges]:
    """Rows of a side and their edges to the other, where they may be among the nearest, from pairs of the two."""
    order = np.lexsort((numbers, rows))
    numbers = numbers[order]
    which, counts = np.unique(rows, return_counts=True)
    which = which.astype(np.int64)
    queries, starts = side.vectors[which], np.cumsum(counts) - counts
    first = partial(_nearest_of, queries, other.vectors, numbers, starts, counts, config.neighbours)
    edges = by_block(len(which), config.neighbours, config.block_rows, first, lambda rows: None)
    limit = np.asarray(side.graph.edges[which, config.neighbours - 1])
    edges = no_farther(edges, limit)  # what the margin let through depends on rounding: no step starts there
    for _ in range(config.crossing_rounds):
        follow = partial(_follow, edges, queries, other, config)
        edges = by_block(len(which), config.neighbours, config.block_rows, follow, lambda rows: None)
    kept = no_farther(settled(edges), limit)
    some = kept[:, 0] != NONE
    return which[some], np.ascontiguousarray(kept[some])


def _nearest_of(
    queries: Floats, vectors: Floats, numbers: NDArray[np.int32], starts: Rows, counts: Rows, k: int, block: Rows
) -> Edges:
    """The nearest k (b, k) of the candidates of each row of a block, which lie one row's behind another's."""
    many = counts[block]
    candidates = np.full((len(block), int(many.max(initial=0))), -1, np.int32)
    candidates[np.repeat(np.arange(len(block)), many), ranges(many)] = numbers[
        starts[block[0]] : starts[block[0]] + many.sum()
    ]
    return best_edges(np.full((len(block), k), NONE), candidates, queries[block], vectors, None)


def _follow(edges: Edges, queries: Floats, other: Side, config: IndexConfig, block: Rows) -> Edges:
    """The edges after a look at the neighbours of the nearest."""
    own = edges[block]
    candidates = hops(own[:, : config.spare_neighbours], other.graph.edges[:, : config.neighbours])
    return best_edges(settled(own), candidates, queries[block], other.vectors, None)
