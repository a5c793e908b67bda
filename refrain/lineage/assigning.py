"""Which known thing is which seen one: one to one, by the largest sum of squared similarities (Kuhn 1955)."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refrain.config import LineageConfig
from refrain.lineage.overlaps import Pair


def assigned(found: list[Pair], rule: LineageConfig) -> dict[int, Pair]:
    """The pairs that are one thing, by the seen one's position: each thing in one pair at most."""
    sure = [(pair, weight) for pair in found if (weight := pair.similarity(rule)) >= rule.continued]
    if not sure:
        return {}
    count = 1 + max(pair.known for pair, _ in sure)
    width = 1 + max(pair.seen for pair, _ in sure)
    rows, columns = [pair.known for pair, _ in sure], [count + pair.seen for pair, _ in sure]
    graph = coo_array((np.ones(len(sure)), (rows, columns)), shape=(count + width, count + width))
    _, component = connected_components(graph, directed=False)
    groups: dict[int, list[tuple[Pair, float]]] = defaultdict(list)
    for pair, weight in sure:
        groups[int(component[pair.known])].append((pair, weight))
    return {pair.seen: pair for _, group in sorted(groups.items()) for pair in _best(group)}


def _best(group: list[tuple[Pair, float]]) -> list[Pair]:
    """The pairs of one connected group with the largest sum of squared weights."""
    known = sorted({pair.known for pair, _ in group})
    seen = sorted({pair.seen for pair, _ in group})
    at, to = {k: n for n, k in enumerate(known)}, {s: n for n, s in enumerate(seen)}
    gain = np.zeros((len(known), len(seen)))
    edges = {(at[pair.known], to[pair.seen]): pair for pair, _ in group}
    for pair, weight in group:
        gain[at[pair.known], to[pair.seen]] = weight * weight
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [edges[cell] for cell in zip(rows.tolist(), columns.tolist(), strict=True) if cell in edges]
