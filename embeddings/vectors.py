"""The stage `embed`: every distinct segment's vector, encoded once for each encoder and text.

`vectors.parquet` names a segment's vector by its digest, not by where in the store it lies: what an earlier night
encoded in other shards must not change a byte of this night's result.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
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
from refrain.ahead import ahead
from refrain.artifacts import Store
from refrain.config import EmbedConfig
from refrain.counting import stable_order
from refrain.errors import StoreError
from refrain.letters import scripts_of
from refrain.progress import Progress
from refrain.queries import ROW_GROUP_ROWS, batches, database, write_table

logger = logging.getLogger(__name__)

VECTORS, ENCODER, SEGMENTS = "vectors.parquet", "encoder.json", "segments.parquet"
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

    @property
    def stored_order(self) -> Rows:
        """All positions in the order in which their vectors lie in the shards: so they are read soonest."""
        return stable_order((self.owner.astype(np.int64) << 32) | self.offset)


@dataclass(frozen=True)
class _Segments:
    """The segments of a run that have a letter: rows (n,) ascending, digests (n,), scripts (n,); `total` has all."""

    total: int
    rows: Rows
    digests: Digests
    scripts: NDArray[np.int8]


@dataclass(frozen=True)
class _Known:
    """An encoder's shards, and the rows of the segments that none of them holds."""

    shards: Shards
    new_rows: Rows


def embed_segments(
    requests: Path, out: Path, config: EmbedConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of segments, of those without a letter, of those encoded now and of shards that were damaged.

    Only texts that the store does not know for this encoder are encoded.
    """
    with ThreadPoolExecutor(1) as pool:  # a model takes seconds to load, and needs one core only
        opening = pool.submit(open_encoders, config, store.encoders)
        seen = _read(requests / SEGMENTS, progress)
        likely = _last_fingerprint(store)
        known = None if likely is None else _look_up(seen, store.vectors / likely)
        encoder, reader = opening.result()
    return embed_with(
        encoder, requests, out, config, store=store, progress=progress, seen=seen, known=known,
        reader=reader.fingerprint if reader else "",
    )  # fmt: skip


def embed_with(
    encoder: Encoder,
    requests: Path,
    out: Path,
    config: EmbedConfig,
    *,
    store: Store,
    progress: Progress,
    reader: str = "",
    seen: "_Segments | None" = None,
    known: "_Known | None" = None,
) -> dict[str, int]:
    """What `embed_segments` does, with an encoder of one's own. `seen` and `known` are given where they are there: the
    segments read, and looked up in the folder of an encoder, which counts if it is this one's.

    `reader` is the fingerprint of the one that says what is near a probe, if not `encoder`: the score stage reads a few
    segments with it (embeddings/reading.py).
    """
    folder = store.vectors / encoder.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    segments = requests / SEGMENTS
    seen = seen or _read(segments, progress)
    if known is None or known.shards.folder != folder:
        known = _look_up(seen, folder)
    new_rows = known.new_rows

    def encoded(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[pa.Table, NDArray[np.float32]]]:
        new = batches(connection, NEW_SQL, NEW_SCHEMA, {"segments": str(segments)})
        for part in _portions(new, config.shard_rows):
            yield part, encoder.encode(part.column("text").to_pylist())

    with (
        progress.task("encoding segments", len(new_rows)) as advance,
        database(config.memory_limit_mib, out) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.register("new_rows", pa.table({"segment_row": new_rows}))
        naming = pool.submit(write_table, out / VECTORS, SCHEMA, _blocks(seen.rows, seen.digests))
        for part, vectors in ahead(encoded(connection)):
            write_shard(folder, digests_of(part.column("digest")), vectors)
            advance(part.num_rows)
        naming.result()
    write_sample(out / SAMPLE, sample_by_script(seen.rows, seen.scripts, config.probe_sample))
    description = {
        "model": encoder.model,
        "fingerprint": encoder.fingerprint,
        "dimension": encoder.dimension,
        "reader": reader or encoder.fingerprint,
    }
    (out / ENCODER).write_text(json.dumps(description, sort_keys=True) + "\n", encoding="utf-8")
    logger.info("%d of %d segments were new to the encoder", len(new_rows), seen.total)
    return {
        "segments": seen.total,
        "without_letters": seen.total - len(seen.rows),
        "encoded": len(new_rows),
        "damaged_shards": known.shards.damaged,
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


def _read(segments: Path, progress: Progress) -> _Segments:
    """The segments with a letter."""
    none = np.empty(0, dtype=np.int64)
    rows, digests, scripts = [none], [as_digests([])], [np.empty(0, np.int8)]
    with pq.ParquetFile(segments) as file:
        total = int(file.metadata.num_rows)
        with progress.task("looking up vectors", total) as advance:
            for batch in file.iter_batches(ROW_GROUP_ROWS, columns=["segment_row", "digest", "text"]):
                lettered = _lettered(batch["text"])
                rows.append(batch["segment_row"].to_numpy()[lettered])
                digests.append(digests_of(batch["digest"])[lettered])
                texts = pa.chunked_array([batch["text"].filter(pa.array(lettered))])
                scripts.append(scripts_of(texts).astype(np.int8))
                advance(len(batch))
    return _Segments(total, np.concatenate(rows), np.concatenate(digests), np.concatenate(scripts))


def _lettered(texts: pa.Array) -> NDArray[np.bool_]:
    """(n,) whether each text has a letter."""
    out: NDArray[np.bool_] = pc.match_substring_regex(texts, "[A-Za-z]").to_numpy(zero_copy_only=False)
    without = np.flatnonzero(~out)
    out = out.copy()
    out[without] = [has_letter(text) for text in texts.take(pa.array(without)).to_pylist()]
    return out


def _look_up(seen: _Segments, folder: Path) -> _Known:
    """Which of the segments no shard in a folder holds; every shard that holds one is read and found whole."""
    sweep_shards(folder)
    shards = open_shards(folder)
    owner, _ = shards.find(seen.digests)
    return _Known(shards, seen.rows[owner < 0])


def _last_fingerprint(store: Store) -> str | None:
    """The encoder of the stage's last result, which is likely to be this one's too; None where there is none."""
    try:
        results = [(path.stat().st_mtime_ns, path) for path in (store.stages / "vectors").glob(f"[!.]*/{ENCODER}")]
        fingerprint = str(json.loads(max(results)[1].read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return fingerprint if fingerprint.isalnum() else None


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
