"""The stage `index`: each segment's nearest neighbours by cosine, exact for few segments, guessed for many.

Equal vectors enter the index once, as one vector with several members: left in, they would fill each other's places
and leave it to chance which of them are found. Similarities are computed again for the pairs found, each from its two
vectors alone, so that a similarity is the same bits in both directions and ties are ties.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from embeddings.guessing import guess_neighbours, row_blocks
from embeddings.shards import DIGEST_BYTES, Rows, as_digests
from embeddings.vectors import open_vectors
from refrain.artifacts import Store
from refrain.config import IndexConfig
from refrain.errors import StoreError
from refrain.progress import Progress

logger = logging.getLogger(__name__)

NORM_TOLERANCE = 1e-3  # how far from 1 a float32 vector's norm may lie by rounding alone, generously
NO_SIMILARITY = -1.0  # stands where there is no neighbour: the least that a cosine can be

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Neighbours:
    """`indices` (n, k) int64, -1 where fewer, and `similarities` (n, k) float32, descending, ties by index."""

    indices: Rows
    similarities: Floats
    kind: str  # flat or quantised
    parameters: dict[str, int]


@dataclass(frozen=True)
class Groups:
    """Equal vectors: group g has `counts[g]` members, ascending, from `starts[g]` on in `members`."""

    members: Rows  # (n,)
    starts: Rows  # (g,)
    counts: Rows  # (g,)
    group: Rows  # (n,) of each vector

    @property
    def first(self) -> Rows:
        """The smallest member of each group (g,), ascending."""
        return self.members[self.starts]


def find_neighbours(
    requests: Path, vectors: Path, out: Path, config: IndexConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of segments, distinct vectors and neighbours found; the arrays lie in `out`."""
    opened = open_vectors(vectors, store)
    n = len(opened.segment_rows)
    with progress.task("finding neighbours", n) as advance:
        found = nearest_of(n, opened.gather, config, advance)
    np.save(out / "segment_rows.npy", opened.segment_rows, allow_pickle=False)
    np.save(out / "indices.npy", found.indices, allow_pickle=False)
    np.save(out / "similarities.npy", found.similarities, allow_pickle=False)
    description = {"kind": found.kind, "neighbours": config.neighbours, **found.parameters}
    (out / "index.json").write_text(json.dumps(description, sort_keys=True) + "\n", encoding="ascii")
    logger.info("%d segments searched, kind %s", n, found.kind)
    return {
        "segments": n,
        "distinct_vectors": found.parameters["distinct_vectors"],
        "neighbours": int((found.indices >= 0).sum()),
    }


def nearest(vectors: Floats, config: IndexConfig) -> Neighbours:
    """The `config.neighbours` nearest of each of the unit vectors (n, d); see `nearest_of`."""
    return nearest_of(len(vectors), lambda rows: vectors[rows], config)


def nearest_of(
    n: int, gather: Callable[[Rows], Floats], config: IndexConfig, advance: Callable[[int], None] = lambda units: None
) -> Neighbours:
    """The `config.neighbours` nearest of each of n unit vectors, itself left out by its position.

    `gather` gives the vectors (m, d) at some positions; in memory lie the distinct ones only. Exact below
    `config.exact_below` of them. StoreError where a vector is not of length 1 (zero, not finite): it has no direction,
    so no cosine.
    """
    k = config.neighbours
    if not n:
        return Neighbours(np.empty((0, k), np.int64), np.empty((0, k), np.float32), "flat", {"distinct_vectors": 0})
    groups = group_equal(_checked_blocks(n, gather, config.block_rows))
    distinct = np.ascontiguousarray(gather(groups.first))
    kind = "flat" if len(distinct) < config.exact_below else "quantised"
    search = _exact if kind == "flat" else guess_neighbours
    near, parameters = search(distinct, k + config.spare_neighbours, config, advance)
    wanted = k + 1  # the group that a vector belongs to is among its own candidates
    candidates = np.full((len(distinct), wanted), -1, dtype=np.int64)
    similarities = np.full((len(distinct), wanted), NO_SIMILARITY, dtype=np.float32)
    for block in row_blocks(len(distinct), config.block_rows):
        near_groups = np.concatenate([block[:, None], near[block]], axis=1)
        values = np.einsum("id,ijd->ij", distinct[block], distinct[near_groups])
        candidates[block], similarities[block] = _expand(near_groups, values, groups, wanted)
    del distinct, near
    advance(n - len(groups.starts))
    found = _without_self(candidates[groups.group], similarities[groups.group], k)
    return Neighbours(*found, kind, {"distinct_vectors": len(groups.starts), **parameters})


def _checked_blocks(n: int, gather: Callable[[Rows], Floats], rows: int) -> Iterator[Floats]:
    """The vectors in blocks; StoreError after the last where any is not of length 1."""
    bad = 0
    for block in row_blocks(n, rows):
        vectors = gather(block)
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        bad += int((~(np.abs(norms - 1) <= NORM_TOLERANCE)).sum())
        yield vectors
    if bad:
        raise StoreError(f"{bad} vectors are not of length 1", hint="embed again: the vectors' store is damaged")


def group_equal(blocks: Iterable[Floats]) -> Groups:
    """The groups of bitwise equal vectors, in the order of their smallest members."""
    digests = as_digests(
        [hashlib.blake2b(row.tobytes(), digest_size=DIGEST_BYTES).digest() for block in blocks for row in block]
    )
    _, first, inverse = np.unique(digests, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    group = rank[inverse]
    counts = np.bincount(group, minlength=len(first)).astype(np.int64)
    return Groups(np.argsort(group, kind="stable"), np.cumsum(counts) - counts, counts, group)


def _exact(
    distinct: Floats, k: int, config: IndexConfig, advance: Callable[[int], None]
) -> tuple[NDArray[np.int32], dict[str, int]]:
    """What `guess_neighbours` gives, of an exhaustive search."""
    import faiss

    index = faiss.IndexFlatIP(distinct.shape[1])
    index.add(distinct)
    out = np.full((len(distinct), k), -1, np.int32)
    for block in row_blocks(len(distinct), config.block_rows):
        found = index.search(distinct[block], min(k + 1, len(distinct)))[1]
        found[found == block[:, None]] = -1
        # Itself goes to the end, and out where it was among them.
        found = np.take_along_axis(found, np.argsort(found < 0, axis=1, kind="stable"), axis=1)[:, :k]
        out[block, : found.shape[1]] = found
        advance(len(block))
    return out, {}


def _expand(near: Rows, values: Floats, groups: Groups, wanted: int) -> tuple[Rows, Floats]:
    """The best `wanted` members of the groups `near` (b, c), -1 for none, by similarity and then position."""
    rows, columns = np.nonzero(near >= 0)
    chosen = near[rows, columns]
    times = np.minimum(groups.counts[chosen], wanted)
    within = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
    rows = np.repeat(rows, times)
    members = groups.members[np.repeat(groups.starts[chosen], times) + within]
    values = np.repeat(values[near >= 0], times)
    order = np.lexsort((members, -values, rows))
    rows = rows[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    keep = rank < wanted
    indices = np.full((len(near), wanted), -1, dtype=np.int64)
    similarities = np.full((len(near), wanted), NO_SIMILARITY, dtype=np.float32)
    indices[rows[keep], rank[keep]] = members[order][keep]
    similarities[rows[keep], rank[keep]] = values[order][keep]
    return indices, similarities


def _without_self(indices: Rows, similarities: Floats, k: int) -> tuple[Rows, Floats]:
    """The first k of each row (n, k + 1) once the row's own position is taken out."""
    own = indices == np.arange(len(indices))[:, None]
    order = np.argsort(own, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(indices, order, axis=1), np.take_along_axis(similarities, order, axis=1)
