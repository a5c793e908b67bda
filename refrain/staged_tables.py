"""The tables in which records wait on disk to be numbered, merged and counted over the whole log."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from refrain import passages, quarantine
from refrain.columns import COUNTS, LABELS
from refrain.counting import ranges
from refrain.passages import DIGEST

ROWS = pa.schema(
    [
        ("seq", pa.int64()),  # order of reading: file by name, then record
        ("file", pa.string()),
        ("row", pa.int64()),
        ("request_id", pa.string()),
        ("account_id", pa.string()),
        ("time", pa.int64()),  # microseconds since 1970
        *((name, pa.string()) for name in LABELS),
        ("network", pa.string()),
        *((name, pa.int64()) for name in COUNTS),
        ("created", pa.int64()),
        ("closed", pa.int64()),
        ("prompt", DIGEST),
        ("system", DIGEST),
        ("cut", pa.bool_()),
        ("repaired", pa.bool_()),
        ("content", DIGEST),  # of everything but the request_id: equal content is the same request
    ]
)
OCCURRENCES = pa.schema(
    [
        ("seq", pa.int64()),
        ("position", pa.int32()),
        ("role", pa.int8()),
        ("turn", pa.int32()),
        ("digest", DIGEST),
        ("form", DIGEST),
    ]
)
TABLES = {
    "rows": ROWS,
    "occurrences": OCCURRENCES,
    "forms": passages.FORMS,
    "texts": passages.TEXTS,
    "refused": quarantine.SCHEMA,
}


def occurrences(turns: Sequence[tuple[int, int, int, int, bytes, bytes]], sizes: Sequence[int]) -> list[Any]:
    """The columns of OCCURRENCES: one row a segment, positions counted through each request.

    A turn (at least one) is seq, role, turn, number of segments, their digests and those of their readable forms, each
    16 bytes one after the other; `sizes` are the segments of each request.
    """
    seqs, roles, numbers, segments, digests, forms = zip(*turns, strict=True)
    counts = np.asarray(segments, np.int64)
    return [
        np.repeat(np.asarray(seqs, np.int64), counts),
        ranges(np.asarray(sizes, np.int64)).astype(np.int32),
        np.repeat(np.asarray(roles, np.int8), counts),
        np.repeat(np.asarray(numbers, np.int32), counts),
        _digest_column(digests),
        _digest_column(forms),
    ]


def _digest_column(parts: tuple[bytes, ...]) -> Any:
    joined = b"".join(parts)
    return pa.FixedSizeBinaryArray.from_buffers(DIGEST, len(joined) // DIGEST.byte_width, [None, pa.py_buffer(joined)])
