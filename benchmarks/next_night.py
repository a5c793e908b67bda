"""What the night after costs: the nightly command with and without the nights before, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/next_night.py --days 14 --per-day 20000 --work /tmp/nights

The log is the labelled traffic (needs ../shared/bench) of one day more than the window. `refrain nightly` runs in a
fresh process each time: `before` for the day before the last on an empty outputs folder, `next` for the last day after
it, `cold` for the last day on an empty folder. Seconds and peak memory of a stage are those of the run's timings.json;
`command` is the whole process. `same_bytes` says whether the exports of `next` and `cold` are equal, byte for byte
(all three under one key).
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from detection import BENCH, traffic
from measuring import MIB, parser, say, write_result
from warm_night import days_of

from refrain.artifacts import ENCODERS_VARIABLE, digest_file
from refrain.key import KEY_BYTES, KEY_VARIABLE
from refrain.nights import run_name
from refrain.stages import NOUNS

KEY = "5e" * KEY_BYTES


def run_night(log: Path, day: date, outputs: Path, window: int, encoders: Path) -> dict[str, Any]:
    """Seconds and peaks of a night's stages and of the whole command; the program ends where it fails."""
    command = [sys.executable, "-m", "refrain.cli", "nightly", log, "--day", day, "--days", window]
    words = [str(word) for word in (*command, "--outputs", outputs, "--json")]
    begin = time.perf_counter()
    environment = {**os.environ, ENCODERS_VARIABLE: str(encoders), KEY_VARIABLE: KEY}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"the night of {day} failed: {done.stderr}")
    seconds = time.perf_counter() - begin
    timings = json.loads((outputs / "runs" / run_name(day) / "timings.json").read_text(encoding="utf-8"))
    stages = {
        verb: {"seconds": timings[noun]["seconds"], "peak_mib": round(timings[noun]["peak_bytes"] / MIB)}
        for verb, noun in NOUNS.items()
    }
    return {
        "stages": stages,
        "all_stages": round(sum(stage["seconds"] for stage in stages.values()), 1),
        "command": round(seconds, 1),
    }


def exports_of(outputs: Path, day: date) -> dict[str, str]:
    """The digests of a night's exports."""
    folder = outputs / "runs" / run_name(day) / "exports"
    return {path.name: digest_file(path) for path in sorted(folder.iterdir())}


def main() -> None:
    """Nothing; the result file then holds the three nights."""
    made = parser("next-night", __doc__)
    made.add_argument("--scenario", default="dev")
    made.add_argument("--days", type=int, default=14, help="days of the window, default 14")
    made.add_argument("--per-day", type=int, default=20_000)
    made.add_argument("--novel", type=float, default=0.0, help="share of prompts that are reworded, default 0")
    made.add_argument("--encoders", type=Path, help="folder of distilled encoders")
    made.add_argument("--work", type=Path, help="folder for traffic and outputs, which are removed")
    arguments = made.parse_args()
    if not BENCH.is_dir():
        sys.exit(f"{BENCH} is not there: the labelled traffic is not part of this repository")
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="refrain-next-", dir=arguments.work))
    try:
        sizes = {"days": arguments.days + 1, "per_day": arguments.per_day, "novel": arguments.novel}
        log = traffic(arguments.scenario, arguments.work or work, seed=arguments.seed, hostile=1.0, **sizes)
        last = days_of(log)[arguments.days]  # a request or two may spill into a day after it
        before = days_of(log)[arguments.days - 1]
        encoders = arguments.encoders or work / "encoders"
        warm, cold = work / "warm", work / "cold"
        rows = {}
        for name, day, outputs in (("before", before, warm), ("next", last, warm), ("cold", last, cold)):
            rows[name] = run_night(log / "requests", day, outputs, arguments.days, encoders)
            say(f"{name}: {rows[name]}")
        same = exports_of(warm, last) == exports_of(cold, last)
        ratio = round(rows["next"]["all_stages"] / rows["cold"]["all_stages"], 3)
        write_result(arguments, {"nights": rows, "share_of_cold": ratio, "same_bytes": same})
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
