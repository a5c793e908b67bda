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
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embeddings.blocks import row_blocks
from embeddings.cells import Cells
from embeddings.edges import (
    NONE,
    Edges,
    Floats,
    Numbers,
    best_edges,
    distances_of,
    no_farther,
    numbers_of,
    padded,
    settled,
)
from embeddings.guessing import LOOKED_UP_AT_ONCE, Graph, by_block
from embeddings.levels import Bytes, Levels
from embeddings.pairs import LookUp, Pairs, joined, side_by_side_products
from embeddings.shards import Rows
from refrain.config import IndexConfig
from refrain.counting import group_starts, ranges

_PROPOSED = 4  # times the neighbours wanted that are compared at full precision, of a vector with so many near ones


@dataclass(frozen=True)
class Side:
    """A set of unit vectors (n, d), its graph, and which of them (n,) are in the other set too."""

    vectors: Floats
    graph: Graph
    shared: NDArray[np.bool_]

    @property
    def order(self) -> Rows:
        """All of them (n,), near ones after one another."""
        cells = self.graph.cells
        return np.arange(len(self.vectors)) if cells is None else cells.numbers.astype(np.int64)

    @property
    def only(self) -> Rows:
        """Those that the other set does not have, in that order."""
        return self.order[~self.shared[self.order]]


@dataclass(frozen=True)
class Crossing:
    """Edges between what only one side has: `left_edges` (l, k) lead from `left_rows` (l,) to rows of the right side,
    and the other way round; rows without an edge are left out."""

    left_rows: Rows
    left_edges: Edges
    right_rows: Rows
    right_edges: Edges


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
    cells = asked.graph.cells or Cells.whole(asked.vectors)
    probes = max(1, int(config.crossing_probes_per_root * len(cells) ** 0.5))
    size = config.block_rows * LOOKED_UP_AT_ONCE
    queries, most = asking.only, _PROPOSED * config.neighbours
    near = np.empty((len(asking.vectors), min(probes, len(cells))), np.int32)
    near[queries] = cells.nearest(asking.vectors[queries], probes, size)
    look_up = LookUp.of(asked.vectors, cells, levels, near[queries])
    least = [levels.of(_least_cosines(side, config.neighbours)) for side in (asking, asked)]
    work = partial(_close, asking.vectors, near, look_up, most, least[0], least[1], asked.shared)
    here: list[Pairs] = []
    there: list[Pairs] = []
    with side_by_side_products() as pool:
        blocks = [np.sort(queries[block]) for block in row_blocks(len(queries), size)]
        for block, (own, others) in zip(blocks, pool.map(work, blocks), strict=True):
            here.append(own)
            there.append(others)
            told(len(block))
    del look_up, work
    edges = _edges(asking, asked, joined(here), config)
    turned = _edges(asked, asking, joined(there).turned().nearest(most), config)
    told(int((~asked.shared).sum()))
    return edges, turned


def _least_cosines(side: Side, k: int) -> Floats:
    """For each vector (n,) the cosine above which another is near enough to matter."""
    last = np.asarray(side.graph.edges[:, k - 1])
    return np.where(last == NONE, np.float32(-1), 1 - distances_of(last)).astype(np.float32)


def _close(
    vectors: Floats, near: Numbers, look_up: LookUp, most: int, least: Bytes, others_least: Bytes,
    shared: NDArray[np.bool_], rows: Rows,
) -> tuple[Pairs, Pairs]:  # fmt: skip
    """Pairs of some rows and what the cells nearest to them hold: those that may matter to the rows, the `most` nearest
    of each, and those that may matter to the others."""
    whole = look_up.levels.rows(vectors[rows])
    here, there = [], []
    for pairs, many in look_up.pairs(whole, near[rows], rows, least[rows], others_least):
        here.append(pairs.where(pairs.levels >= least[pairs.rows]).bounded(most, many))
        theirs = pairs.where(~shared[pairs.numbers] & (pairs.levels >= others_least[pairs.numbers]))
        there.append(theirs.turned().bounded(most, many).turned())
    return joined(here).nearest(most), joined(there)


def _edges(side: Side, other: Side, pairs: Pairs, config: IndexConfig) -> tuple[Rows, Edges]:
    """Rows of a side and their edges to the other, where they may be among the nearest, from pairs of the two that lie
    together by row."""
    k = config.neighbours
    limit = np.asarray(side.graph.edges[:, k - 1])
    edges = np.full((len(side.vectors), k), NONE)
    counts = np.bincount(pairs.rows, minlength=len(edges))
    first = group_starts(pairs.rows.astype(np.int64))
    starts = np.zeros(len(edges), np.int64)
    starts[pairs.rows[first]] = first
    order = side.order

    def look(chosen: NDArray[np.bool_], candidates: Callable[[Rows], Numbers]) -> None:
        rows = order[chosen[order]]

        def nearest(block: Rows) -> Edges:
            some = rows[block]
            found, numbers = edges[some], candidates(some)
            new = (numbers >= 0).any(axis=1)
            some = some[new]
            best = best_edges(settled(found[new]), numbers[new], side.vectors[some], other.vectors, None)
            found[new] = no_farther(best, limit[some])
            return found

        edges[rows] = by_block(len(rows), k, config.block_rows, nearest, lambda done: None)

    def proposed(rows: Rows) -> Numbers:
        many = counts[rows]
        return padded(pairs.numbers[np.repeat(starts[rows], many) + ranges(many)], many)

    def along_the_other(rows: Rows) -> Numbers:
        return _led_to(edges[rows, : config.spare_neighbours], other.graph.edges[:, :k])

    def of_own_neighbours(rows: Rows) -> Numbers:
        near = np.asarray(side.graph.edges[rows])[:, : config.spare_neighbours]
        return _led_to(near, edges[:, : config.spare_neighbours // 2])

    look(counts > 0, proposed)
    for _ in range(config.crossing_rounds):
        look(edges[:, 0] != NONE, along_the_other)
        look(~side.shared, of_own_neighbours)
    which = np.flatnonzero(edges[:, 0] != NONE)
    return which, settled(edges[which])


def _led_to(near: Edges, edges: Edges) -> Numbers:
    """The numbers (b, j * k), -1 for none, that the edges (n, k) of what some edges (b, j) lead to lead to."""
    others = numbers_of(near)
    found = numbers_of(edges[others])
    found[others < 0] = -1
    return found.reshape(len(near), -1)
