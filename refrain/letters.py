"""The scripts of many texts, letter by letter of all together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from refrain.counting import Ints
from refrain.scripts import COUNT, LATIN, script_of

_TOGETHER = 1 << 15  # texts whose letters are counted at once: bounds the memory, changes no number


def scripts_of(texts: pa.ChunkedArray) -> Ints:
    """(n,) the number of each text's script, as `scripts.script_of` gives it."""
    out = np.full(len(texts), LATIN)
    others = np.flatnonzero(~pc.string_is_ascii(texts).to_numpy())
    for start in range(0, len(others), _TOGETHER):
        rows = others[start : start + _TOGETHER]
        out[rows] = _scripts_of(texts.take(pa.array(rows)).to_pylist())
    return out


def _scripts_of(texts: Sequence[str]) -> Ints:
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    text = np.repeat(np.arange(len(texts)), np.fromiter(map(len, texts), np.int64, len(texts)))
    script, is_letter = np.full(sys.maxunicode + 1, LATIN), np.zeros(sys.maxunicode + 1, bool)
    met = np.flatnonzero(np.bincount(points))
    script[met] = [script_of(chr(point)) for point in met.tolist()]
    is_letter[met] = [chr(point).isalpha() for point in met.tolist()]
    letters = np.bincount(text, is_letter[points], len(texts))
    found = np.bincount(text * COUNT + script[points], minlength=len(texts) * COUNT).reshape(-1, COUNT)
    found[:, LATIN] = 0
    return np.where(2 * found.max(axis=1) > letters, found.argmax(axis=1), LATIN)
