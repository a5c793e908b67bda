"""What a store that knows earlier nights saves, as JSON in benchmarks/results/.

    .venv/bin/python benchmarks/warm_night.py OUTPUTS --work /tmp/speed
    .venv/bin/python benchmarks/warm_night.py OUTPUTS --log LOG_FOLDER --out /tmp/trial

OUTPUTS is the outputs folder of finished runs, e.g. one that benchmarks/end_to_end.py kept; it is only read. A further
log (one day of 100,000 requests of the same scenario from another seed, or --log with `requests/` in it) is run twice,
each in a fresh process: on an empty outputs folder, and on one that begins with OUTPUTS' store (hard links, all but its
lock). Both have the static encoder distilled already, which is done once for each model and no matter of nights. The
log is read once before, so that neither run has it from a colder disk; --rounds turns the order from round to round.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from detection import BENCH, traffic
from end_to_end import measured
from measuring import alone, parser, say, write_result

from refrain.artifacts import READ_BYTES, link_tree
from refrain.settings import load_settings

SEED = 1  # of the further log; the earlier ones' is 0
LOCK = "lock"


def empty(outputs: Path, warm: Path) -> None:
    """Nothing; the outputs folder has no store."""


def known(outputs: Path, warm: Path) -> None:
    """Nothing; the outputs folder has the store of `warm`."""
    link_tree(warm / "store", outputs / "store")
    (outputs / "store" / LOCK).unlink(missing_ok=True)  # a link to it would be the other store's lock


NIGHTS = {"cold": empty, "warm": known}


def distil(encoders: str) -> dict[str, Any]:
    """Nothing to tell; the folder holds the static encoder."""
    from embeddings.tiers import open_encoders

    open_encoders(load_settings().config.embed, Path(encoders))
    return {}


def night(name: str, log: Path, warm: Path, encoders: Path, work: Path) -> dict[str, Any]:
    """The figures of one run of the log."""
    outputs = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=work))
    try:
        NIGHTS[name](outputs, warm)
        told = measured(log, outputs, encoders=encoders, with_truth=False)
    finally:
        shutil.rmtree(outputs)
    return {what: told[what] for what in ("seconds", "requests", "segments", "encoded", "stages_peak_mib", "stages")}


def read_through(folder: Path) -> None:
    """Nothing; the folder's files are in memory as far as the system keeps them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            while file.read(READ_BYTES):
                pass


def main() -> None:
    """Nothing; the result file then holds the figures of both runs and their ratio."""
    arguments_parser = parser("warm-night", __doc__)
    arguments_parser.add_argument("warm", type=Path, metavar="OUTPUTS", help="outputs folder of finished runs")
    arguments_parser.add_argument("--log", type=Path, help="folder with requests/, instead of made traffic")
    arguments_parser.add_argument("--scenario", default="dev")
    arguments_parser.add_argument("--days", type=int, default=1)
    arguments_parser.add_argument("--per-day", type=int, default=100_000)
    arguments_parser.add_argument("--novel", type=float, default=0.9)
    arguments_parser.add_argument("--hostile", type=float, default=1.0)
    arguments_parser.add_argument("--rounds", type=int, default=1)
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
        work = arguments.work or aside
        log = arguments.log or traffic(
            arguments.scenario, work, seed=arguments.seed, days=arguments.days, per_day=arguments.per_day,
            novel=arguments.novel, hostile=arguments.hostile,
        )  # fmt: skip
        read_through(log)
        encoders = aside / "encoders"
        encoders.mkdir()
        if (arguments.warm / "store" / "encoders").is_dir():
            shutil.copytree(arguments.warm / "store" / "encoders", encoders, dirs_exist_ok=True)
        alone("warm_night", "distil", {"encoders": str(encoders)}).needed("distilling the static encoder")
        rounds = []
        for turn in range(arguments.rounds):
            order = sorted(NIGHTS, reverse=turn % 2 == 1)
            rounds.append({name: night(name, log, arguments.warm, encoders, aside) for name in order})
            say(f"round {turn + 1}: {rounds[-1]}")
    ratios = [turn["cold"]["seconds"] / turn["warm"]["seconds"] for turn in rounds]
    embed = [{name: told["stages"]["embed"]["seconds"] for name, told in turn.items()} for turn in rounds]
    embedding = [turn["cold"] / turn["warm"] for turn in embed]
    figures = {"cold_over_warm": round(median(ratios), 3), "embed_cold_over_warm": round(median(embedding), 3)}
    write_result(arguments, {**figures, "rounds": rounds})
    say(f"{figures}")


if __name__ == "__main__":
    main()
