"""A fixed sample of a log's segments, by script: what is rarely near a probe is said of it.

Segments are numbered by their texts, so a sample at even steps of the number follows from the log alone, not from the
store's key; and whoever sends one text has a sample's share of influence on it, which a sample of the smallest hashes
would give away: a text with a small hash is found by trying a thousand.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refrain.counting import Ints
from refrain.tables import write_columns

SAMPLE = "sample.parquet"
SCHEMA = pa.schema([pa.field("segment_row", pa.int64(), nullable=False)])


def sample_by_script(segment_rows: Ints, scripts: NDArray[np.int8], most: int) -> Ints:
    """Of each script's segments (n,), ascending, `most` at even steps, all where they are fewer; ascending."""
    chosen = [np.zeros(0, np.int64)]
    for script in np.unique(scripts):
        own = segment_rows[scripts == script]
        count = min(most, len(own))
        chosen.append(own[np.arange(count) * len(own) // count])
    return np.sort(np.concatenate(chosen))


def write_sample(path: Path, segment_rows: Ints) -> None:
    """Nothing; `path` then holds the rows."""
    write_columns(path, SCHEMA, {"segment_row": segment_rows})
