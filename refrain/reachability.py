"""The spanning forest of mutual reachability, straight from the neighbour graph: that of all its edges at once
(tests/plain_forest.py), some rows at a time on every core.

Light edges come first; of heavier ones only those are looked at further that join what the lighter ones leave apart
(filter-Kruskal: Osipov, Sanders and Singler, ALENEX 2009). Most are never sorted nor compared with their other
direction.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from refrain.cores import core_count
from refrain.density import core_distances, cosine_distances
from refrain.spanning import Edges, Floats, Rows, joining, union, unordered_components

_ROWS = 65_536  # rows looked at together: bounds the memory, changes no result
_SAMPLED = 64  # of so many edges one says where a portion of weights ends: likewise
_PORTIONS = 6  # of edges by weight: likewise


Component = NDArray[np.int32]


@dataclass(frozen=True)
class Graph:
    """The neighbour graph: `indices` (n, k), -1 where fewer, `similarities` (n, k) descending, `weights` (n,)."""

    indices: Rows
    similarities: NDArray[np.float32]
    weights: Rows


@dataclass(frozen=True)
class _Directed:
    """Edges as rows have them: `near` (m,) is among the neighbours of `rows` (m,), never itself."""

    rows: NDArray[np.int32]
    near: NDArray[np.int32]
    weights: Floats

    def take(self, chosen: NDArray[np.bool_]) -> "_Directed":
        at = np.flatnonzero(chosen)  # found once: a mask without runs takes several times as long as places
        return _Directed(self.rows[at], self.near[at], self.weights[at])


def reachability_forest(graph: Graph, min_samples: int, max_distance: float) -> tuple[Floats, Edges]:
    """The core distances (n,) and the minimum spanning forest of mutual reachability, by ascending (weight, left,
    right); no edge is above `max_distance`."""
    n = len(graph.indices)
    some = [slice(start, min(start + _ROWS, n)) for start in range(0, n, _ROWS)]
    with ThreadPoolExecutor(core_count()) as pool:
        cores = pool.map(lambda rows: _cores(graph, rows, min_samples), some)
        core = np.concatenate([*cores, np.empty(0)])
        parts = list(pool.map(lambda rows: _edges(graph, rows, core, max_distance), some))
        forest: list[Edges] = []
        component, count = np.arange(n, dtype=np.int32), n
        for limit in _limits(parts):
            split = list(pool.map(partial(_split, component=component, limit=limit), parts))
            parts = [rest for _, rest in split]
            now = union(pool.map(lambda part: _once(graph, part, max_distance), [light for light, _ in split]))
            forest.append(joining(now, component, count))
            count, component = _joined(component, count, forest[-1])
    return core, union(forest)


def _cores(graph: Graph, rows: slice, min_samples: int) -> Floats:
    distances = cosine_distances(graph.similarities[rows])
    return core_distances(graph.indices[rows], distances, graph.weights, min_samples, first=rows.start)


def _edges(graph: Graph, rows: slice, core: Floats, max_distance: float) -> _Directed:
    """The edges that the rows have, none of them above `max_distance`."""
    near, distances = graph.indices[rows], cosine_distances(graph.similarities[rows])
    usable = (near >= 0) & (distances <= max_distance) & (core[rows] <= max_distance)[:, None]
    at = np.flatnonzero(usable)
    row, near = at // near.shape[1] + rows.start, near.ravel()[at]
    weights = np.maximum(distances.ravel()[at], np.maximum(core[row], core[near]))
    kept = np.flatnonzero((weights <= max_distance) & (row != near))
    return _Directed(row[kept].astype(np.int32), near[kept].astype(np.int32), weights[kept])


def _joined(component: Component, count: int, edges: Edges) -> tuple[int, Component]:
    """How many components edges leave of so many, and each point's."""
    left, right = component[edges.left].astype(np.int64), component[edges.right].astype(np.int64)
    count, of_component = unordered_components(Edges(left, right, edges.weights), count)
    return count, of_component[component]


def _limits(parts: Sequence[_Directed]) -> list[float]:
    """Weights up to which edges are looked at, one after the other; the last is infinity."""
    sample = np.concatenate([part.weights[::_SAMPLED] for part in parts] or [np.empty(0)])
    inner = np.quantile(sample, np.arange(1, _PORTIONS) / _PORTIONS) if len(sample) else []
    return [*map(float, inner), np.inf]


def _split(part: _Directed, component: Component, limit: float) -> tuple[_Directed, _Directed]:
    """The edges from one component to another: those up to a weight, and the others."""
    part = part.take(component[part.rows] != component[part.near])
    now = part.weights <= limit
    return part.take(now), part.take(~now)


def _once(graph: Graph, part: _Directed, max_distance: float) -> Edges:
    """The edges without those that the smaller of their rows has as well: its distance counts, for the two may differ
    by rounding."""
    twice = np.zeros(len(part.rows), bool)
    back = np.flatnonzero(part.near < part.rows)
    there = graph.indices[part.near[back]] == part.rows[back, None]
    hit, column = np.nonzero(there)
    similarities = graph.similarities[part.near[back[hit]], column]
    twice[back[hit]] = cosine_distances(similarities) <= max_distance
    part = part.take(~twice)
    left, right = np.minimum(part.rows, part.near), np.maximum(part.rows, part.near)
    return Edges(left.astype(np.int64), right.astype(np.int64), part.weights)
