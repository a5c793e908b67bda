"""Vectors by the transformer for segments that recur over owners: probes are judged by what reads a sentence.

A static encoder finds rewordings of one another; whether a sentence *means* what a probe means it cannot tell (its 98th
percentile of similarity to a probe holds a tenth of what the transformer calls near; docs/log.md). What recurs over
owners is a few percent of a log's text, and only templates are tagged. The vectors are kept in the store like all
others, so a night judges what is new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embeddings.encoder import Encoder
from embeddings.shards import as_digests, open_shards, sweep_shards, write_shard
from refrain.artifacts import Store
from refrain.config import EmbedConfig
from refrain.progress import Progress
from refrain.scripts import LATIN, script_of


@dataclass(frozen=True)
class Judged:
    """Segments with a vector of the judging encoder: `positions` (n,) ascending, their unit `vectors` (n, d), and the
    encoder."""

    positions: NDArray[np.int64]
    vectors: NDArray[np.float32]
    encoder: Encoder


def judge_segments(
    encoder: Encoder,
    segment_rows: NDArray[np.int64],
    requests: Path,
    config: EmbedConfig,
    *,
    store: Store,
    progress: Progress,
) -> Judged:
    """The vectors of those of `segment_rows` that at least `config.probe_owners` owners sent, in Latin script.

    Other scripts are measured by their letters alone. Only texts that the store does not know are encoded.
    """
    table = pq.read_table(requests / "segments.parquet", columns=["segment_row", "owners", "digest", "text"])
    table = table.take(pa.array(segment_rows))
    recurrent = np.flatnonzero(table["owners"].to_numpy() >= config.probe_owners)
    texts = table["text"].take(pa.array(recurrent)).to_pylist()
    latin = np.fromiter((script_of(text) == LATIN for text in texts), bool, len(texts))
    positions = recurrent[latin]
    digests = as_digests(table["digest"].take(pa.array(positions)).to_pylist())
    folder = store.vectors / encoder.fingerprint
    folder.mkdir(parents=True, exist_ok=True)
    sweep_shards(folder)
    _encode(encoder, folder, digests, [text for text, kept in zip(texts, latin, strict=True) if kept], config, progress)
    shards = open_shards(folder)
    shard, row = shards.find(digests)
    vectors = np.empty((len(positions), encoder.dimension), np.float32)
    for number in np.unique(shard):
        own = shard == number
        vectors[own] = shards.shards[number].vectors[row[own]]
    return Judged(positions, vectors, encoder)


def _encode(
    encoder: Encoder,
    folder: Path,
    digests: NDArray[np.bytes_],
    texts: Sequence[str],
    config: EmbedConfig,
    progress: Progress,
) -> None:
    """Nothing; the folder's shards then hold every text."""
    new = np.flatnonzero(open_shards(folder).find(digests)[0] < 0)
    new = new[np.argsort(digests[new], kind="stable")]
    with progress.task("reading what recurs", len(new)) as advance:
        for start in range(0, len(new), config.shard_rows):
            block = new[start : start + config.shard_rows]
            write_shard(folder, digests[block], encoder.encode([texts[at] for at in block]))
            advance(len(block))
