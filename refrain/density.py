"""How densely owners stand around a segment: core distances, with weighted points.

After Campello, Moulavi and Sander, "Density-based clustering based on hierarchical density estimates" (PAKDD 2013).
A point of weight w stands for w equal points: an exact repeat by many owners is dense by itself.
"""

import numpy as np
from numpy.typing import NDArray

from refrain.spanning import Floats, Rows


def core_distances(indices: Rows, distances: Floats, weights: Rows, min_samples: int, first: int = 0) -> Floats:
    """The smallest radius (n,) within which a point and its neighbours together weigh at least `min_samples`.

    `indices` (n, k) with -1 where fewer, `distances` (n, k) ascending. A point that weighs enough itself has 0; one
    whose neighbours do not suffice has infinity: it is never dense. The rows are those from `first` on, where they are
    a part; `weights` are always of all points.
    """
    own = weights[first : first + len(indices)]
    theirs = np.where(indices >= 0, weights[indices], 0) if indices.size else np.zeros(indices.shape, np.int64)
    within = np.concatenate([own[:, None], own[:, None] + np.cumsum(theirs, axis=1)], axis=1)
    radii = np.concatenate([np.zeros((len(own), 1)), np.where(indices >= 0, distances, np.inf)], axis=1)
    enough = within >= min_samples
    radius = np.take_along_axis(radii, enough.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(enough.any(axis=1), radius, np.inf)


def cosine_distances(similarities: NDArray[np.float32]) -> Floats:
    """Cosine distances in [0, 2], float64; rounding below 0 is 0."""
    return np.clip(1.0 - similarities.astype(np.float64), 0.0, None)
