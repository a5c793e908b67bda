"""The stage `embed`: every distinct segment's vector, encoded once for each encoder and text.

`vectors.parquet` names a segment's vector by its digest, not by where in the store it lies: what an earlier night
encoded in other shards must not change a byte of this night's result.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embeddings.encoder import Encoder
from embeddings.sampling import SAMPLE, sample_by_script, write_sample
from embeddings.shards import (
    DIGEST_BYTES,
    Digests,
    Rows,
    Shards,
    as_digests,
    digests_of,
    open_shards,
    sweep_shards,
    write_shard,
)
from embeddings.tiers import open_encoders
from refrain.artifacts import Store
from refrain.config import EmbedConfig
from refrain.errors import StoreError
from refrain.progress import Progress
from refrain.queries import ROW_GROUP_ROWS, batches, database, write_table
from refrain.scripts import script_of

logger = logging.getLogger(__name__)

VECTORS, ENCODER = "vectors.parquet", "encoder.json"
DIGEST_FIELD = pa.field("digest", pa.binary(DIGEST_BYTES), nullable=False)
SCHEMA = pa.schema([pa.field("segment_row", pa.int64(), nullable=False), DIGEST_FIELD])
NEW_SCHEMA = pa.schema([DIGEST_FIELD, pa.field("text", pa.string(), nullable=False)])
# Distinct texts have distinct digests, so this order is total.
NEW_SQL = """
    SELECT digest, text FROM read_parquet($segments) SEMI JOIN new_rows USING (segment_row) ORDER BY digest
"""


@dataclass(frozen=True)
class SegmentVectors:
    """The vectors of a run's segments: `segment_rows` (n,) ascending, and where in the shards each lies."""

    segment_rows: Rows
    dimension: int
    shards: Shards
    owner: NDArray[np.int32]  # (n,) position of the shard
    offset: Rows  # (n,) row in the shard

    def gather(self, positions: Rows) -> NDArray[np.float32]:
        """Unit vectors (m, d) of the segments at `positions` in `segment_rows`."""
        return self.shards.gather(self.owner[positions], self.offset[positions], self.dimension)


def embed_segments(
    requests: Path, out: Path, config: EmbedConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of segments, of those without a letter, of those encoded now and of shards that were damaged.

    Only texts that the store does not know for this encoder are encoded.
    """
    encoder, reader = open_encoders(config, store.encoders)
    return embed_with(
        encoder, requests, out, config, store=store, progress=progress, reader=reader.fingerprint if reader else ""
    )


def embed_with(
    encoder: Encoder,
    requests: Path,
    out: Path,
    config: EmbedConfig,
    *,
    store: Store,
    progress: Progress,
    reader: str = "",
) -> dict[str, int]:
    """What `embed_segments` does, with an encoder of one's own.

    `reader` is the fingerprint of the one that says what is near a probe, if not `encoder`: the score stage reads a few
    segments with it (embeddings/reading.py).
    """
    folder = store.vectors / encoder.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    sweep_shards(folder)
    shards = open_shards(folder)
    segments = requests / "segments.parquet"
    total = pq.ParquetFile(segments).metadata.num_rows
    with progress.task("looking up vectors", total) as advance:
        rows, digests, new_rows, scripts = _lookup(segments, shards, advance)
    with (
        progress.task("encoding segments", len(new_rows)) as advance,
        database(config.memory_limit_mib, out) as connection,
    ):
        connection.register("new_rows", pa.table({"segment_row": new_rows}))
        new = batches(connection, NEW_SQL, NEW_SCHEMA, {"segments": str(segments)})
        for part in _portions(new, config.shard_rows):
            vectors = encoder.encode(part.column("text").to_pylist())
            write_shard(folder, digests_of(part.column("digest")), vectors)
            advance(part.num_rows)
    write_table(out / VECTORS, SCHEMA, _blocks(rows, digests))
    write_sample(out / SAMPLE, sample_by_script(rows, scripts, config.probe_sample))
    description = {
        "model": encoder.model,
        "fingerprint": encoder.fingerprint,
        "dimension": encoder.dimension,
        "reader": reader or encoder.fingerprint,
    }
    (out / ENCODER).write_text(json.dumps(description, sort_keys=True) + "\n", encoding="utf-8")
    logger.info("%d of %d segments were new to the encoder", len(new_rows), total)
    return {
        "segments": total,
        "without_letters": total - len(rows),
        "encoded": len(new_rows),
        "damaged_shards": shards.damaged,
    }


def open_vectors(vectors: Path, store: Store) -> SegmentVectors:
    """The vectors that a finished `vectors` folder names; StoreError where the store no longer holds all of them."""
    description = json.loads((vectors / ENCODER).read_text(encoding="utf-8"))
    table = pq.read_table(vectors / VECTORS)
    shards = open_shards(store.vectors / str(description["fingerprint"]))
    owner, offset = shards.find(digests_of(table.column("digest")))
    if (owner < 0).any():
        raise StoreError(
            f"{int((owner < 0).sum())} vectors are missing in the store or damaged",
            hint=f"remove {store.stages / 'vectors'} and embed again: only what is missing is encoded",
        )
    return SegmentVectors(table.column("segment_row").to_numpy(), int(description["dimension"]), shards, owner, offset)


def has_letter(text: str) -> bool:
    """Whether any character is a letter: without, there is nothing for an encoder to read."""
    return any(map(str.isalpha, text))  # ends at the first, mostly the first character


def _lookup(
    segments: Path, shards: Shards, advance: Callable[[int], None]
) -> tuple[Rows, Digests, Rows, NDArray[np.int8]]:
    """Rows and digests of the segments with a letter, the rows of those that no shard holds, and all their scripts."""
    none = np.empty(0, dtype=np.int64)
    rows, digests, new, scripts = [none], [as_digests([])], [none], [np.empty(0, np.int8)]
    for batch in pq.ParquetFile(segments).iter_batches(ROW_GROUP_ROWS, columns=["segment_row", "digest", "text"]):
        texts = batch["text"].to_pylist()
        lettered = np.fromiter(map(has_letter, texts), bool, len(texts))
        some = batch["segment_row"].to_numpy()[lettered]
        theirs = digests_of(batch["digest"])[lettered]
        rows.append(some)
        digests.append(theirs)
        new.append(some[shards.find(theirs)[0] < 0])
        scripts.append(np.fromiter(map(script_of, compress(texts, lettered)), np.int8, len(some)))
        advance(len(batch))
    return np.concatenate(rows), np.concatenate(digests), np.concatenate(new), np.concatenate(scripts)


def _portions(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The rows of `tables` in tables of exactly `rows`, the last one shorter, whatever the portions they came in."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        while sum(part.num_rows for part in held) >= rows:
            whole = pa.concat_tables(held)
            yield whole.slice(0, rows)
            held = [whole.slice(rows)]
    if sum(part.num_rows for part in held):
        yield pa.concat_tables(held)


def _blocks(rows: Rows, digests: Digests) -> Iterator[pa.Table]:
    for start in range(0, len(rows), ROW_GROUP_ROWS):
        block = slice(start, start + ROW_GROUP_ROWS)
        values = pa.Array.from_buffers(
            pa.binary(digests.itemsize), len(rows[block]), [None, pa.py_buffer(np.ascontiguousarray(digests[block]))]
        )
        yield pa.table([pa.array(rows[block]), values], schema=SCHEMA)
