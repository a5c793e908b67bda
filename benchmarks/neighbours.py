"""The neighbour search beside an exact one, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/neighbours.py outputs/runs/RUN
    .venv/bin/python benchmarks/neighbours.py VECTORS.npy --sizes 10000 50000 --out /tmp/trial

Random subsets of a run's vectors (or of those in a .npy file), and all of them:

- `ours`: `embeddings.neighbours.nearest` with the settings of configs/default.toml, all vectors, in as many parts at
  random as a window has days (--parts), each of which is searched by itself and then beside each other one
  (with --of-run: what the run's own index stage found, a day a part, and its seconds)
- `exact`: faiss.IndexFlatIP with all its threads; above --exact-up-to vectors, the time of the random queries, scaled

Each in a process of its own; seconds count building and searching, not reading the vectors, and peak memory counts all.
Recall is over random queries, themselves left out: a neighbour counts where its similarity is that of the last true one
or more, less 1e-6, so that it is left open which of equals is named. `recall_in_reach` is over true neighbours within
`cluster.max_distance`, the only ones that the clusters read.
"""

import json
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from measuring import MIB, alone, open_source, parser, say, write_result, write_subset

from refrain.runs import TIMINGS
from refrain.settings import load_settings

SIZES = (10_000, 50_000, 100_000, 300_000)
QUERIES = 1500
PARTS = 3
SAME = 1e-6  # similarities that differ by less are not told apart: float32 sums in another order


def ours(vectors: str, queries: str, out: str, parts: int, overrides: list[str]) -> dict[str, Any]:
    """Seconds of our search over all vectors; the neighbours of the queries lie in `out`."""
    from embeddings.neighbours import Part, nearest

    config = load_settings(None, overrides).config.index
    data = np.load(vectors)
    import_module("faiss")  # which takes a second or two itself
    home = np.random.default_rng(0).integers(0, parts, len(data))
    start = time.perf_counter()
    found = nearest(data, config, [Part(np.flatnonzero(home == part), str(part)) for part in range(parts)])
    seconds = time.perf_counter() - start
    np.save(out, found.indices[np.load(queries)])
    return {"seconds": round(seconds, 2), "kind": found.kind, **found.parameters}


def of_run(vectors: str, queries: str, out: str, run: str) -> dict[str, Any]:
    """Seconds that the run's own index stage took; the neighbours of the queries lie in `out`."""
    folder = Path(run)
    entry = json.loads((folder / TIMINGS).read_text(encoding="utf-8"))["neighbours"]
    description = json.loads((folder / "neighbours" / "index.json").read_text(encoding="utf-8"))
    found = np.load(folder / "neighbours" / "indices.npy", mmap_mode="r", allow_pickle=False)
    np.save(out, found[np.load(queries)])
    return {"seconds": round(entry["seconds"], 2), "stage_peak_mib": round(entry["peak_bytes"] / MIB), **description}


def exact(vectors: str, queries: str, out: str, k: int, whole: bool) -> dict[str, Any]:
    """Seconds of the exact search over all vectors, scaled where not `whole`; the queries' neighbours lie in `out`."""
    import faiss

    data, rows = np.load(vectors), np.load(queries)
    start = time.perf_counter()
    index = faiss.IndexFlatIP(data.shape[1])
    index.add(data)
    built = time.perf_counter() - start
    start = time.perf_counter()
    found = index.search(data if whole else data[rows], k + 1)[1]  # itself is among them, or as many equals
    searched = time.perf_counter() - start
    np.save(out, found[rows] if whole else found)
    scale = 1.0 if whole else len(data) / len(rows)
    return {"seconds": round(built + scale * searched, 2), "scaled": not whole}


def recall(vectors: Path, queries: Path, true: Path, found: Path, k: int, max_distance: float) -> dict[str, Any]:
    """Recall of `found` (q, k) against the nearest of `true` (q, k + 1), which may hold the queries themselves."""
    data = np.load(vectors, mmap_mode="r")
    hits = reached = near = near_hits = 0
    for row, best, ours_ in zip(np.load(queries), np.load(true), np.load(found), strict=True):
        query = data[row].astype(np.float64)
        others = best[(best != row) & (best >= 0)][:k]
        wanted = data[others].astype(np.float64) @ query
        told = np.unique(ours_[(ours_ >= 0) & (ours_ != row)])
        similar = data[told].astype(np.float64) @ query
        hits += min(len(wanted), int((similar >= wanted.min(initial=np.inf) - SAME).sum()))
        reached += len(wanted)
        inside = wanted[wanted >= 1 - max_distance]
        near_hits += min(len(inside), int((similar >= inside.min(initial=np.inf) - SAME).sum()))
        near += len(inside)
    return {
        "recall": round(hits / max(1, reached), 5),
        "recall_in_reach": round(near_hits / near, 5) if near else None,
        "in_reach": near,
    }


def main() -> None:
    """Nothing; the result file then holds a row a size."""
    arguments_parser = parser("neighbours", __doc__)
    arguments_parser.add_argument("source", type=Path, help="a run's folder, or a .npy file of unit vectors")
    arguments_parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help=f"default: {SIZES}")
    arguments_parser.add_argument("--all", action="store_true", help="all vectors too")
    arguments_parser.add_argument("--of-run", action="store_true", help="what the run's index stage found")
    arguments_parser.add_argument("--queries", type=int, default=QUERIES, help=f"for recall, default {QUERIES}")
    arguments_parser.add_argument("--parts", type=int, default=PARTS, help=f"of a window, default {PARTS}")
    arguments_parser.add_argument("--exact-up-to", type=int, default=100_000, help="searched whole, default 100,000")
    arguments_parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of ours")
    arguments = arguments_parser.parse_args()
    config = load_settings(None, arguments.set).config
    total = open_source(arguments.source)[0]
    sizes = sorted({min(size, total) for size in arguments.sizes} | ({total} if arguments.all else set()))
    if arguments.of_run:
        sizes = [total]
    rows = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            vectors, queries = folder / "vectors.npy", folder / "queries.npy"
            write_subset(arguments.source, size, arguments.seed, vectors)
            rng = np.random.default_rng(arguments.seed)
            np.save(queries, np.sort(rng.choice(size, min(size, arguments.queries), replace=False)))
            shared = {"vectors": str(vectors), "queries": str(queries)}
            asked = {**shared, "out": f"{folder / 'ours.npy'}"}
            if arguments.of_run:
                told = alone("neighbours", "of_run", {**asked, "run": f"{arguments.source}"})
            else:
                told = alone("neighbours", "ours", {**asked, "parts": arguments.parts, "overrides": arguments.set})
            k = config.index.neighbours
            whole = size <= arguments.exact_up_to
            plain = alone("neighbours", "exact", {**shared, "out": f"{folder / 'exact.npy'}", "k": k, "whole": whole})
            row: dict[str, Any] = {"vectors": size, "ours": told.plain(), "exact": plain.plain()}
            if not told.failure and not plain.failure:
                files = (vectors, queries, folder / "exact.npy", folder / "ours.npy")
                row |= recall(*files, k, config.cluster.max_distance)
                row["times_exact"] = round(row["exact"]["seconds"] / row["ours"]["seconds"], 2)
        rows.append(row)
        say(f"{row}")
        write_result(arguments, {"queries": arguments.queries, "parts": arguments.parts, "neighbours": k, "rows": rows})


if __name__ == "__main__":
    main()
