"""Which segments are near a probe sentence, written beside the vectors: the score stage needs no encoder then."""

from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from embeddings.encoder import Encoder
from embeddings.judging import Judged
from refrain.config import EmbedConfig
from refrain.probes import ProbeRule, read_probes, tag_segments
from refrain.settings import config_file
from refrain.tables import write_columns

PROBES = "probes.parquet"
SCHEMA = pa.schema(
    [
        pa.field("segment_row", pa.int64(), nullable=False),
        pa.field("tag", pa.string(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
        pa.field("measure", pa.string(), nullable=False),  # vector or ngram
    ]
)


class Gathered(Protocol):
    """Segments whose vectors can be had by position."""

    @property
    def segment_rows(self) -> NDArray[np.int64]:
        """(n,) ascending."""
        ...

    def gather(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """(len(positions), d)."""
        ...


def tag_near_probes(
    encoder: Encoder, vectors: Gathered, judged: Judged | None, requests: Path, out: Path, config: EmbedConfig
) -> int:
    """How many (segment, class) pairs are near; `out` then holds them, by segment, then class.

    The cosines are of `judged` where it is given, else of `vectors`, which `encoder` made.
    """
    probes = read_probes(config_file(config.probes))
    rule = ProbeRule(
        config.probe_min_cosine,
        config.probe_min_ngram_cosine,
        config.probe_rarest_share,
        (min(config.probe_ngrams), max(config.probe_ngrams)),
        (min(config.probe_unspaced_ngrams), max(config.probe_unspaced_ngrams)),
        config.shard_rows,
    )
    texts = pq.read_table(requests / "segments.parquet", columns=["text"])["text"]
    tags = tag_segments(
        texts.take(pa.array(vectors.segment_rows)).to_pylist(),
        np.arange(len(vectors.segment_rows)) if judged is None else judged.positions,
        lambda block: (
            judged.vectors[block]
            if judged is not None
            else vectors.gather(np.arange(block.start, min(block.stop, len(vectors.segment_rows))))
        ),
        probes,
        (encoder if judged is None else judged.encoder).encode(probes.sentences),
        rule,
    )
    columns = {
        "segment_row": vectors.segment_rows[tags.positions],
        "tag": [probes.names[number] for number in tags.classes.tolist()],
        "similarity": tags.similarities.astype(np.float64),
        "measure": np.where(tags.by_vector, "vector", "ngram"),
    }
    write_columns(out / PROBES, SCHEMA, columns)
    return len(tags.positions)
