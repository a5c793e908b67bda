"""Near neighbours across two sets of vectors of which each has its own graph.

A vector that only one set has is looked up in the other's index, and from what is found along the other's graph: a
neighbour of a near vector is likely near (a search in a neighbour graph, as Malkov and Yashunin, "Efficient and robust
approximate nearest neighbor search using hierarchical navigable small world graphs", 2020, on its lowest layer). Both
directions are searched: who is nearest to whom is not mutual, and turning one direction's edges round finds three in
four of the other's at best (docs/log.md).

Only edges that could be among a vector's nearest are kept: those no longer than the last of its own set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embeddings.edges import NONE, Edges, Floats, best_edges, no_farther, settled
from embeddings.guessing import Graph, by_block, first_guess, hops
from embeddings.shards import Rows
from refrain.config import IndexConfig


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


def cross(left: Side, right: Side, config: IndexConfig, told: Callable[[int], None]) -> Crossing:
    """The edges between two sets. `told` hears of every vector that is looked up, once a pass."""
    return Crossing(*_looked_up(left, right, config, told), *_looked_up(right, left, config, told))


def _looked_up(side: Side, other: Side, config: IndexConfig, told: Callable[[int], None]) -> tuple[Rows, Edges]:
    """Rows of what only one side has and their edges to the other, where they may be among the nearest."""
    rows = np.flatnonzero(~side.shared)
    queries = side.vectors[rows]
    k = config.neighbours
    first = partial(
        first_guess, other.graph.index, queries, other.vectors, k=k, fetched=config.crossing_fetched,
        probes=config.crossing_probes,
    )  # fmt: skip
    edges = by_block(len(rows), k, config.block_rows, first, told)
    for _ in range(config.crossing_rounds):
        edges = by_block(len(rows), k, config.block_rows, partial(_follow, edges, queries, other, config), told)
    kept = no_farther(settled(edges), side.graph.edges[rows, k - 1])
    some = kept[:, 0] != NONE
    return rows[some], np.ascontiguousarray(kept[some])


def _follow(edges: Edges, queries: Floats, other: Side, config: IndexConfig, block: Rows) -> Edges:
    """The edges after a look at the neighbours of the nearest."""
    own = edges[block]
    candidates = hops(own[:, : config.spare_neighbours], other.graph.edges[:, : config.neighbours])
    return best_edges(settled(own), candidates, queries[block], other.vectors, None)
