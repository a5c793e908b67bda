"""Near neighbours of many vectors: a first guess in a few cells, then neighbours of neighbours.

The guess compares every vector with all that the cells nearest to it hold, in whole numbers (`levels`), and what is
nearest by these at full precision. A neighbour of a neighbour is likely a neighbour (Dong, Moses and Li, "Efficient
k-nearest neighbor graph construction for generic similarity measures", 2011): each round compares every vector with
those, new ones only, at full precision.

Blocks of rows are worked on one by one, each by one thread that sees nothing of the others: neither the number of
cores nor their order changes a bit, and a worker can be handed any stretch of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from embeddings.blocks import row_blocks, side_by_side
from embeddings.cells import Cells, train_cells
from embeddings.edges import (
    FRESH,
    NONE,
    Edges,
    Floats,
    Numbers,
    best_edges,
    numbers_of,
    reversed_edges,
    settled,
)
from embeddings.levels import Levels
from embeddings.pairs import LookUp, joined, side_by_side_products
from embeddings.shards import Rows
from refrain.config import IndexConfig

LOOKED_UP_AT_ONCE = 16  # blocks of rows whose products are made together: enough rows a cell for one to be worth it
_FIRST = 4  # nearest cells that say how near a vector has to be for a close look


@dataclass(frozen=True)
class Graph:
    """The near neighbours of some unit vectors (n, d): `edges` (n, k), the cells in which they were found, None where
    all were compared with all, and what the cells were made with."""

    edges: Edges
    cells: Cells | None
    parameters: dict[str, int]


def guess_graph(vectors: Floats, k: int, config: IndexConfig, advance: Callable[[int], None]) -> Graph:
    """The graph of each unit vector's (n, d) k near neighbours, itself left out. `advance` is told the number of
    vectors, of every pass its part."""
    told = Share(advance, 1 + config.rounds)
    cells, near = train_cells(vectors, config.probes, config)
    look_up = LookUp.of(vectors, cells, Levels(vectors.shape[1], config.seed), near)
    order = cells.numbers.astype(np.int64)
    first = partial(_first_guess, vectors, near, look_up, k, config.fetched)
    edges = np.empty((len(vectors), k), np.uint64)
    with side_by_side_products() as pool:
        size = config.block_rows * LOOKED_UP_AT_ONCE
        blocks = [np.sort(order[block]) for block in row_blocks(len(vectors), size)]
        for block, found in zip(blocks, pool.map(first, blocks), strict=True):
            edges[block] = found
            told(len(block))
    del look_up, first
    for _ in range(config.rounds):
        edges = join_round(edges, vectors, config, told, order)
    return Graph(settled(edges), cells, {"cells": len(cells), "probes": near.shape[1], "rounds": config.rounds})


def exact_graph(vectors: Floats, k: int, config: IndexConfig, advance: Callable[[int], None]) -> Graph:
    """What `guess_graph` gives, by an exhaustive search."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)

    def search(rows: Rows) -> Edges:
        found = index.search(vectors[rows], min(k + 1, len(vectors)))[1].astype(np.int32)
        return best_edges(np.full((len(rows), k), NONE), found, vectors[rows], vectors, rows)

    return Graph(settled(by_block(len(vectors), k, config.block_rows, search, advance)), None, {})


def _first_guess(vectors: Floats, near: Numbers, look_up: LookUp, k: int, most: int, rows: Rows) -> Edges:
    """The best k, at full precision, of the `most` nearest by level in the cells near to some rows, which ascend."""
    whole, least = look_up.levels.rows(vectors[rows]), np.ones(len(rows), np.uint8)
    for _, some, found in look_up.products(whole, near[rows, :_FIRST]):
        if found.shape[1] > k:
            last = found.shape[1] - k - 1  # one more than k, as one may be the row itself
            least[some] = np.maximum(least[some], np.partition(found, last, axis=1)[:, last])
    parts = [pairs.bounded(most, many) for pairs, many in look_up.pairs(whole, near[rows], rows, least)]
    candidates = joined(parts).nearest(most).by_row(rows)
    return best_edges(np.full((len(rows), k), NONE), candidates, vectors[rows], vectors, rows)


def join_round(
    edges: Edges, vectors: Floats, config: IndexConfig, told: Callable[[int], None], order: Rows | None = None
) -> Edges:
    """The edges (n, k) among unit vectors (n, d) after a look at the neighbours of neighbours, where one of the two
    steps is fresh. Fresh are then those that came. In an order (n,) in which near ones follow one another, what one
    compares with is still at hand for the next."""
    reverse = reversed_edges(edges, len(edges), config.spare_neighbours)
    n, k = edges.shape
    return by_block(n, k, config.block_rows, lambda rows: _join(edges, reverse, vectors, rows), told, order)


def _join(edges: Edges, reverse: Edges, vectors: Floats, rows: Rows) -> Edges:
    """The best of the neighbours, of those that have the vector for a neighbour, and of both's neighbours."""
    near = np.concatenate([edges[rows], reverse[rows]], axis=1)
    candidates = np.concatenate([numbers_of(reverse[rows]), hops(near, edges)], axis=1)
    return best_edges(edges[rows] & ~FRESH, candidates, vectors[rows], vectors, rows)


def hops(near: Edges, edges: Edges) -> Numbers:
    """(b, j * k) the neighbours, by `edges` (n, k), of those that edges (b, j) lead to, where one of the two steps is
    new: what two old edges lead to was looked at before."""
    others = numbers_of(near)
    found = edges[others]
    found[~((near[:, :, None] | found) & FRESH).astype(bool) | (others < 0)[:, :, None]] = NONE
    return numbers_of(found).reshape(len(near), -1)


class Share:
    """Tells of rows done in several passes as of rows done once."""

    def __init__(self, advance: Callable[[int], None], passes: int) -> None:
        self._advance, self._passes, self._rows, self._told = advance, passes, 0, 0

    def __call__(self, rows: int) -> None:
        self._rows += rows
        due = self._rows // self._passes - self._told
        self._told += due
        self._advance(due)


def by_block(
    n: int, k: int, size: int, work: Callable[[Rows], Edges], told: Callable[[int], None], order: Rows | None = None
) -> Edges:
    """What `work` makes of each block of rows, in an order (n,), together (n, k); as many blocks at a time as there are
    cores."""
    out = np.empty((n, k), np.uint64)

    def put(block: Rows) -> None:
        rows = block if order is None else order[block]
        out[rows] = work(rows)

    for done, _ in side_by_side(n, size, put):
        told(done)
    return out
