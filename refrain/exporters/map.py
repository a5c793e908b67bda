"""Places in the plane for segments, from their nearest neighbours alone: similar ones together, no chance in it.

Up to some thousand landmarks are placed by t-SNE (van der Maaten and Hinton, JMLR 2008, with the Barnes-Hut trees of
van der Maaten, JMLR 2014), as scikit-learn has it, over the distances to the neighbours that are known; its start is
fixed, and one thread adds in one order. The others stand at the mean of their placed neighbours, which is how a new
point is put on a finished map; what no neighbour leads to stands at the middle of its cluster.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_SEED = 0
_FAR = 2.0  # the largest distance of two directions: what stands for a neighbour that is not known
_PER_PERPLEXITY = 3  # neighbours that scikit-learn looks at for each unit of the perplexity, and one more
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_APART = 1e-3  # of the map's side: points on one place would hide each other
_ROUNDS = 50  # along the neighbours from landmarks outwards


def on_a_map(ids: Rows, distances: Floats, clusters: Rows, owners: Rows, landmarks: int) -> Floats:
    """The places (n, 2) of n points with neighbours `ids` (n, k), -1 for none, at `distances` (n, k).

    `landmarks` of them, those with the most owners, are placed first.
    """
    n = len(ids)
    first = np.sort(np.lexsort((np.arange(n), -owners))[:landmarks])
    places = np.full((n, 2), np.nan)
    places[first] = _embedded(*_among(first, ids, distances, n))
    _follow(places, ids, distances)
    _to_clusters(places, clusters)
    return places


def _among(chosen: Rows, ids: Rows, distances: Floats, n: int) -> tuple[Rows, Floats]:
    """The neighbours of the chosen points among themselves, as positions in `chosen`."""
    position = np.full(n + 1, -1, np.int64)
    position[chosen] = np.arange(len(chosen))
    near = position[ids[chosen]]
    return near, distances[chosen]


def _embedded(ids: Rows, distances: Floats) -> Floats:
    """t-SNE of n points, (n, 2)."""
    n, k = ids.shape
    perplexity = (min(k, n - 1) - 1) / _PER_PERPLEXITY
    if perplexity <= 1:
        return _sunflower(n)
    from scipy.sparse import csr_matrix
    from sklearn.manifold import TSNE
    from sklearn.neighbors import sort_graph_by_row_values
    from threadpoolctl import threadpool_limits

    columns, values = _filled(ids, distances, k)
    graph = csr_matrix((values.ravel(), columns.ravel(), np.arange(0, n * columns.shape[1] + 1, columns.shape[1])))
    graph = sort_graph_by_row_values(graph, warn_when_not_sorted=False)
    method = TSNE(
        metric="precomputed",
        perplexity=(columns.shape[1] - 2) / _PER_PERPLEXITY,
        init=_sunflower(n) * 1e-4,  # the spread that scikit-learn starts from
        random_state=_SEED,
        n_jobs=1,
    )
    with threadpool_limits(1):
        return np.asarray(method.fit_transform(graph), np.float64)


def _filled(ids: Rows, distances: Floats, k: int) -> tuple[Rows, Floats]:
    """Exactly k other points for each, the unknown ones far away: the next by number that is none of the known.

    With the point itself in front, at 0, as scikit-learn wants a graph of neighbours.
    """
    n = len(ids)
    k = min(k, n - 1)
    columns = np.empty((n, k + 1), np.int64)
    values = np.full((n, k + 1), _FAR)
    for row in range(n):
        known = {row: 0.0}
        for one, far in zip(ids[row].tolist(), distances[row].tolist(), strict=True):
            if one >= 0 and len(known) <= k:
                known.setdefault(one, max(far, 1e-12))  # an explicit zero would be no neighbour
        step = 1
        while len(known) <= k:
            known.setdefault((row + step) % n, _FAR)
            step += 1
        columns[row] = list(known)
        values[row] = list(known.values())
    return columns, values


def _follow(places: Floats, ids: Rows, distances: Floats) -> None:
    """Nothing; points with a placed neighbour are placed at the mean of these, the near ones weighing more."""
    for _ in range(_ROUNDS):
        waiting = np.flatnonzero(np.isnan(places[:, 0]))
        near = ids[waiting]
        placed = (near >= 0) & ~np.isnan(places[np.maximum(near, 0), 0])
        ready = placed.any(axis=1)
        if not ready.any():
            return
        weights = np.where(placed, 1 / (1e-3 + distances[waiting]), 0.0)[ready]
        where = np.nan_to_num(places[np.maximum(near[ready], 0)])
        mean = (weights[:, :, None] * where).sum(axis=1) / weights.sum(axis=1, keepdims=True)
        places[waiting[ready]] = mean + _sunflower(len(mean)) * _APART * _side(places)


def _to_clusters(places: Floats, clusters: Rows) -> None:
    """Nothing; who is left stands around the middle of its cluster, or of the map where nobody of it is placed."""
    waiting = np.flatnonzero(np.isnan(places[:, 0]))
    if not len(waiting):
        return
    known = ~np.isnan(places[:, 0])
    middle = places[known].mean(axis=0) if known.any() else np.zeros(2)
    side = _side(places)
    for cluster in np.unique(clusters[waiting]).tolist():
        mine = waiting[clusters[waiting] == cluster]
        fellows = places[known & (clusters == cluster)]
        centre = fellows.mean(axis=0) if len(fellows) else middle
        places[mine] = centre + _sunflower(len(mine)) * _APART * side


def _side(places: Floats) -> float:
    known = places[~np.isnan(places[:, 0])]
    return float(np.ptp(known, axis=0).max()) if len(known) else 1.0


def _sunflower(n: int) -> Floats:
    """n points of the unit disc, evenly."""
    turn = np.arange(n) * _GOLDEN_ANGLE
    return np.asarray(np.sqrt((np.arange(n) + 0.5) / max(n, 1))[:, None] * np.stack([np.cos(turn), np.sin(turn)], 1))
