"""The sample as files: a folder that is made whole beside its place and then renamed."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.errors import InputError
from refrain.simulate.demo import CAMPAIGNS, DEMO_CAMPAIGNS, demo_world
from refrain.simulate.world import sample

Format = Literal["parquet", "jsonl", "csv"]
CARD = "sample.json"  # what the sample was made with, and its files: says that the folder is ours to replace


def write_sample(
    out: Path,
    *,
    seed: int = 7,
    requests: int = 7000,
    days: int = 3,
    campaigns: Sequence[str] = DEMO_CAMPAIGNS,
    format: Format = "parquet",  # noqa: A002 - the name of the option
) -> dict[str, int]:
    """Counts of the sample written to OUT: a log with hidden campaigns in OUT/requests, the truth in OUT/truth.parquet.

    The log is `requests/day=YYYY-MM-DD/part-0.parquet`, or `requests/requests.jsonl`, or `requests/requests.csv`;
    times are UTC. Campaigns are named as in refrain.simulate.demo.CAMPAIGNS. The same arguments write the same bytes.
    InputError where OUT holds anything but an earlier sample, or an argument cannot be used.
    """
    out = out.resolve()  # "." has no name, and a link's target is what is replaced
    unknown = [name for name in campaigns if name not in CAMPAIGNS]
    if unknown or len(set(campaigns)) < len(campaigns):
        raise InputError("unknown or repeated campaign", hint=f"choose from: {', '.join(CAMPAIGNS)}")
    if requests < 1 or days < 1:
        raise InputError("a sample needs at least one request and one day")
    refuse_foreign(out)
    made = sample(demo_world(seed=seed, requests=requests, days=days, campaigns=campaigns))
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as aside:
        whole = Path(aside) / "sample"
        (whole / "requests").mkdir(parents=True)
        _WRITERS[format](made.log, whole / "requests")
        pq.write_table(made.truth, whole / "truth.parquet", compression="zstd")
        files = sorted(str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file())
        made_with = {"seed": seed, "requests": requests, "days": days, "campaigns": list(campaigns), "format": format}
        (whole / CARD).write_text(json.dumps({**made_with, "files": files}, indent=1) + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        whole.rename(out)
    return made.counts()


def refuse_foreign(out: Path) -> None:
    """InputError unless OUT is missing, empty, or holds an earlier sample and nothing else."""
    if not out.exists():
        return
    problem = InputError(f"{out} holds something that is no earlier sample", hint="name a new or empty folder")
    if not out.is_dir():
        raise problem
    found = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir() or path.is_symlink()}
    if not found:
        return
    try:
        ours = {CARD, *json.loads((out / CARD).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise problem from None
    if not found <= ours:
        raise problem


def _write_parquet(log: pa.Table, folder: Path) -> None:
    days = pc.strftime(log["timestamp"], format="%Y-%m-%d")
    for day in sorted(set(days.to_pylist())):
        part = folder / f"day={day}" / "part-0.parquet"
        part.parent.mkdir()
        pq.write_table(log.filter(pc.equal(days, day)), part, compression="zstd")


def _plain(value: object) -> object:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _write_jsonl(log: pa.Table, folder: Path) -> None:
    with (folder / "requests.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for row in log.to_pylist():
            present = {name: _plain(value) for name, value in row.items() if value is not None}
            file.write(json.dumps(present, ensure_ascii=False) + "\n")


def _write_csv(log: pa.Table, folder: Path) -> None:
    with (folder / "requests.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(log.column_names)
        writer.writerows([_plain(value) for value in row.values()] for row in log.to_pylist())


_WRITERS = {"parquet": _write_parquet, "jsonl": _write_jsonl, "csv": _write_csv}
