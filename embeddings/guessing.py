"""Near neighbours of many vectors: a first guess by a quantised index, then neighbours of neighbours.

The guess is an inverted file of product-quantised codes of four bits (Jegou, Douze and Schmid, "Product quantization
for nearest neighbor search", 2011; Andre, Kermarrec and Le Scouarnec, "Cache locality is not enough", 2015), whose scan
is a tenth of one at full precision and finds three neighbours in four. A neighbour of a neighbour is likely a neighbour
(Dong, Moses and Li, "Efficient k-nearest neighbor graph construction for generic similarity measures", 2011): each
round compares every vector with those, new ones only, at full precision.

Blocks of rows are worked on one by one, each by one thread that sees nothing of the others: neither the number of
cores nor their order changes a bit, and a worker can be handed any stretch of rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from embeddings.blocks import side_by_side
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
from embeddings.shards import Rows
from refrain.config import IndexConfig

_CODE_BITS = 4  # of a subvector: what one shuffle of a vector register looks up
_SUBVECTOR = 2  # dimensions


@dataclass(frozen=True)
class Graph:
    """The near neighbours of some unit vectors (n, d): `edges` (n, k), and the index that guessed them, with what it
    was built with."""

    edges: Edges
    index: Any  # of faiss; searched for other vectors too
    parameters: dict[str, int]


def guess_graph(vectors: Floats, k: int, config: IndexConfig, advance: Callable[[int], None]) -> Graph:
    """The graph of each unit vector's (n, d) k near neighbours, itself left out. `advance` is told the number of
    vectors, of every pass its part."""
    told = Share(advance, 1 + config.rounds)
    index, parameters = _quantised(vectors, config)
    first = partial(first_guess, index, vectors, vectors, k=k, fetched=config.fetched, probes=config.probes)
    edges = by_block(len(vectors), k, config.block_rows, first, told)
    for _ in range(config.rounds):
        edges = join_round(edges, vectors, config, told)
    return Graph(settled(edges), index, {**parameters, "rounds": config.rounds})


def exact_graph(vectors: Floats, k: int, config: IndexConfig, advance: Callable[[int], None]) -> Graph:
    """What `guess_graph` gives, by an exhaustive search."""
    import faiss

    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    first = partial(first_guess, index, vectors, vectors, k=k, fetched=config.fetched, probes=config.probes)
    edges = by_block(len(vectors), k, config.block_rows, first, advance)
    return Graph(settled(edges), index, {})


def first_guess(
    index: Any, queries: Floats, vectors: Floats, rows: Rows, *, k: int, fetched: int, probes: int
) -> Edges:
    """The best k of what the index of `vectors` finds for some queries, at full precision: of the `fetched` first by
    their codes in `probes` cells, where it has any. Where both arrays are the same a vector is not its own neighbour.
    """
    import faiss

    own = rows if queries is vectors else None
    if hasattr(index, "nlist"):
        parameters = faiss.SearchParametersIVF(nprobe=min(index.nlist, probes))  # type: ignore[call-arg]
        found = index.search(queries[rows], fetched, params=parameters)[1]
    else:
        found = index.search(queries[rows], min(k + 1, len(vectors)))[1]
    return best_edges(np.full((len(rows), k), NONE), found.astype(np.int32), queries[rows], vectors, own)


def _quantised(vectors: Floats, config: IndexConfig) -> tuple[Any, dict[str, int]]:
    import faiss

    n, dimension = vectors.shape
    cells = min(n, max(1, round(config.cells_per_root * n**0.5)))
    parts = dimension // _SUBVECTOR if dimension % _SUBVECTOR == 0 else dimension
    index = faiss.IndexIVFPQFastScan(
        faiss.IndexFlatIP(dimension), dimension, cells, parts, _CODE_BITS, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed = config.seed
    index.cp.niter = config.training_rounds
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1  # faiss would warn on stderr; the sample's size is ours to choose
    index.cp.max_points_per_centroid = config.training_rows_per_cell
    sample = np.random.default_rng(config.seed).permutation(n)[: cells * config.training_rows_per_cell]
    index.train(vectors[np.sort(sample)])
    index.add(vectors)
    return index, {"cells": cells, "probes": min(cells, config.probes)}


def join_round(edges: Edges, vectors: Floats, config: IndexConfig, told: Callable[[int], None]) -> Edges:
    """The edges (n, k) among unit vectors (n, d) after a look at the neighbours of neighbours, where one of the two
    steps is fresh. Fresh are then those that came."""
    reverse = reversed_edges(edges, len(edges), config.spare_neighbours)
    n, k = edges.shape
    return by_block(n, k, config.block_rows, lambda rows: _join(edges, reverse, vectors, rows), told)


def _join(edges: Edges, reverse: Edges, vectors: Floats, rows: Rows) -> Edges:
    """The best of the neighbours, of those that have the vector for a neighbour, and of both's neighbours."""
    near = np.concatenate([edges[rows], reverse[rows]], axis=1)
    candidates = np.concatenate([numbers_of(reverse[rows]), hops(near, edges, of_edges=True)], axis=1)
    return best_edges(edges[rows] & ~FRESH, candidates, vectors[rows], vectors, rows)


def hops(near: Edges, edges: Edges, *, of_edges: bool = False) -> Numbers:
    """(b, j * k) the neighbours, by `edges` (n, k), of those that edges (b, j) lead to, by new edges only: what two
    old edges lead to was looked at before. With `of_edges` an edge of the second step may be the new one."""
    others = numbers_of(near)
    found = edges[others]
    new = near[:, :, None] | found if of_edges else np.broadcast_to(near[:, :, None], found.shape)
    found[~(new & FRESH).astype(bool) | (others < 0)[:, :, None]] = NONE
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


def by_block(n: int, k: int, size: int, work: Callable[[Rows], Edges], told: Callable[[int], None]) -> Edges:
    """What `work` makes of each block of rows, together (n, k); as many blocks at a time as there are cores."""
    out = np.empty((n, k), np.uint64)

    def put(rows: Rows) -> None:
        out[rows] = work(rows)

    for done, _ in side_by_side(n, size, put):
        told(done)
    return out
