"""Seconds and memory of whole runs at several sizes, and how both grow, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/end_to_end.py --per-day 20000 66667 333334 --work /tmp/speed
    .venv/bin/python benchmarks/end_to_end.py --per-day 333334 --work /tmp/speed --keep   # one size more
    .venv/bin/python benchmarks/end_to_end.py --logs LOG_FOLDER... --out /tmp/trial

Needs ../shared/bench beside the checkout, or folders as its traffic.py leaves them (`requests/`, and `truth.parquet`
for the figures). Each log is run by `refrain.runs.run_all` with the defaults of configs/default.toml in a fresh process
on an empty outputs folder, which --work keeps; distilling the static encoder is part of it unless --encoders names a
folder that has it. Seconds and peak memory of a stage are those of the run's timings.json.

Growth is the exponent b of a law a * size^b in requests, fitted by least squares of the logarithms over all rows.

The plain way beside it: `sentence-transformers` encodes random distinct prompts of the log right after the run, and its
speed is scaled to all distinct prompts. That is its first step only, before anything is compared with anything.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from detection import BENCH, traffic
from encode import PLAIN
from measuring import MIB, alone, parser, result_file, say, write_result

from refrain.artifacts import ENCODERS_VARIABLE
from refrain.evaluation import evaluate
from refrain.progress import NoProgress
from refrain.runs import TIMINGS, run_all
from refrain.settings import load_settings
from refrain.stages import NOUNS

PER_DAY = (20_000, 66_667, 333_334)
PROMPTS = 2000
PLAIN_RUNS = 2  # as the machine is shared, the plain speed is the best of these


def run_log(log: str, truth: str | None, outputs: str, overrides: list[str]) -> dict[str, Any]:
    """Seconds and peak memory of a run and of each of its stages, with the figures where there is a truth."""
    config = load_settings(None, ["score.known=", *overrides]).config  # figures are of empty lists
    counts: dict[str, dict[str, int]] = {}
    start = time.perf_counter()
    run = run_all(
        [log], config, Path(outputs), progress=NoProgress(), report=lambda r: counts.update({r.verb: dict(r.counts)})
    )
    seconds = time.perf_counter() - start
    timings = json.loads((run.folder / TIMINGS).read_text(encoding="utf-8"))
    stages = {}
    for verb, noun in NOUNS.items():
        peak = round(timings[noun]["peak_bytes"] / MIB)
        stages[verb] = {"seconds": round(timings[noun]["seconds"], 2), "peak_mib": peak}
    requests = run.result("requests")
    return {
        "requests": sum(pq.ParquetFile(part).metadata.num_rows for part in requests.glob("requests/*/*.parquet")),
        "segments": pq.ParquetFile(requests / "segments.parquet").metadata.num_rows,
        "prompts": pq.ParquetFile(requests / "texts.parquet").metadata.num_rows,
        "encoded": counts["embed"].get("encoded"),
        "run": str(run.folder),
        "seconds": round(seconds, 1),
        "stages_peak_mib": max(stage["peak_mib"] for stage in stages.values()),
        "stages": stages,
        "figures": evaluate(Path(truth), run.result("exports")).plain() if truth else None,
    }


def measured(
    folder: Path,
    outputs: Path,
    *,
    encoders: Path | None = None,
    overrides: list[str] | None = None,
    with_truth: bool = True,
) -> dict[str, Any]:
    """What `run_log` says of the log in a folder, in a process of its own; the program ends where that fails."""
    truth = folder / "truth.parquet"
    asked = {
        "log": str(folder / "requests"),
        "truth": str(truth) if with_truth and truth.exists() else None,
        "outputs": str(outputs),
        "overrides": overrides or [],
    }
    environment = {ENCODERS_VARIABLE: str(encoders)} if encoders else None
    outcome = alone("end_to_end", "run_log", asked, environment=environment, memory_gib=np.inf)
    return outcome.needed(f"the run of {folder.name}")


def plain_way(requests: Path, prompts: int, count: int, seed: int) -> dict[str, Any]:
    """The speed of the plain encoder on random distinct prompts, and the seconds that all of them would take."""
    asked = {
        "encoder": PLAIN, "requests": str(requests), "count": count, "seed": seed, "encoders": "", "out": None,
        "kinds": ["prompts"],
    }  # fmt: skip
    told = [alone("encode", "speeds", asked).needed("the plain way") for _ in range(PLAIN_RUNS)]
    rates = [row["prompts"]["texts"] / row["prompts"]["seconds"] for row in told]
    return {
        "prompts_per_second": round(max(rates), 1),
        "all_rates": [round(rate, 1) for rate in rates],
        "seconds_for_all_prompts": round(prompts / max(rates)),
    }


def exponents(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The exponents of growth in requests: of each stage's seconds, of the whole's, and of peak memory."""

    def exponent(values: list[float]) -> float | None:
        if len({row["requests"] for row in rows}) <= 1 or min(values) <= 0:
            return None
        return round(float(np.polyfit(np.log([row["requests"] for row in rows]), np.log(values), 1)[0]), 3)

    return {
        "stages": {verb: exponent([row["stages"][verb]["seconds"] for row in rows]) for verb in NOUNS},
        "seconds": exponent([row["seconds"] for row in rows]),
        "peak_memory": exponent([row["stages_peak_mib"] for row in rows]),
    }


def folders(arguments: argparse.Namespace, work: Path) -> dict[str, Path | int]:
    """What is to be measured, by name: a folder, or the requests a day of traffic to be made."""
    if arguments.logs:
        return {folder.resolve().name: folder for folder in arguments.logs}
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is not there: the labelled traffic is not part of this repository")
    return {f"{arguments.days}x{per_day}": per_day for per_day in arguments.per_day}


def main() -> None:
    """Nothing; the result file then holds a row a log, and how they grow."""
    arguments_parser = parser("end-to-end", __doc__)
    arguments_parser.add_argument("--logs", type=Path, nargs="+", help="folders with requests/, not made traffic")
    arguments_parser.add_argument("--scenario", default="dev")
    arguments_parser.add_argument("--days", type=int, default=3)
    arguments_parser.add_argument("--per-day", type=int, nargs="+", default=list(PER_DAY), help=f"default: {PER_DAY}")
    arguments_parser.add_argument("--novel", type=float, default=0.9)
    arguments_parser.add_argument("--hostile", type=float, default=1.0)
    arguments_parser.add_argument("--prompts", type=int, default=PROMPTS, help="for the plain way, default 2000")
    arguments_parser.add_argument("--keep", action="store_true", help="rows of the result file that are there stay")
    arguments_parser.add_argument("--encoders", type=Path, help="folder of distilled encoders, shared by the runs")
    arguments_parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    arguments_parser.add_argument("--work", type=Path, help="folder for traffic and outputs, kept; default: temporary")
    arguments = arguments_parser.parse_args()
    rows = []
    if arguments.keep and result_file(arguments).exists():
        rows = json.loads(result_file(arguments).read_text(encoding="utf-8"))["rows"]
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name, source in folders(arguments, work).items():
            if name in {row["name"] for row in rows}:
                say(f"{name}: kept")
                continue
            folder = source if isinstance(source, Path) else traffic(
                arguments.scenario, work, seed=arguments.seed, days=arguments.days, per_day=source,
                novel=arguments.novel, hostile=arguments.hostile,
            )  # fmt: skip
            outputs = Path(tempfile.mkdtemp(prefix=f"outputs-{name}-", dir=work))
            row = measured(folder, outputs, encoders=arguments.encoders, overrides=arguments.set)
            say(f"{name}: {row}")
            plain = plain_way(Path(row["run"]) / "requests", row["prompts"], arguments.prompts, arguments.seed)
            row |= {
                "name": name,
                "requests_per_second": round(row["requests"] / row["seconds"], 1),
                "plain": plain,
                "times_plain": round(plain["seconds_for_all_prompts"] / row["seconds"], 2),
            }
            say(f"{name}: {row['requests_per_second']} requests a second; plain {plain}")
            rows = sorted([*rows, row], key=lambda row: int(row["requests"]))
            write_result(arguments, {"growth": exponents(rows), "rows": rows})
    say(f"growth: {exponents(rows)}")


if __name__ == "__main__":
    main()
