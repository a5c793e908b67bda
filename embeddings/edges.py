"""Edges of neighbour graphs, packed so that the smallest are the nearest.

An edge is 64 bits: the cosine distance as the bits of a float32 (of floats that are not negative these are in the order
of the floats), the neighbour's number, and whether it came in the last round. Ties go by number. A distance is the same
bits in both directions, as it comes from its two vectors alone.
"""

import numpy as np
from numpy.typing import NDArray

from embeddings.shards import Rows
from refrain.counting import ranges

Floats = NDArray[np.float32]
Edges = NDArray[np.uint64]
"""(n, k) ascending, NONE where there are fewer."""
Numbers = NDArray[np.int32]
NONE = np.uint64(np.iinfo(np.uint64).max)
FRESH = np.uint64(1)
_DISTANCE = np.uint64(33)  # bits below the distance
_HALF = np.iinfo(np.int32).max // 2 - 1


def packed(distances: Floats, numbers: Numbers) -> Edges:
    """Fresh edges of some distances, not negative, and numbers, -1 for none."""
    high = np.ascontiguousarray(distances, np.float32).view(np.uint32).astype(np.uint64)
    out = (high << _DISTANCE) | (numbers.astype(np.uint32).astype(np.uint64) << FRESH) | FRESH
    out[numbers < 0] = NONE
    return out


def numbers_of(edges: Edges) -> Numbers:
    """The neighbours' numbers, -1 where there is no edge."""
    return (edges >> FRESH).astype(np.uint32).view(np.int32)


def distances_of(edges: Edges) -> Floats:
    """The cosine distances; meaningless where there is no edge."""
    return (edges >> _DISTANCE).astype(np.uint32).view(np.float32)


def settled(edges: Edges) -> Edges:
    """The edges, none fresh; no edge is NONE, whether or not it was taken for an old one."""
    return np.where(edges | FRESH == NONE, NONE, edges & ~FRESH)


def renumbered(edges: Edges, numbers: Rows, *, fresh: bool) -> Edges:
    """The edges with `numbers[i]` in the place of number i, all fresh or none, ascending again."""
    high = (edges >> _DISTANCE) << _DISTANCE | np.uint64(fresh)
    out = np.where(edges == NONE, NONE, high | (numbers[numbers_of(edges)].astype(np.uint64) << FRESH))
    out.sort(axis=1)
    return out


def no_farther(edges: Edges, than: Edges) -> Edges:
    """The edges that are no longer than the edge `than` (b,) of their row, NONE for the others."""
    return np.where(edges >> _DISTANCE <= (than >> _DISTANCE)[:, None], edges, NONE)


def nearest_edges(first: Edges, second: Edges) -> Edges:
    """The smallest of both, each once, as many as `first` has columns; of equals the one that is not fresh."""
    both = np.concatenate([first, second], axis=1)
    both.sort(axis=1)
    both[:, 1:][both[:, 1:] >> FRESH == both[:, :-1] >> FRESH] = NONE
    k = first.shape[1]
    return np.sort(np.partition(both, k - 1, axis=1)[:, :k], axis=1)


def best_edges(own: Edges, candidates: Numbers, queries: Floats, vectors: Floats, own_rows: Rows | None) -> Edges:
    """The nearest of what the queries (b, d) have, `own` (b, k), and of the candidates (b, c) among `vectors`, which
    become fresh edges; `own_rows` are the queries' own numbers where they are among the vectors."""
    known = numbers_of(own)
    if own_rows is not None:
        known = np.concatenate([known, own_rows[:, None].astype(np.int32)], axis=1)
    new = without_known(known, candidates)
    both = np.concatenate([own, packed(cosine_distances(queries, vectors, new), new)], axis=1)
    k = own.shape[1]
    if both.shape[1] > k:
        both = np.partition(both, k - 1, axis=1)[:, :k]
    return np.sort(both, axis=1)


def without_known(known: Numbers, candidates: Numbers) -> Numbers:
    """The distinct candidates of each row that are not among the known ones, to the left, -1 behind them."""
    wide = max(known.max(initial=0), candidates.max(initial=0)) > _HALF  # half the bytes are sorted in half the time
    joined = np.concatenate([known, candidates], axis=1)
    keys: NDArray[np.int64] | NDArray[np.int32] = joined.astype(np.int64) if wide else joined.astype(np.int32)
    keys *= 2
    keys[:, known.shape[1] :] += 1
    keys.sort(axis=1)
    rows = keys >> 1
    new = (keys & 1).astype(bool) & (rows >= 0)
    new[:, 1:] &= rows[:, 1:] != rows[:, :-1]
    return padded(rows[new], new.sum(axis=1))


def padded(numbers: NDArray[np.integer], many: Rows) -> Numbers:
    """(b, c) numbers that lie one row's behind another's, `many` (b,) of each: side by side, -1 behind them."""
    out = np.full((len(many), int(many.max(initial=0))), -1, np.int32)
    out[np.repeat(np.arange(len(many)), many), ranges(many)] = numbers
    return out


def cosine_distances(queries: Floats, vectors: Floats, others: Numbers) -> Floats:
    """Cosine distances (b, c) of the queries (b, d) from some of the vectors, infinite where there is none."""
    import faiss

    queries, columns = np.ascontiguousarray(queries), np.ascontiguousarray(others, np.int64)
    cosines = np.empty(others.shape, np.float32)
    if others.size:
        faiss.fvec_inner_products_by_idx(  # type: ignore[attr-defined]
            faiss.swig_ptr(cosines), faiss.swig_ptr(queries), faiss.swig_ptr(vectors), faiss.swig_ptr(columns),
            vectors.shape[1], *others.shape,
        )  # fmt: skip
    return np.where(others < 0, np.float32(np.inf), np.maximum(1 - cosines, 0))


def reversed_edges(edges: Edges, count: int, most: int) -> Edges:
    """For each of `count` neighbours the edges that lead to it, turned round, the first `most` by rank at their start
    and then row: (count, most) without distances, as fresh as they were."""
    n = len(edges)
    target = numbers_of(edges).T.ravel()
    order = np.argsort(target, kind="stable")[int((target < 0).sum()) :]
    target = target[order]
    place = ranges(np.bincount(target, minlength=count))
    kept = place < most
    order, target, place = order[kept], target[kept], place[kept]
    out = np.full((count, most), NONE)
    out[target, place] = ((order % n).astype(np.uint64) << FRESH) | (edges.T.ravel()[order] & FRESH)
    return out
