"""Which runs there are and were: a row in the ledger for each that is whole, written when its last stage is done.

A run needs no ledger for what it finds, so one whose row cannot be written is whole all the same; `list_notes` shows
it from its folder, as it does the runs of an earlier refrain.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from refrain.artifacts import MANIFEST, read_manifest
from refrain.config import LedgerConfig
from refrain.errors import RefrainError, StoreError
from refrain.ledger import Ledger, RunRow, find_ledger, open_ledger
from refrain.ledger.rows import RunKind
from refrain.night_counts import stage_counts
from refrain.runs import Run, list_runs, open_run
from refrain.stages import NOUNS

logger = logging.getLogger(__name__)

_NIGHT = re.compile(r"nightly-\d{4}-\d{2}-\d{2}\Z")
_SLICE = "slice "  # leads what stands for a part of a log among the inputs of its ingest


def note_run(run: Run, config: LedgerConfig) -> bool:
    """Whether the ledger was told something new: that this run is whole. A failure is logged and fails nobody."""
    try:
        row = row_of(run, datetime.now(UTC))
        if row is None:
            return False
        with open_ledger(run.outputs, config) as ledger:
            old = ledger.runs.row(run.name)
            if old is not None and replace(old, finished=row.finished) == row:
                return False
            ledger.runs.note(row)
    except (RefrainError, OSError) as error:
        said = error.message if isinstance(error, RefrainError) else type(error).__name__
        logger.warning("run %s is whole, and the ledger has no row of it: %s", run.name, said)
        return False
    return True


def row_of(run: Run, finished: datetime) -> RunRow | None:
    """What is noted of a run that was finished then; None where it is not whole."""
    if set(NOUNS.values()) - run.stages.keys():
        return None
    requests, exports = read_manifest(run.folder / "requests"), read_manifest(run.folder / "exports")
    if requests is None or exports is None:
        return None
    days = sorted(path.parent.name.removeprefix("day=") for path in run.folder.glob("requests/requests/day=*/*"))
    first, last = (date.fromisoformat(days[at]) if days else None for at in (0, -1))
    part = any(name.startswith(_SLICE) for name in requests.inputs)
    kind: RunKind = "nightly" if _NIGHT.match(run.name) else "slice" if part else "on demand"
    return RunRow(run.name, kind, finished, first, last, stage_counts(run.folder), exports.content)


def list_notes(outputs: Path, config: LedgerConfig) -> Mapping[RunRow, bool]:
    """The runs that are or were whole, the last finished first, and whether they still are there. A run that has no row
    is shown from its folder, finished when its manifest was written."""
    with find_ledger(outputs, config) as ledger:
        noted = [] if ledger is None else ledger.runs.rows()
    there = _whole(outputs)
    rows = {row: row.run_id in there for row in noted}
    named = {row.run_id for row in noted}
    rows |= {row: True for name, row in there.items() if name not in named}
    return dict(sorted(rows.items(), key=lambda pair: (pair[0].finished, pair[0].run_id), reverse=True))


def settle_notes(outputs: Path, config: LedgerConfig) -> int:
    """How many rows changed or went: those of runs that are no longer there, or no longer what they were."""
    with find_ledger(outputs, config) as ledger:
        return 0 if ledger is None else settle(outputs, ledger)


def settle(outputs: Path, ledger: Ledger, *, change: bool = True) -> int:
    """How many rows are not as the folders are, and are made so unless `change` is False."""
    there = _whole(outputs)
    rows = ledger.runs.rows()
    gone = [row.run_id for row in rows if row.run_id not in there]
    kept = [(row, replace(there[row.run_id], finished=row.finished)) for row in rows if row.run_id in there]
    other = [now for row, now in kept if row != now]
    if change and gone:
        ledger.runs.forget(gone)
    if change and other:
        ledger.runs.note(*other)
    return len(gone) + len(other)


def _whole(outputs: Path) -> dict[str, RunRow]:
    """The rows of the whole runs in an outputs folder by name, finished when their manifests were written."""
    found = {}
    for name in list_runs(outputs):
        try:
            run = open_run(outputs, name)
            written = datetime.fromtimestamp((run.folder / MANIFEST).stat().st_mtime, UTC)
            row = row_of(run, written)
        except (StoreError, OSError):  # damaged: doctor names it
            continue
        if row is not None:
            found[name] = row
    return found
