"""A story of nights, run one by one and judged, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/nights.py --days 20 --per-day 3000 --window 5
    .venv/bin/python benchmarks/nights.py --sample DIR --work /tmp/nights --keep
    .venv/bin/python benchmarks/nights.py --scenario dev --days 20 --per-day 6000 --name nights-dev

`refrain simulate --nights` makes the log, in which campaigns split, merge, pause, change pool, model and size and end,
and rows that come late; each night is `refrain nightly` in a process of its own, after the rows that arrive on its day
have been put into the log. The figures are those of `refrain evaluate --nights`: whether ids held, precision and recall
of events, days to the first alert, and the seconds of each night. --sample takes a folder that simulate wrote.

--scenario takes the team's labelled traffic instead (needs ../shared/bench), whose truth of events is what the
scenario says: when a campaign begins, when its pool is replaced and when it turns to a new model. It tells nothing of
growth or of pauses, so precision counts each of these as wrong; `by_event` has right, found and true ones of each kind.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from detection import BENCH, traffic
from measuring import parser, say, write_result

from refrain.artifacts import ENCODERS_VARIABLE

LATE = "late"  # the simulator's folder of rows by the day on which they arrive
RELEASE = 1  # the day of the traffic on which a new model comes


def refrain(*arguments: object, encoders: Path) -> dict[str, Any]:
    """What `refrain ... --json` prints; the program ends where it fails."""
    command = [sys.executable, "-m", "refrain.cli", *map(str, arguments), "--json"]
    environment = {**os.environ, ENCODERS_VARIABLE: str(encoders)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"refrain {arguments[0]} failed: {done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def days_of(log: Path) -> list[date]:
    """The days of a log's partitions, in order."""
    return sorted(date.fromisoformat(part.name.removeprefix("day=")) for part in log.glob("day=*"))


def run_nights(sample: Path, work: Path, settings: list[str], encoders: Path) -> list[dict[str, Any]]:
    """A row a night: seconds, counts that a night tells, and what was new."""
    log = work / "requests"
    shutil.copytree(sample / "requests", log)
    rows = []
    for day in days_of(log):
        arrived = sample / LATE / day.isoformat()
        if arrived.exists():
            shutil.copytree(arrived, log, dirs_exist_ok=True)
        begin = time.perf_counter()
        chosen = [part for setting in settings for part in ("--set", setting)]
        told = refrain("nightly", log, "--day", day, "--outputs", work / "outputs", *chosen, encoders=encoders)
        [night] = told["nights"]
        counts = {name: night["counts"][name] for name in ("kept", "campaigns", "alerts", "late_rows")}
        new = len(night["new_campaigns"])
        rows.append({"day": str(day), "seconds": round(time.perf_counter() - begin, 1), **counts, "new": new})
        say(f"{rows[-1]} {night['events']}")
    return rows


def labelled(scenario: str, work: Path, *, seed: int, days: int, per_day: int) -> Path:
    """A folder as `simulate --nights` leaves it, of labelled traffic; the events are those that the scenario states."""
    made = traffic(scenario, work, seed=seed, days=days, per_day=per_day, novel=0.0, hostile=1.0)
    truth = pq.read_table(made / "truth.parquet", columns=["request_id", "family", "kind"])
    log = pq.read_table(made / "requests", columns=["request_id", "timestamp"])
    log = log.append_column("night", pc.cast(log["timestamp"], pa.date32()))
    hostile = truth.filter(pc.equal(truth["kind"], "campaign")).join(log, "request_id")
    begun = hostile.group_by("family").aggregate([("night", "min")]).to_pylist()
    first = {row["family"]: row["night_min"] for row in begun}
    start = pc.min(log["night"]).as_py()
    rows = [(family, day, "born") for family, day in first.items()]
    stated = json.loads((BENCH / "scenarios" / f"{scenario}.json").read_text(encoding="utf-8"))["campaigns"]
    for campaign in stated:
        if "failover_day" in campaign:
            rows.append((campaign["id"], start + timedelta(days=campaign["failover_day"]), "succeeded"))
        if campaign.get("pivot"):
            rows.append((campaign["id"], start + timedelta(days=RELEASE), "pivoted"))
    names, nights, events = zip(*sorted(rows), strict=True)
    table = {"campaign": names, "night": nights, "event": events, "other": [""] * len(rows)}
    pq.write_table(pa.table(table), made / "nights.parquet")
    return made


def main() -> None:
    """Nothing; the result file then holds the nights and the figures."""
    made = parser("nights", __doc__)
    made.add_argument("--sample", type=Path, help="a folder of `refrain simulate --nights`, not a new one")
    made.add_argument("--scenario", help="a scenario of the labelled traffic, not a simulated story")
    made.add_argument("--days", type=int, default=20)
    made.add_argument("--per-day", type=int, default=3000)
    made.add_argument("--window", type=int, default=5, help="days that a night looks back on, default 5")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    made.add_argument("--encoders", type=Path, help="folder of distilled encoders")
    made.add_argument("--work", type=Path, help="folder for log and outputs; default: temporary")
    made.add_argument("--keep", action="store_true", help="leave that folder as it is afterwards")
    arguments = made.parse_args()
    work = Path(tempfile.mkdtemp(prefix="refrain-nights-", dir=arguments.work))
    try:
        encoders = arguments.encoders or work / "encoders"
        sample = arguments.sample
        if arguments.scenario:
            sizes = {"seed": arguments.seed, "days": arguments.days, "per_day": arguments.per_day}
            sample = labelled(arguments.scenario, arguments.work or work, **sizes)
        elif sample is None:
            sample = work / "sample"
            size = ("--days", arguments.days, "--requests", arguments.days * arguments.per_day)
            say(str(refrain("simulate", sample, "--nights", "--seed", arguments.seed, *size, encoders=encoders)))
        settings = [f"nights.days={arguments.window}", *arguments.set]
        rows = run_nights(sample, work, settings, encoders)
        figures = refrain("evaluate", sample, "--nights", "--outputs", work / "outputs", encoders=encoders)
        say(json.dumps(figures, indent=1))
        write_result(arguments, {"window": arguments.window, "nights": rows, "figures": figures})
    finally:
        if not arguments.keep:
            shutil.rmtree(work)


if __name__ == "__main__":
    main()
