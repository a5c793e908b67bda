"""Texts that people ask for, and the stored vectors nearest to them.

The vectors of a run lie memory-mapped in the store's shards. All of them are looked at: of half a million that is a
matrix product of some tenths of a second, and nothing is missed. The product only proposes; what is kept is decided by
cosines that come from their two vectors alone, so how the shards were cut changes no bit of an answer.

A static encoder needs its table and its tokenizer, and neither the transformer it came from nor torch: the tokenizer is
kept beside the table at the first query, which is what makes the second one fast.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embeddings.blocks import row_blocks
from embeddings.encoder import Encoder, Vectors, encoder_identity
from embeddings.shards import DIGEST_BYTES, Rows, Shards, open_shards
from embeddings.static import TABLE, StaticEncoder
from embeddings.tiers import open_encoders
from embeddings.vectors import ENCODER, VECTORS, open_vectors
from refrain.artifacts import Store, write_text
from refrain.config import EmbedConfig
from refrain.errors import StoreError

logger = logging.getLogger(__name__)

_MARGIN = 1e-5  # of a cosine: above what a product of unit vectors rounds by
_BLOCK_ROWS = 8192  # vectors whose cosines are computed at a time


@dataclass(frozen=True)
class Near:
    """Segments near a query: `segment_rows` (n,), their `cosines` (n,) descending, ties by row, and which of the
    queries each is nearest to, `queries` (n,)."""

    segment_rows: Rows
    cosines: NDArray[np.float64]
    queries: Rows


@dataclass(frozen=True)
class StoredVectors:
    """The vectors of a run as they lie in the store: that of `segment_rows[i]` is at `places[i]`, counted through the
    shards one after the other."""

    segment_rows: Rows
    places: Rows
    shards: Shards

    def nearest(self, queries: Vectors, top: int) -> Near:
        """The `top` segments nearest to any of the queries (q, d), fewer where there are no more.

        StoreError, naming the file, where what was found lies in a shard that is not what was committed.
        """
        best = [(shard.vectors @ queries.T).max(axis=1) for shard in self.shards.shards]
        scores = np.concatenate([np.empty(0, np.float32), *best])[self.places]
        if len(scores) > top:
            last = np.partition(scores, len(scores) - top)[len(scores) - top]
            chosen = np.flatnonzero(scores >= last - _MARGIN)
        else:
            chosen = np.arange(len(scores))
        ends = np.cumsum([len(part) for part in best], dtype=np.int64)
        places = self.places[chosen]
        owners = np.searchsorted(ends, places, side="right")
        offsets = places - np.concatenate([[0], ends])[owners]
        cosines = exact_cosines(self.shards.gather(owners.astype(np.int32), offsets, queries.shape[1]), queries)
        nearest = cosines.argmax(axis=1)
        values, rows = cosines[np.arange(len(chosen)), nearest], self.segment_rows[chosen]
        order = np.lexsort((rows, -values))[:top]
        self._check(np.unique(owners[order]).tolist())
        return Near(rows[order], values[order], nearest[order])

    def _check(self, owners: Sequence[int]) -> None:
        """Nothing; StoreError where a vector of one of these shards was changed. The others gave nothing."""
        for shard in (self.shards.shards[owner] for owner in owners):
            if not shard.is_intact():
                raise StoreError(
                    f"{shard.path}.vectors.npy does not match its record", hint="refrain embed RUN encodes it anew"
                )


def open_stored(vectors: Path, store: Store) -> StoredVectors:
    """The vectors that a finished `vectors` folder names, memory-mapped; StoreError where the store lacks some."""
    table = pq.read_table(vectors / VECTORS)
    shards = open_shards(store.vectors / read_description(vectors)["fingerprint"])
    raw = b"".join(np.ascontiguousarray(shard.digests).tobytes() for shard in shards.shards)
    count = len(raw) // DIGEST_BYTES
    held = pa.FixedSizeBinaryArray.from_buffers(pa.binary(DIGEST_BYTES), count, [None, pa.py_buffer(raw)])
    places = pc.index_in(table["digest"], value_set=held)  # of a digest in several shards any: the vectors are equal
    if places.null_count:
        raise StoreError(
            f"{places.null_count} vectors are missing in the store or damaged",
            hint="refrain embed RUN encodes what is missing",
        )
    return StoredVectors(table["segment_row"].to_numpy(), places.to_numpy().astype(np.int64), shards)


def rows_within(vectors: Path, store: Store, queries: Vectors, least: float) -> tuple[Rows, float]:
    """The rows (n,), ascending, of the segments whose cosine to one of the queries (q, d) is at least `least`, and the
    largest cosine of all, -1 where there is no segment."""
    opened = open_vectors(vectors, store)
    rows, largest = [np.empty(0, np.int64)], -1.0
    for block in row_blocks(len(opened.segment_rows), _BLOCK_ROWS):
        best = exact_cosines(opened.gather(block), queries).max(axis=1)
        rows.append(opened.segment_rows[block[best >= least]])
        largest = max(largest, float(best.max()))
    return np.concatenate(rows), largest


def near_digests(
    requests: Path, vectors: Path, texts: Sequence[str], least: float, config: EmbedConfig, *, store: Store
) -> tuple[tuple[str, ...], float]:
    """The digests, in hex and sorted, of the segments that `rows_within` finds near some texts, and the largest
    cosine."""
    queries = open_query_encoder(vectors, config, store.encoders).encode(texts)
    rows, largest = rows_within(vectors, store, queries, least)
    digests = pq.ParquetFile(requests / "segments.parquet").read(columns=["digest"])["digest"]
    return tuple(sorted(digest.hex() for digest in digests.take(pa.array(rows)).to_pylist())), largest


def exact_cosines(vectors: Vectors, queries: Vectors) -> NDArray[np.float64]:
    """Cosines (n, q) of unit vectors (n, d) and (q, d), each from its two vectors alone."""
    wide = vectors.astype(np.float64)
    out = np.empty((len(vectors), len(queries)))
    for at, query in enumerate(queries.astype(np.float64)):
        out[:, at] = (wide * query).sum(axis=1)  # row by row, unlike a product of matrices
    return out


def read_description(vectors: Path) -> dict[str, str]:
    """Which encoder made the vectors of a finished folder."""
    return {name: str(value) for name, value in json.loads((vectors / ENCODER).read_text(encoding="utf-8")).items()}


def open_query_encoder(vectors: Path, config: EmbedConfig, folder: Path) -> Encoder:
    """The encoder that made the vectors of a finished folder; what was distilled lies in `folder`.

    StoreError where the settings or what is installed here make another.
    """
    fingerprint = read_description(vectors)["fingerprint"]
    # Like the encoder itself, a kept tokenizer is of one model and of one version of the libraries.
    kept = folder / f"{fingerprint}.{encoder_identity(config)[:DIGEST_BYTES]}.tokenizer.json"
    encoder = _kept_encoder(config.model, fingerprint, folder / f"{fingerprint}.safetensors", kept)
    if encoder is not None:
        return encoder
    opened, _ = open_encoders(config, folder)
    if opened.fingerprint != fingerprint:
        raise StoreError(
            "the run's vectors were made with another encoder than the one that is here to ask with",
            hint="refrain embed RUN makes them anew; a log embedded on one device is searched on it",
        )
    if isinstance(opened, StaticEncoder):
        try:
            write_text(kept, opened.tokenizer.to_str())
        except OSError:  # a folder that others share and we may only read: the next query is as slow as this one
            logger.info("the tokenizer could not be kept")
    return opened


def _kept_encoder(model: str, fingerprint: str, table: Path, tokenizer: Path) -> StaticEncoder | None:
    """The static encoder of two kept files; None where either is not there or cannot be read."""
    if not (table.exists() and tokenizer.exists()):
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    try:
        opened = Tokenizer.from_str(tokenizer.read_text(encoding="utf-8"))
        opened.encode_special_tokens = True  # not part of what a tokenizer writes of itself
        return StaticEncoder(model, fingerprint, load_file(table)[TABLE], opened)
    except (OSError, ValueError, KeyError, SafetensorError):
        logger.warning("a kept tokenizer cannot be read and is written again")
        return None
