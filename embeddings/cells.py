"""Vectors in cells, each the part of a set that lies nearest to one centre, so that a look-up compares a few alone: an
inverted file (Jegou, Douze and Schmid, "Product quantization for nearest neighbor search", 2011) without codes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from embeddings.blocks import side_by_side
from embeddings.edges import Floats, Numbers
from embeddings.shards import Rows
from refrain.config import IndexConfig
from refrain.counting import slices, stable_order

_SEARCHED_AT_ONCE = 4  # blocks of rows


@dataclass(frozen=True)
class Cells:
    """The cells of a set of n vectors: `centres` (c, d), and the vectors of cell i, ascending, are
    `numbers[starts[i] : starts[i + 1]]` of n; `starts` has c + 1."""

    centres: Floats
    numbers: Numbers
    starts: Rows

    @classmethod
    def whole(cls, vectors: Floats) -> "Cells":
        """One cell that has all vectors (n, d)."""
        return cls(np.zeros((1, vectors.shape[1]), np.float32), np.arange(len(vectors), dtype=np.int32),
                   np.array([0, len(vectors)]))  # fmt: skip

    def __len__(self) -> int:
        return len(self.centres)

    def held(self, cell: int) -> Numbers:
        """The vectors of a cell."""
        return self.numbers[self.starts[cell] : self.starts[cell + 1]]

    def nearest(self, queries: Floats, probes: int, rows: int) -> Numbers:
        """The nearest cells (m, p) of each query (m, d), nearest first, `probes` or all; by blocks of rows."""
        import faiss

        if len(self) == 1:
            return np.zeros((len(queries), 1), np.int32)
        index = faiss.IndexFlatIP(self.centres.shape[1])
        index.add(self.centres)
        out = np.empty((len(queries), min(probes, len(self))), np.int32)

        def search(block: Rows) -> None:
            out[block] = index.search(queries[block], out.shape[1])[1]

        for _ in side_by_side(len(queries), rows, search):
            pass
        return out


def train_cells(vectors: Floats, probes: int, config: IndexConfig) -> tuple[Cells, Numbers]:
    """Cells of unit vectors (n, d) about centres that k-means finds on a seeded sample, and each vector's nearest cells
    (n, p), the first of which has it."""
    import faiss

    n, dimension = vectors.shape
    count = min(n, max(1, round(config.cells_per_root * n**0.5)))
    parameters = faiss.ClusteringParameters()
    parameters.seed = config.seed
    parameters.niter = config.training_rounds
    parameters.spherical = True
    parameters.min_points_per_centroid = 1  # faiss would warn on stderr; the sample's size is ours to choose
    parameters.max_points_per_centroid = config.training_rows_per_cell
    sample = np.random.default_rng(config.seed).permutation(n)[: count * config.training_rows_per_cell]
    clustering = faiss.Clustering(dimension, count, parameters)
    clustering.train(vectors[np.sort(sample)], faiss.IndexFlatIP(dimension))
    centres = faiss.vector_to_array(clustering.centroids).reshape(count, dimension).copy()
    bare = Cells(centres, np.empty(0, np.int32), np.zeros(count + 1, np.int64))
    near = bare.nearest(vectors, probes, config.block_rows * _SEARCHED_AT_ONCE)
    own = near[:, 0].astype(np.int64)
    numbers = stable_order(own)
    return Cells(centres, numbers.astype(np.int32), slices(own[numbers], count)), near


def visits(near: Numbers, cells: Cells) -> Iterator[tuple[int, Rows]]:
    """Each cell that is not empty with the rows, ascending, to which it is near, by `near` (m, p)."""
    order = stable_order(near.ravel().astype(np.int64))
    bounds = slices(near.ravel()[order].astype(np.int64), len(cells))
    rows = order // near.shape[1]
    for cell in np.flatnonzero(np.diff(bounds) * np.diff(cells.starts)).tolist():
        yield cell, rows[bounds[cell] : bounds[cell + 1]]
