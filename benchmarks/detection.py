"""What refrain finds in the team's labelled traffic, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/detection.py dev --seeds 0 1 2
    .venv/bin/python benchmarks/detection.py clean --seeds 0 1 2 3 4
    .venv/bin/python benchmarks/detection.py dev --per-day 60000 --name dev-full
    .venv/bin/python benchmarks/detection.py dev --name dev-bare \\
        --without ip user_agent payment_hash org_id account_created_at
    .venv/bin/python benchmarks/detection.py dev --only text      # our scorer with the other half switched off
    .venv/bin/python benchmarks/detection.py dev --only metadata

Needs ../shared/bench beside the checkout. The traffic and the runs lie in --work (a temporary folder without it); runs
share one store, so a text is encoded once over all of them. Defaults of configs/default.toml; nothing of a scenario is
read by what is measured.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from refrain.evaluation import evaluate
from refrain.progress import NoProgress
from refrain.runs import run_all
from refrain.settings import load_settings

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT.parent / "shared" / "bench"
RESULTS = ROOT / "benchmarks" / "results"
ONLY = {
    "text": ('score.families=["use"]', "score.min_families=1"),
    "metadata": ('score.families=["identity", "time"]', "score.min_families=2"),
}


def traffic(scenario: str, work: Path, *, seed: int, days: int, per_day: int, novel: float, hostile: float) -> Path:
    """The folder of a scenario's traffic, made where it is not there yet."""
    out = work / f"{scenario}-{days}x{per_day}-{seed}-{novel}-{hostile}"
    if not (out / "truth.parquet").exists():
        options = {"--seed": seed, "--days": days, "--per-day": per_day, "--novel": novel, "--hostile": hostile}
        make_traffic(BENCH / "scenarios" / f"{scenario}.json", out, options)
    return out


def make_traffic(scenario: Path, out: Path, options: Mapping[str, object]) -> None:
    """Nothing; `out` then holds the traffic of a scenario's file."""
    words = [str(word) for pair in options.items() for word in pair]
    subprocess.run([sys.executable, BENCH / "traffic.py", scenario, out, *words], check=True, capture_output=True)


def bare(log: Path, without: list[str]) -> Path:
    """The log with some columns left out, beside it."""
    out = log.with_name("requests-without-" + "-".join(sorted(without)))
    for part in sorted(log.glob("day=*/*.parquet")):
        target = out / part.relative_to(log)
        target.parent.mkdir(parents=True, exist_ok=True)
        table = pq.ParquetFile(part).read()
        pq.write_table(table.drop_columns(without), target)
    return out


def measure(log: Path, truth: Path, outputs: Path, overrides: list[str]) -> dict[str, Any]:
    """The figures of a run over the log, with seconds and peak memory a stage."""
    stages: dict[str, dict[str, float]] = {}

    def note(result: Any) -> None:
        stages[result.verb] = {"seconds": round(result.seconds, 1), "peak_mib": round(result.peak_bytes / 2**20)}

    config = load_settings(None, ["score.known=", *overrides]).config  # figures are of empty lists
    run = run_all([str(log)], config, outputs, progress=NoProgress(), report=note)
    return {"figures": evaluate(truth, run.result("exports")).plain(), "stages": stages}


def main() -> None:
    """Nothing; benchmarks/results/detection-NAME.json then holds the figures of every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--per-day", type=int, default=20000)
    parser.add_argument("--novel", type=float, default=0.0)
    parser.add_argument("--hostile", type=float, default=1.0)
    parser.add_argument("--without", nargs="+", default=[], help="columns left out of the log")
    parser.add_argument("--only", choices=sorted(ONLY), help="one half of the evidence")
    parser.add_argument("--name", help="of the result file; default: the scenario")
    parser.add_argument("--work", type=Path, help="folder for traffic and runs, kept")
    arguments = parser.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is not there: the labelled traffic is not part of this repository")
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        rows = []
        for seed in arguments.seeds:
            sizes = {name: getattr(arguments, name) for name in ("days", "per_day", "novel", "hostile")}
            made = traffic(arguments.scenario, work, seed=seed, **sizes)
            log = bare(made / "requests", arguments.without) if arguments.without else made / "requests"
            overrides = list(ONLY[arguments.only]) if arguments.only else []
            result = measure(log, made / "truth.parquet", work / "outputs", overrides)
            rows.append({"seed": seed, **result})
            sys.stdout.write(f"{arguments.scenario} seed {seed}: {json.dumps(result['figures'])}\n")
            sys.stdout.flush()
    name = arguments.name or arguments.scenario
    RESULTS.mkdir(exist_ok=True)
    command = " ".join(["benchmarks/detection.py", *sys.argv[1:]])
    machine = {"machine": platform.machine(), "python": platform.python_version()}
    text = json.dumps({"command": command, **machine, "rows": rows}, indent=1)
    (RESULTS / f"detection-{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
