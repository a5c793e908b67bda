"""What a run's stages took: seconds and peak memory, as the run's timings file keeps them."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from refrain.errors import StoreError
from refrain.runs import TIMINGS
from refrain.stages import NOUNS

Row = dict[str, Any]
_MIB = 1 << 20


def read_timings(folder: Path) -> list[Row]:
    """A row for each stage of a run's folder in the order in which they run: `stage`, `computed` (else it was there),
    `seconds`, `peak_bytes` (of the run's own process or, where that is more, of it and its workers together).
    StoreError where there is no such file."""
    path = folder / TIMINGS
    try:
        timings = json.loads(path.read_text(encoding="utf-8"))
        return [
            {
                "stage": verb,
                "computed": bool(timings[noun]["computed"]),
                "seconds": float(timings[noun]["seconds"]),
                "peak_bytes": int(timings[noun]["peak_bytes"]),
            }
            for verb, noun in NOUNS.items()
            if noun in timings
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}: cannot be read as the timings of a run", hint="run the job again") from error


def render_timings(rows: list[Row], console: Console) -> None:
    """Nothing; the table and its sum stand on the console."""
    table = Table(box=None, pad_edge=False, header_style="bold cyan", padding=(0, 2, 0, 0))
    table.add_column("stage")
    for name in ("seconds", "peak MiB"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for row in rows:
        note = "" if row["computed"] else "was there"
        table.add_row(row["stage"], f"{row['seconds']:,.1f}", f"{row['peak_bytes'] / _MIB:,.0f}", note)
    total = sum(row["seconds"] for row in rows)
    table.add_row("all", f"{total:,.1f}", f"{max((r['peak_bytes'] for r in rows), default=0) / _MIB:,.0f}", "")
    console.print(table)
