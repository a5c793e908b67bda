"""Nights of a small log: two that are published, and the run of the third made and not published yet.

What publishing does can be tried on copies of them, on SQLite and on PostgreSQL, at no cost but that of publishing.
"""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from crashing import SETTINGS, Job, Nursery

from refrain.config import Config
from refrain.ledger import open_ledger
from refrain.ledger.rows import KINDS
from refrain.lineage_table import FOLDER
from refrain.nights import run_name
from refrain.runs import LATEST_NIGHT, REPORT
from refrain.settings import load_settings
from refrain.simulate import write_sample

DAYS = [date(2026, 5, 11) + timedelta(days=at) for at in range(4)]
WINDOW = 2
LAST = DAYS[-1]
LATE = 5  # rows of the last day that come after its night
NEXT_NIGHT, AGAIN = "the next night", "the last night again, after late rows"


def config_of(*settings: str) -> Config:
    """The settings of these nights, and some more."""
    return load_settings(None, [*SETTINGS, f"nights.days={WINDOW}", *settings]).config


@dataclass(frozen=True)
class Situation:
    """Outputs in which the run of a night is whole and not published, and the log that it is of."""

    name: str
    log: Path
    outputs: Path

    def copy(self, to: Path) -> Path:
        """The outputs, for a test that changes them."""
        shutil.copytree(self.outputs, to, symlinks=True)
        return to


class NightArena:
    """`situations` by name; in both, the ledger is a SQLite file in the outputs folder."""

    def __init__(self, root: Path, nursery: Nursery) -> None:
        self.nursery = nursery
        write_sample(root / "sample", seed=3, requests=600, days=len(DAYS))
        late = root / "sample" / "requests"
        log = root / "log"
        shutil.copytree(late, log)
        path = log / f"day={LAST}" / "part-0.parquet"
        rows = pq.ParquetFile(path).read()
        path.unlink()
        pq.write_table(rows.slice(LATE), path)
        for day in DAYS[1:-1]:
            self.night(log, root / "first", day)
        self.run(log, root / "first")
        shutil.copytree(root / "first", root / "second", symlinks=True)
        self.night(log, root / "second", LAST)
        self.run(late, root / "second")
        self.situations = {
            NEXT_NIGHT: Situation(NEXT_NIGHT, log, root / "first"),
            AGAIN: Situation(AGAIN, late, root / "second"),
        }

    def night(self, log: Path, outputs: Path, day: date, *settings: str, **more: Any) -> Any:
        """How the night of a day ended, which may be killed (crashing.Job)."""
        job = Job(log, outputs, "", day, WINDOW, settings=settings, nightly=True)
        done = self.nursery.run(replace(job, **more))
        assert done.error == "", done
        return done

    def run(self, log: Path, outputs: Path) -> None:
        """Nothing; the run of the last night is whole, and nothing of it is published."""
        done = self.nursery.run(Job(log, outputs, run_name(LAST), LAST, WINDOW))
        assert (done.killed, done.error) == (0, ""), done


def rows_of(outputs: Path, config: Config) -> tuple[Any, ...]:
    """All that a ledger holds, but for when it was written."""
    with open_ledger(outputs, config.ledger, create=False) as ledger:
        return (
            [replace(row, recorded=datetime(2026, 1, 1, tzinfo=UTC)) for row in ledger.nights()],
            [ledger.identities(kind) for kind in KINDS],
            ledger.sightings(),
            ledger.events(),
        )


def published(outputs: Path) -> dict[str, bytes | str]:
    """What follows from the ledger for the last night: the bytes of its map, stories, mark and report, the pointer."""
    run = outputs / "runs" / run_name(LAST)
    pointer = outputs / "runs" / LATEST_NIGHT
    found: dict[str, bytes | str] = {path.name: path.read_bytes() for path in (run / FOLDER).glob("*")}
    if (run / REPORT).exists():
        found[REPORT] = (run / REPORT).read_bytes()
    if pointer.is_symlink():
        found[LATEST_NIGHT] = pointer.readlink().name
    return found
