"""Where detection ends: one thing that an adversary can turn at a time, on simulated traffic.

    .venv/bin/python benchmarks/evasion.py                              # the whole report
    .venv/bin/python benchmarks/evasion.py --seeds 0 1 2 3 4 5 6 7      # narrower figures, longer wait
    .venv/bin/python benchmarks/evasion.py --knobs cover rhythm --seeds 0 --out /tmp/trial
    .venv/bin/python benchmarks/evasion.py --work /tmp/evasion          # kept: an interrupted report goes on
    .venv/bin/python benchmarks/evasion.py --draw                       # the plot alone, of the figures that are there

Writes benchmarks/results/evasion.json and docs/evasion.svg, with --out both into that folder, and a summary to stdout:
detected of seeds, mean account recall, median p-value of the conjunction (1 where no finding was listed). What a knob
turns, and from where, stands in evasion_knobs.py. Defaults of configs/default.toml; two runs at a time, each about 20 s
of a core.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median_high
from typing import Any

from evasion_chart import draw, marks
from evasion_knobs import BASELINES, DAYS, KNOBS, PEOPLE, world
from evasion_points import Point, measure

from refrain.settings import load_settings
from refrain.simulate import World

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
JOBS = 2  # a run keeps little more than one core busy


def chain_rows(seeds: Sequence[int], outputs: Path, *, knobs: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of some seeds, one world after another; their texts are encoded once, in one store."""
    return [row for seed in seeds for row in seed_rows(seed, outputs, knobs)]


def seed_rows(seed: int, outputs: Path, knobs: Sequence[str]) -> list[dict[str, Any]]:
    """A row for each pool, knob and value in the worlds of one seed."""
    config = load_settings().config
    asked = [(pool, KNOBS[name], value) for pool in BASELINES for name in knobs for value in KNOBS[name].values]
    known: dict[World, Point] = {}  # every ladder holds the baseline, or begins at it
    rows = []
    for number, (pool, knob, value) in enumerate(asked):
        start, here = time.monotonic(), world(pool, knob, value, seed)
        if here not in known:
            known[here] = measure(here, outputs / "logs" / f"{seed}-{number}", outputs, config)
        point = known[here]
        rows.append({"knob": knob.name, "value": value, "campaign": pool.name, "seed": seed, **asdict(point)})
        seen, took = "found" if point.detected else "missed", time.monotonic() - start
        print(f"seed {seed} {number + 1}/{len(asked)}  {pool.name}, {knob.name} {knob.label(value)}: {seen} "
              f"({took:.0f} s)", file=sys.stderr, flush=True)  # fmt: skip
    return rows


def report(seeds: Sequence[int], knobs: Sequence[str], work: Path, jobs: int) -> dict[str, Any]:
    """The figures, ordered by knob, pool, value and seed, with what they were made of."""
    # A store has one writer, so each chain has its own.
    chains = [seeds[at::jobs] for at in range(min(jobs, len(seeds)))]
    stores = [work / f"chain-{at}" for at in range(len(chains))]
    with ProcessPoolExecutor(len(chains), mp_context=multiprocessing.get_context("spawn")) as workers:
        rows = [row for rows in workers.map(partial(chain_rows, knobs=knobs), chains, stores) for row in rows]
    order = {(name, value): at for name in knobs for at, value in enumerate(KNOBS[name].values)}
    rows.sort(key=lambda r: (knobs.index(r["knob"]), r["campaign"], order[r["knob"], r["value"]], r["seed"]))
    baselines = [{k: v for k, v in asdict(pool).items() if k != "wrapper"} for pool in BASELINES]
    return {"seeds": list(seeds), "days": DAYS, "people": PEOPLE, "baselines": baselines, "rows": rows}


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The figures as JSON, a row a line, so that a change of one is a change of one line."""
    head = json.dumps({name: value for name, value in figures.items() if name != "rows"}, indent=1)
    yield head.removesuffix("\n}") + ',\n "rows": ['
    yield ",\n".join(f"  {json.dumps(row)}" for row in figures["rows"])
    yield " ]\n}"


def summary(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """For each knob and pool a line: detected of seeds, mean account recall and median p-value at each value."""
    for knob in KNOBS.values():
        for pool in BASELINES:
            cells = []
            for value, mark in marks(rows, knob, pool.name).items():
                here = [r for r in rows if (r["knob"], r["campaign"], r["value"]) == (knob.name, pool.name, value)]
                p_value = median_high(1.0 if r["p_value"] is None else r["p_value"] for r in here)
                cells.append(f"{knob.label(value)}: {mark.detected}/{mark.seeds} {mark.recall:.2f} {p_value:.0e}")
            if cells:
                yield f"{knob.name} {pool.name}  " + " | ".join(cells)


def main() -> None:
    """Nothing; the figures and their plot then lie in their files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--knobs", nargs="+", choices=list(KNOBS), default=list(KNOBS), metavar="KNOB",
                        help=f"of {', '.join(KNOBS)}; default: all")  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help=f"default: {SEEDS}")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"runs side by side, default {JOBS}")
    parser.add_argument("--work", type=Path, help="folder for logs and runs, kept; default: a temporary one")
    parser.add_argument("--out", type=Path, help="folder for the figures and the plot, instead of the repository's")
    parser.add_argument("--draw", action="store_true", help="draw the figures that are there, measure nothing")
    arguments = parser.parse_args()
    target = (arguments.out or ROOT / "benchmarks" / "results") / "evasion.json"
    plot = (arguments.out or ROOT / "docs") / "evasion.svg"
    if not arguments.draw:
        knobs = [name for name in KNOBS if name in arguments.knobs]
        with tempfile.TemporaryDirectory() as temporary:
            figures = report(sorted(set(arguments.seeds)), knobs, arguments.work or Path(temporary), arguments.jobs)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines(figures)) + "\n", encoding="utf-8")
    rows = json.loads(target.read_text(encoding="utf-8"))["rows"]
    plot.write_text(draw(rows), encoding="utf-8")
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main()
