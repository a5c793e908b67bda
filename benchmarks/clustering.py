"""Our clustering beside the usual ways to the same, as JSON in benchmarks/results/.

    PYTHONPATH=LIBS .venv/bin/python benchmarks/clustering.py outputs/runs/RUN
    .venv/bin/python benchmarks/clustering.py VECTORS.npy --sizes 10000 --limit 120 --out /tmp/trial

Random subsets of a run's vectors (or of those in a .npy file). LIBS holds fast_hdbscan and umap-learn, which refrain
does not use (`pip install --target LIBS --no-deps fast_hdbscan umap-learn pynndescent numba llvmlite`); a method whose
package is not there says so.

- `ours`: neighbours and clusters as the stages compute them, every vector of weight 1
- `ours_exact`: the same tree over the exact neighbour graph, up to --exact-up-to vectors
- `hdbscan`: `hdbscan.HDBSCAN(min_cluster_size=5)`; `fast_hdbscan`: `fast_hdbscan.HDBSCAN(min_cluster_size=5)`
- `umap_hdbscan`: BERTopic's default reduction (UMAP, 15 neighbours, 5 components, cosine), then its HDBSCAN with
  min_cluster_size 5

Cosine throughout: Euclidean distance between unit vectors orders them alike. Each in a process of its own, ended after
--limit seconds or at --memory GiB; what did not end is not tried on more. Seconds leave out reading the vectors and a
first call on a thousand of them, which compiles what is compiled. `hdbscan` counts 5 neighbours beside the point and we
count the point itself, so here min_samples is 6: equal core distances. ARI (adjusted Rand index) with ours is over
points that both put into clusters; `ari_all` over all, a point in no cluster standing alone.
"""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from measuring import MEMORY_GIB, Vectors, alone, open_source, parser, result_file, say, write_result, write_subset
from numpy.typing import NDArray

from refrain.settings import load_settings

SIZES = (10_000, 50_000, 100_000)
MIN_CLUSTER_SIZE = 5
LIMIT = 900.0
WARM_UP = 1000
METHODS = ("ours", "ours_exact", "hdbscan", "fast_hdbscan", "umap_hdbscan")

Labels = NDArray[np.int64]


def run(method: str, vectors: str, out: str, overrides: list[str]) -> dict[str, Any]:
    """Seconds of one of METHODS; the labels lie in `out`."""
    data = np.load(vectors)
    cluster = _opened(method, overrides)
    start = time.perf_counter()
    cluster(data[:WARM_UP])
    warm_up = time.perf_counter() - start
    start = time.perf_counter()
    labels, told = cluster(data)
    seconds = time.perf_counter() - start
    np.save(out, labels)
    found = int(labels.max(initial=-1)) + 1
    counts = {"clusters": found, "clustered": int((labels >= 0).sum())}
    return {"seconds": round(seconds, 2), "warm_up_seconds": round(warm_up, 2), **counts, **told}


def _opened(method: str, overrides: list[str]) -> Callable[[Vectors], tuple[Labels, dict[str, Any]]]:
    """A function from vectors to labels (n,), -1 for none, and what else is to be told."""
    if method.startswith("ours"):
        return lambda data: _ours(data, method == "ours_exact", overrides)
    if method == "umap_hdbscan":
        import hdbscan

        umap = import_module("umap")

        def reduced(data: Vectors) -> tuple[Labels, dict[str, Any]]:
            start = time.perf_counter()
            low = umap.UMAP(n_neighbors=15, n_components=5, min_dist=0.0, metric="cosine", low_memory=False)
            places = low.fit_transform(data)
            told = {"reduction_seconds": round(time.perf_counter() - start, 2)}
            made = hdbscan.HDBSCAN(
                min_cluster_size=MIN_CLUSTER_SIZE, metric="euclidean", cluster_selection_method="eom",
                prediction_data=True,
            )  # fmt: skip
            return made.fit_predict(places).astype(np.int64), told

        return reduced
    package = import_module(method)
    return lambda data: (package.HDBSCAN(min_cluster_size=MIN_CLUSTER_SIZE).fit_predict(data).astype(np.int64), {})


def _ours(data: Vectors, exact: bool, overrides: list[str]) -> tuple[Labels, dict[str, Any]]:
    from embeddings.neighbours import nearest
    from refrain.clusters import Neighbourhood, find_clusters

    config = load_settings(None, overrides).config
    index = replace(config.index, exact_below=len(data) + 1) if exact else config.index
    rules = replace(config.cluster, min_owners=MIN_CLUSTER_SIZE, min_samples=MIN_CLUSTER_SIZE + 1)
    start = time.perf_counter()
    found = nearest(data, index)
    neighbours = time.perf_counter() - start
    near = Neighbourhood(np.arange(len(data)), found.indices, found.similarities)
    labels = find_clusters(near, np.ones(len(data), np.int64), rules).labels
    return labels, {"neighbours_seconds": round(neighbours, 2), "kind": found.kind}


def agreement(left: Labels, right: Labels) -> dict[str, Any]:
    """The adjusted Rand index over points that both put into clusters, how many these are, and the index over all."""
    from sklearn.metrics import adjusted_rand_score

    both = (left >= 0) & (right >= 0)
    index = adjusted_rand_score(left[both], right[both]) if both.any() else None
    return {
        "ari": None if index is None else round(float(index), 4),
        "in_both": int(both.sum()),
        "ari_all": round(float(adjusted_rand_score(_alone(left), _alone(right))), 4),
    }


def _alone(labels: Labels) -> Labels:
    """The labels, a label of its own for each point in none."""
    return np.where(labels >= 0, labels, -1 - np.arange(len(labels)))


def main() -> None:
    """Nothing; the result file then holds a row a size."""
    arguments_parser = parser("clustering", __doc__)
    arguments_parser.add_argument("source", type=Path, help="a run's folder, or a .npy file of unit vectors")
    arguments_parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help=f"default: {SIZES}")
    arguments_parser.add_argument("--all", action="store_true", help="all vectors too")
    arguments_parser.add_argument("--keep", action="store_true", help="rows of the result file that are there stay")
    arguments_parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD",
                                  help=f"of {', '.join(METHODS)}; default: all")  # fmt: skip
    arguments_parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds a method, default {LIMIT:.0f}")
    arguments_parser.add_argument("--memory", type=float, default=MEMORY_GIB, help="GiB a method may hold")
    arguments_parser.add_argument("--exact-up-to", type=int, default=100_000, help="for ours_exact, default 100,000")
    arguments_parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of ours")
    arguments = arguments_parser.parse_args()
    total = open_source(arguments.source)[0]
    sizes = sorted({min(size, total) for size in arguments.sizes} | ({total} if arguments.all else set()))
    living = [method for method in METHODS if method in arguments.methods]
    rows: list[dict[str, Any]] = []
    if arguments.keep and result_file(arguments).exists():
        rows = json.loads(result_file(arguments).read_text(encoding="utf-8"))["rows"]
    for size in (size for size in sizes if size not in {row["vectors"] for row in rows}):
        row: dict[str, Any] = {"vectors": size}
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write_subset(arguments.source, size, arguments.seed, folder / "vectors.npy")
            for method in list(living):
                if method == "ours_exact" and size > arguments.exact_up_to:
                    continue
                asked = {"method": method, "vectors": f"{folder / 'vectors.npy'}", "out": f"{folder / method}.npy"}
                outcome = alone(
                    "clustering", "run", {**asked, "overrides": arguments.set},
                    limit=arguments.limit, memory_gib=arguments.memory,
                )  # fmt: skip
                row[method] = outcome.plain()
                if outcome.failure:
                    living.remove(method)
                elif method != "ours" and (folder / "ours.npy").exists():
                    row[method] |= agreement(np.load(folder / "ours.npy"), np.load(folder / f"{method}.npy"))
                say(f"{size} {method}: {row[method]}")
        rows = sorted([*rows, row], key=lambda row: int(row["vectors"]))
        write_result(arguments, {"limit_seconds": arguments.limit, "rows": rows})


if __name__ == "__main__":
    main()
