"""Rows in blocks, worked on side by side: as many at a time as there are cores, each by one thread that sees nothing of
the others, so that neither the number of cores nor their order changes a bit.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from embeddings.shards import Rows
from refrain.cores import core_count

Out = TypeVar("Out")


def row_blocks(n: int, size: int) -> Iterator[Rows]:
    """0..n-1 in stretches of `size`."""
    return (np.arange(start, min(start + size, n)) for start in range(0, n, size))


def side_by_side(n: int, size: int, work: Callable[[Rows], Out]) -> Iterator[tuple[int, Out]]:
    """The number of rows in each block of 0..n-1 and what `work` makes of it, in order."""
    blocks = list(row_blocks(n, size))
    if len(blocks) <= 1:
        yield from ((len(block), work(block)) for block in blocks)
        return
    with ThreadPoolExecutor(core_count(), initializer=one_thread) as pool:
        yield from zip(map(len, blocks), pool.map(work, blocks), strict=True)


def one_thread() -> None:
    """Nothing; faiss then uses no other thread than this one, from here."""
    import faiss

    faiss.omp_set_num_threads(1)
