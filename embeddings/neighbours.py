"""The stage `index`: each segment's nearest neighbours by cosine, exact for few segments, guessed for many.

Equal vectors enter the index once, as one vector with several members: left in, they would fill each other's places
and leave it to chance which of them are found. A similarity comes from its two vectors alone, so that it is the same
bits in both directions and ties are ties. Many segments are searched a day at a time (`days`), few all at once.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embeddings.blocks import row_blocks, side_by_side
from embeddings.days import Day, Kept, Window, search_window
from embeddings.edges import Edges, Floats, cosine_distances, distances_of, numbers_of
from embeddings.shards import DIGEST_BYTES, Rows, as_digests, digests_of
from embeddings.vectors import VECTORS, open_vectors
from refrain.artifacts import Store, digest_json
from refrain.code import code_digest
from refrain.config import IndexConfig
from refrain.counting import mix, ranges, stable_order
from refrain.errors import StoreError
from refrain.progress import NoProgress, Progress
from refrain.settings import plain

logger = logging.getLogger(__name__)

NORM_TOLERANCE = 1e-3  # how far from 1 a float32 vector's norm may lie by rounding alone, generously
_HASHED_AT_ONCE = 1024
NO_SIMILARITY = -1.0  # stands where there is no neighbour: the least that a cosine can be


@dataclass(frozen=True)
class Neighbours:
    """`indices` (n, k) int64, -1 where fewer, and `similarities` (n, k) float32, descending, ties by index."""

    indices: Rows
    similarities: Floats
    kind: str  # flat or quantised
    parameters: dict[str, int]
    reused: int = 0  # parts that were kept from earlier runs; no part of the result


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


@dataclass(frozen=True)
class Part:
    """Vectors of one day: their positions among all, ascending, and a name for what they are."""

    positions: Rows
    name: str


def find_neighbours(
    requests: Path, vectors: Path, out: Path, config: IndexConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of segments, distinct vectors and neighbours found, and of the days and pairs of days that were searched
    before; the arrays lie in `out`."""
    opened = open_vectors(vectors, store)
    code = digest_json([code_digest("embeddings.days"), plain(config), version("faiss-cpu")])
    kept = Kept(store.graphs, code)
    days = day_parts(requests, vectors, opened.shards.folder.name)
    parts = [part for part in days.values() if len(part.positions)]
    found = _search(opened.stored_order, opened.gather, config, parts, kept, progress)
    np.save(out / "segment_rows.npy", opened.segment_rows, allow_pickle=False)
    np.save(out / "indices.npy", found.indices, allow_pickle=False)
    np.save(out / "similarities.npy", found.similarities, allow_pickle=False)
    description = {"kind": found.kind, "neighbours": config.neighbours, **found.parameters}
    (out / "index.json").write_text(json.dumps(description, sort_keys=True) + "\n", encoding="ascii")
    logger.info("%d segments searched, kind %s", len(opened.segment_rows), found.kind)
    return {
        "segments": len(opened.segment_rows),
        "distinct_vectors": found.parameters["distinct_vectors"],
        "neighbours": int((found.indices >= 0).sum()),
        "reused_parts": found.reused,
    }


def nearest(vectors: Floats, config: IndexConfig, parts: Sequence[Part] = ()) -> Neighbours:
    """The `config.neighbours` nearest of each of the unit vectors (n, d), itself left out by its position.

    Exact below `config.exact_below` distinct ones; above, part by part where there are `parts`, which cover all.
    StoreError where a vector is not of length 1 (zero, not finite): it has no direction, so no cosine.
    """
    rows = np.arange(len(vectors))
    return _search(rows, lambda rows: vectors[rows], config, parts, Kept(None, ""), NoProgress())


def day_parts(requests: Path, vectors: Path, fingerprint: str) -> dict[str, Part]:
    """The vectors of each day of the log by the name of its folder, days in order, as the encoder with this fingerprint
    makes them."""
    table = pq.read_table(vectors / VECTORS)
    digests, segment_rows = digests_of(table["digest"]), table["segment_row"].to_numpy()
    count = int(segment_rows.max(initial=-1)) + 1
    parts = {}
    for path in sorted((requests / "request_segments").glob("*/*.parquet")):
        sent = np.zeros(count, bool)
        for batch in pq.ParquetFile(path).iter_batches(columns=["segment_row"]):
            rows = batch.column(0).to_numpy()
            sent[rows[rows < count]] = True
        positions = np.flatnonzero(sent[segment_rows])
        identity = hashlib.blake2b(digests[positions].tobytes(), key=fingerprint.encode()[:64], digest_size=16)
        parts[path.parent.name] = Part(positions, identity.hexdigest())
    return parts


def _search(
    stored: Rows,
    gather: Callable[[Rows], Floats],
    config: IndexConfig,
    parts: Sequence[Part],
    kept: Kept,
    progress: Progress,
) -> Neighbours:
    """The neighbours of the vectors that `gather` gives; `stored` are all rows, in the order in which to read them."""
    k, n = config.neighbours, len(stored)
    if not n:
        return Neighbours(np.empty((0, k), np.int64), np.empty((0, k), np.float32), "flat", {"distinct_vectors": 0})
    with progress.task("comparing vectors", n) as advance:
        groups = group_equal(_checked_words(stored, gather, config.block_rows, advance), gather)
    distinct = len(groups.starts)
    kind = "flat" if distinct < config.exact_below else "quantised"
    if kind == "flat" or not parts:
        days, kept = [Day(np.arange(distinct), "")], Kept(None, "")
    else:
        days = [Day(_in_order(groups.group[part.positions]), part.name) for part in parts]

    def distinct_vectors(rows: Rows) -> Floats:
        return np.ascontiguousarray(gather(groups.first[rows]))

    window = Window(distinct_vectors, distinct, tuple(days), config, kept, lambda units: None)
    with progress.task("finding neighbours", window.work) as advance:
        found = search_window(replace(window, advance=advance))
    indices, values = _ungrouped(found.edges, groups, distinct_vectors, k, config.block_rows)
    return Neighbours(indices, values, kind, {"distinct_vectors": distinct, **found.parameters}, found.reused)


def _ungrouped(
    edges: Edges, groups: Groups, distinct_vectors: Callable[[Rows], Floats], k: int, size: int
) -> tuple[Rows, Floats]:
    """The k nearest (n, k) of all vectors and their similarities, from the edges among the distinct ones."""
    n = len(groups.group)
    indices, values = np.full((n, k), -1), np.full((n, k), NO_SIMILARITY, np.float32)
    first, single = groups.first, groups.counts == 1

    def put(block: Rows) -> None:
        near = numbers_of(edges[block, :k])
        plain = single[block] & (single[near] | (near < 0)).all(axis=1)
        some = near[plain]
        at = first[block[plain]]
        indices[at] = np.where(some >= 0, first[some], -1)
        values[at] = np.where(some >= 0, 1 - distances_of(edges[block[plain], :k]), np.float32(NO_SIMILARITY))
        if not plain.all():
            few = block[~plain]
            own = np.concatenate([few[:, None], numbers_of(edges[few])], axis=1)  # equals are candidates too
            similar = np.concatenate([_own(few, groups, distinct_vectors), 1 - distances_of(edges[few])], axis=1)
            candidates, similarities = _expand(own, similar, groups, k + 1)
            row = np.repeat(np.arange(len(few)), groups.counts[few])
            at = groups.members[groups.starts[few][row] + ranges(groups.counts[few])]
            order = np.argsort(candidates[row] == at[:, None], axis=1, kind="stable")[:, :k]  # itself behind all
            indices[at] = np.take_along_axis(candidates[row], order, axis=1)
            values[at] = np.take_along_axis(similarities[row], order, axis=1)

    for _ in side_by_side(len(edges), size, put):
        pass
    return indices, values


def _in_order(groups: Rows) -> Rows:
    """The distinct ones in the order in which they first come."""
    return groups[np.sort(np.unique(groups, return_index=True)[1])]


def _own(block: Rows, groups: Groups, distinct_vectors: Callable[[Rows], Floats]) -> Floats:
    """(b, 1) the similarity of equal vectors to one another: 1 but for rounding; 1 where a vector has no equal."""
    out = np.ones((len(block), 1), np.float32)
    several = np.flatnonzero(groups.counts[block] > 1)
    if len(several):
        vectors = distinct_vectors(block[several])
        out[several] = 1 - cosine_distances(vectors, vectors, np.arange(len(several), dtype=np.int32)[:, None])
    return out


def _checked_words(
    stored: Rows, gather: Callable[[Rows], Floats], rows: int, advance: Callable[[int], None]
) -> NDArray[np.uint64]:
    """(n,) a word of each vector's bits: of equal vectors the same, of others hardly ever; they are read in the order
    `stored`. StoreError where any is not of length 1."""
    words = np.empty(len(stored), np.uint64)

    def look(block: Rows) -> int:
        vectors = gather(stored[block])
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        bits = np.ascontiguousarray(vectors).view(np.uint64 if vectors.shape[1] % 2 == 0 else np.uint32)
        odd = mix(np.arange(bits.shape[1], dtype=np.uint64)) | np.uint64(1)
        words[stored[block]] = mix(bits.astype(np.uint64, copy=False) @ odd)
        return int((~(np.abs(norms - 1) <= NORM_TOLERANCE)).sum())

    bad = 0
    for done, wrong in side_by_side(len(stored), rows, look):
        bad += wrong
        advance(done)
    if bad:
        raise StoreError(f"{bad} vectors are not of length 1", hint="embed again: the vectors' store is damaged")
    return words


def group_equal(words: NDArray[np.uint64], gather: Callable[[Rows], Floats]) -> Groups:
    """The groups of bitwise equal vectors, in the order of their smallest members, from a word (n,) of each; `gather`
    gives the vectors of some rows."""
    order = stable_order(words)
    same = np.concatenate([[False], words[order][1:] == words[order][:-1], [False]])
    alike = np.sort(order[same[1:] | same[:-1]])  # mostly few
    first = np.arange(len(words))
    if len(alike):
        digests = as_digests(
            [hashlib.blake2b(row.tobytes(), digest_size=DIGEST_BYTES).digest()
             for block in row_blocks(len(alike), _HASHED_AT_ONCE) for row in gather(alike[block])]
        )  # fmt: skip
        _, firsts, inverse = np.unique(digests, return_index=True, return_inverse=True)
        first[alike] = alike[firsts[inverse]]
    begins = first == np.arange(len(words))
    group = (np.cumsum(begins) - 1)[first]
    counts = np.bincount(group, minlength=int(begins.sum())).astype(np.int64)
    return Groups(stable_order(group), np.cumsum(counts) - counts, counts, group)


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
