"""What a store that knows the earlier days of a window saves at night, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/warm_night.py OUTPUTS EARLIER --work /tmp/speed
    .venv/bin/python benchmarks/warm_night.py OUTPUTS EARLIER --log LOG_FOLDER --out /tmp/trial

OUTPUTS is the outputs folder of a finished run over EARLIER/requests, e.g. one that benchmarks/end_to_end.py kept with
its log; both are only read. The night is one day more (100,000 requests of the same scenario from another seed, or
--log with `requests/` in it), moved to the day after EARLIER's last. Each of these runs in a fresh process:

- `cold`: the night alone, on an empty outputs folder
- `warm`: the night alone, on one that begins with OUTPUTS' store (hard links, all but its lock)
- `window`: EARLIER and the night together, all stages, on such a store: what a nightly job does
- `window_cold`: the same on an empty folder, with --window-cold

All but those on OUTPUTS' store distil the static encoder as a first night has to, unless --encoders names a folder that
has it. The night's log is read once before, so that no run has it from a colder disk.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from detection import BENCH, traffic
from end_to_end import measured
from measuring import parser, say, write_result

from refrain.artifacts import READ_BYTES, link_tree

SEED = 1  # of the further log; the earlier ones' is 0
LOCK = "lock"
TOLD = ("seconds", "requests", "segments", "encoded", "stages_peak_mib", "stages")
OF_THE_TEXT = ("ingest", "embed", "index")


def days_of(folder: Path) -> list[date]:
    """The days of a log's partitions, in order."""
    return sorted(date.fromisoformat(part.name.removeprefix("day=")) for part in (folder / "requests").glob("day=*"))


def moved(folder: Path, target: Path, by: timedelta) -> None:
    """Nothing; `target`/requests then holds the log of `folder`, all its moments later by whole days."""
    for part in sorted((folder / "requests").glob("day=*/*.parquet")):
        table = pq.ParquetFile(part).read()
        for name in ("timestamp", "account_created_at"):
            at = table.schema.get_field_index(name)
            later = pc.add(table.column(at), pa.scalar(by, pa.duration("us")))
            table = table.set_column(at, name, later.cast(table.schema.field(at).type))
        day = date.fromisoformat(part.parent.name.removeprefix("day=")) + by
        place = target / "requests" / f"day={day}" / part.name
        place.parent.mkdir(parents=True)
        pq.write_table(table, place)


@contextmanager
def beginning_with(outputs: Path | None, work: Path) -> Iterator[Path]:
    """A folder for outputs that knows what the store of `outputs` knows, or nothing; gone afterwards."""
    fresh = Path(tempfile.mkdtemp(prefix="outputs-", dir=work))
    try:
        if outputs is not None:
            link_tree(outputs / "store", fresh / "store")
            (fresh / "store" / LOCK).unlink(missing_ok=True)  # a link to it would be the other store's lock
        yield fresh
    finally:
        shutil.rmtree(fresh)


def night(log: Path, outputs: Path | None, encoders: Path | None, work: Path) -> dict[str, Any]:
    """The figures of one run of the log, on a store that begins with that of `outputs`."""
    with beginning_with(outputs, work) as fresh:
        told = measured(log, fresh, encoders=encoders if outputs is None else None, with_truth=False)
    return {what: told[what] for what in TOLD}


def read_through(folder: Path) -> None:
    """Nothing; the folder's files are in memory as far as the system keeps them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            while file.read(READ_BYTES):
                pass


def text_seconds(told: dict[str, Any]) -> float:
    """The seconds of the stages whose work is the text's: the others compare owners over the whole window."""
    return sum(float(told["stages"][verb]["seconds"]) for verb in OF_THE_TEXT)


def main() -> None:
    """Nothing; the result file then holds the figures of the runs and their ratios."""
    arguments_parser = parser("warm-night", __doc__)
    arguments_parser.add_argument("warm", type=Path, metavar="OUTPUTS", help="outputs folder of a run over EARLIER")
    arguments_parser.add_argument("earlier", type=Path, metavar="EARLIER", help="its log: a folder with requests/")
    arguments_parser.add_argument("--log", type=Path, help="folder with requests/ in it, instead of made traffic")
    arguments_parser.add_argument("--scenario", default="dev")
    arguments_parser.add_argument("--per-day", type=int, default=100_000)
    arguments_parser.add_argument("--novel", type=float, default=0.9)
    arguments_parser.add_argument("--hostile", type=float, default=1.0)
    arguments_parser.add_argument("--encoders", type=Path, help="folder of distilled encoders for the cold runs")
    arguments_parser.add_argument("--window-cold", action="store_true", help="run the window on an empty folder too")
    arguments_parser.add_argument("--work", type=Path, help="folder for traffic, kept; on the disk of OUTPUTS' store")
    arguments_parser.set_defaults(seed=SEED)
    arguments = arguments_parser.parse_args()
    if not (arguments.warm / "store" / "vectors").is_dir():
        sys.exit(f"{arguments.warm} holds no store with vectors")
    if arguments.log is None and not BENCH.is_dir():
        sys.exit(f"{BENCH} is not there: the labelled traffic is not part of this repository")
    if arguments.work:
        arguments.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.work) as temporary:
        aside = Path(temporary)
        made = arguments.log or traffic(
            arguments.scenario, arguments.work or aside, seed=arguments.seed, days=1, per_day=arguments.per_day,
            novel=arguments.novel, hostile=arguments.hostile,
        )  # fmt: skip
        alone, window = aside / "night", aside / "window"
        moved(made, alone, days_of(arguments.earlier)[-1] + timedelta(days=1) - days_of(made)[0])
        link_tree(arguments.earlier / "requests", window / "requests")
        link_tree(alone / "requests", window / "requests")
        read_through(window)
        runs = {
            "cold": night(alone, None, arguments.encoders, aside),
            "warm": night(alone, arguments.warm, None, aside),
            "window": night(window, arguments.warm, None, aside),
        }
        for name, told in runs.items():
            say(f"{name}: {told}")
        if arguments.window_cold:
            runs["window_cold"] = night(window, None, arguments.encoders, aside)
            say(f"window_cold: {runs['window_cold']}")
    cold, warm, whole = (runs[name] for name in ("cold", "warm", "window"))
    ratios = {
        "warm_over_cold": warm["seconds"] / cold["seconds"],
        "warm_text_over_cold": text_seconds(warm) / cold["seconds"],
        "window_text_over_cold": text_seconds(whole) / cold["seconds"],
        "window_over_cold": whole["seconds"] / cold["seconds"],
    }
    if "window_cold" in runs:
        ratios["window_over_window_cold"] = whole["seconds"] / runs["window_cold"]["seconds"]
    ratios = {name: round(value, 3) for name, value in ratios.items()}
    write_result(arguments, {"ratios": ratios, "runs": runs})
    say(f"{ratios}")


if __name__ == "__main__":
    main()
