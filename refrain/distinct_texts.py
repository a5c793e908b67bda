"""Equal texts as equal numbers, in the order in which they first come up."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from refrain.cores import core_count
from refrain.counting import Ints

_PARTS = 8  # that texts are told apart in, by their lengths, each in a small table: changes no result


def number_texts(texts: pa.ChunkedArray) -> tuple[Ints, pa.LargeStringArray]:
    """The number of each text, and the distinct texts (large strings) by number."""
    part = pc.binary_length(texts).to_numpy() % _PARTS

    def numbered(which: int) -> tuple[Ints, Ints]:
        at = np.flatnonzero(part == which)
        encoded = texts.filter(pa.array(part == which)).combine_chunks().dictionary_encode()
        return at, encoded.indices.to_numpy().astype(np.int64)

    with ThreadPoolExecutor(core_count()) as pool:
        found = list(pool.map(numbered, range(_PARTS)))
    new = np.zeros(len(texts), bool)
    for at, own in found:
        new[at] = np.diff(np.maximum.accumulate(own), prepend=-1) > 0  # numbered as they come up
    overall = np.cumsum(new) - 1
    numbers = np.empty(len(texts), np.int64)
    for at, own in found:
        numbers[at] = overall[at[new[at]]][own]
    return numbers, texts.filter(pa.array(new)).combine_chunks()
