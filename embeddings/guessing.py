"""Near neighbours of many vectors: a first guess by a quantised index, then neighbours of neighbours.

The guess is an inverted file of product-quantised codes of four bits (Jegou, Douze and Schmid, "Product quantization
for nearest neighbor search", 2011; Andre, Kermarrec and Le Scouarnec, "Cache locality is not enough", 2015), whose scan
is a tenth of one at full precision and finds three neighbours in four. A neighbour of a neighbour is likely a neighbour
(Dong, Moses and Li, "Efficient k-nearest neighbor graph construction for generic similarity measures", 2011): each
round compares every vector with those, new ones only, at full precision.

Blocks of rows are worked on one by one, each by one thread that sees nothing of the others: neither the number of
cores nor their order changes a bit, and a worker can be handed any stretch of rows.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embeddings.shards import Rows
from refrain.config import IndexConfig
from refrain.cores import core_count
from refrain.counting import ranges

Floats = NDArray[np.float32]
Edges = NDArray[np.uint64]
"""Edges to neighbours, (n, k) ascending: the cosine distance as the bits of a float32, the neighbour's row, whether it
came in the last round. So packed, the smallest are the nearest, and ties go by row."""
Numbers = NDArray[np.int32]
_CODE_BITS = 4  # of a subvector: what one shuffle of a vector register looks up
_SUBVECTOR = 2  # dimensions
_NONE = np.uint64(np.iinfo(np.uint64).max)
_FRESH = np.uint64(1)


def guess_neighbours(
    vectors: Floats, k: int, config: IndexConfig, advance: Callable[[int], None]
) -> tuple[Numbers, dict[str, int]]:
    """(n, k) rows of near neighbours of each unit vector (n, d), nearest first, none itself, -1 where fewer, and what
    the index was built with. `advance` is told the number of vectors, of every pass its part."""
    told = _Share(advance, 1 + config.rounds)
    edges, parameters = _first_guess(vectors, k, config, told)
    for _ in range(config.rounds):
        edges = _round(edges, vectors, config, told)
    return _numbers(edges), parameters


def _first_guess(vectors: Floats, k: int, config: IndexConfig, told: "_Share") -> tuple[Edges, dict[str, int]]:
    index, parameters = _quantised(vectors, config)
    edges = _by_block(
        len(vectors), k, config.block_rows, lambda rows: _search(index, vectors, rows, k, config), told
    )  # fmt: skip
    return edges, parameters


def _quantised(vectors: Floats, config: IndexConfig) -> tuple[Any, dict[str, int]]:
    import faiss

    n, dimension = vectors.shape
    cells = min(n, max(1, round(config.cells_per_root * n**0.5)))
    parts = dimension // _SUBVECTOR if dimension % _SUBVECTOR == 0 else dimension
    index = faiss.IndexIVFPQFastScan(
        faiss.IndexFlatIP(dimension), dimension, cells, parts, _CODE_BITS, faiss.METRIC_INNER_PRODUCT
    )
    index.cp.seed = config.seed
    index.cp.spherical = True
    index.cp.min_points_per_centroid = 1  # faiss would warn on stderr; the sample's size is ours to choose
    index.cp.max_points_per_centroid = config.training_rows_per_cell
    sample = np.random.default_rng(config.seed).permutation(n)[: cells * config.training_rows_per_cell]
    index.train(vectors[np.sort(sample)])
    index.add(vectors)
    index.nprobe = min(cells, config.probes)
    return index, {"cells": cells, "probes": int(index.nprobe), "rounds": config.rounds}


def _search(index: Any, vectors: Floats, rows: Rows, k: int, config: IndexConfig) -> Edges:
    """The best of what the codes find, at full precision."""
    found = index.search(vectors[rows], config.fetched)[1].astype(np.int32)
    return _best(np.full((len(rows), k), _NONE), found, vectors, rows)


def _round(edges: Edges, vectors: Floats, config: IndexConfig, told: "_Share") -> Edges:
    """The edges after a look at the neighbours of neighbours."""
    reverse = _reversed(edges, config.spare_neighbours)
    n, k = edges.shape
    return _by_block(n, k, config.block_rows, lambda rows: _join(edges, reverse, vectors, rows), told)


def _join(edges: Edges, reverse: Edges, vectors: Floats, rows: Rows) -> Edges:
    """The best of the neighbours, of those that have the vector for a neighbour, and of both's neighbours."""
    near = np.concatenate([edges[rows], reverse[rows]], axis=1)
    others = _numbers(near)
    hops = edges[others]
    # What two old edges lead to was looked at before.
    hops[~((near[:, :, None] | hops) & _FRESH).astype(bool) | (others < 0)[:, :, None]] = _NONE
    candidates = np.concatenate([_numbers(reverse[rows]), _numbers(hops).reshape(len(rows), -1)], axis=1)
    return _best(edges[rows] & ~_FRESH, candidates, vectors, rows)


def _best(own: Edges, candidates: Numbers, vectors: Floats, rows: Rows) -> Edges:
    """The nearest of what the rows have and of the candidates (b, c), themselves left out."""
    known = np.concatenate([_numbers(own), rows[:, None].astype(np.int32)], axis=1)
    new = _without_known(known, candidates)
    both = np.concatenate([own, _packed(_distances(vectors, rows, new), new)], axis=1)
    k = own.shape[1]
    if both.shape[1] > k:
        both = np.partition(both, k - 1, axis=1)[:, :k]
    return np.sort(both, axis=1)


def _without_known(known: Numbers, candidates: Numbers) -> Numbers:
    """The distinct candidates of each row that are not among the known ones, to the left, -1 behind them."""
    keys = np.concatenate([known.astype(np.int64) * 2, candidates.astype(np.int64) * 2 + 1], axis=1)
    keys.sort(axis=1)
    rows = keys >> 1
    new = (keys & 1).astype(bool) & (rows >= 0)
    new[:, 1:] &= rows[:, 1:] != rows[:, :-1]
    many = new.sum(axis=1)
    out = np.full((len(rows), int(many.max(initial=0))), -1, np.int32)
    out[np.repeat(np.arange(len(rows)), many), ranges(many)] = rows[new]
    return out


def _distances(vectors: Floats, rows: Rows, others: Numbers) -> Floats:
    """Cosine distances (b, c) of some vectors from others, infinite where there is none."""
    import faiss

    queries, columns = np.ascontiguousarray(vectors[rows]), np.ascontiguousarray(others, np.int64)
    cosines = np.empty(others.shape, np.float32)
    if others.size:
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
            faiss.swig_ptr(cosines), faiss.swig_ptr(queries), faiss.swig_ptr(vectors), faiss.swig_ptr(columns),
            vectors.shape[1], *others.shape,
        )  # fmt: skip
    return np.where(others < 0, np.float32(np.inf), np.maximum(1 - cosines, 0))


def _packed(distances: Floats, numbers: Numbers) -> Edges:
    """Fresh edges. The bits of floats that are not negative are in the order of the floats."""
    high = np.ascontiguousarray(distances, np.float32).view(np.uint32).astype(np.uint64)
    out = (high << np.uint64(33)) | (numbers.astype(np.uint32).astype(np.uint64) << _FRESH) | _FRESH
    out[numbers < 0] = _NONE
    return out


def _numbers(edges: Edges) -> Numbers:
    return (edges >> _FRESH).astype(np.uint32).view(np.int32)


def _reversed(edges: Edges, most: int) -> Edges:
    """For each vector the edges that lead to it, turned round, the first `most` by rank at their start and then row."""
    n = len(edges)
    target = _numbers(edges).T.ravel()
    order = np.argsort(target, kind="stable")[int((target < 0).sum()) :]
    target = target[order]
    place = ranges(np.bincount(target, minlength=n))
    kept = place < most
    order, target, place = order[kept], target[kept], place[kept]
    out = np.full((n, most), _NONE)
    out[target, place] = ((order % n).astype(np.uint64) << _FRESH) | (edges.T.ravel()[order] & _FRESH)
    return out


def row_blocks(n: int, size: int) -> Iterator[Rows]:
    """0..n-1 in stretches of `size`."""
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))


class _Share:
    """Tells of rows done in several passes as of rows done once."""

    def __init__(self, advance: Callable[[int], None], passes: int) -> None:
        self._advance, self._passes, self._rows, self._told = advance, passes, 0, 0

    def __call__(self, rows: int) -> None:
        self._rows += rows
        due = self._rows // self._passes - self._told
        self._told += due
        self._advance(due)


def _by_block(n: int, k: int, size: int, work: Callable[[Rows], Edges], told: _Share) -> Edges:
    """What `work` makes of each block of rows, together (n, k); as many blocks at a time as there are cores."""
    import faiss

    out = np.empty((n, k), np.uint64)

    def put(rows: Rows) -> int:
        out[rows] = work(rows)
        return len(rows)

    with ThreadPoolExecutor(core_count(), initializer=faiss.omp_set_num_threads, initargs=(1,)) as pool:
        for done in pool.map(put, row_blocks(n, size)):
            told(done)
    return out
