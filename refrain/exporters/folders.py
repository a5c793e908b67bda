"""The tables as files of one folder: Parquet, CSV for spreadsheets, JSON lines. Packets are JSON lines in each."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from refrain.exporters.exporter import FOLDER, Exporter, Options
from refrain.formats import CSV as _CSV
from refrain.formats import JSONL as _JSONL
from refrain.formats import PARQUET as _PARQUET
from refrain.formats import write_format
from refrain.packet_lines import FILE, copy_packets

_PACKETS = "packets"


def _write(format: str, exports: Path, to: str, options: Options) -> dict[str, int]:  # noqa: A002 (the option's name)
    """Rows written for each table; each file appears whole or not at all."""
    folder = Path(to)
    folder.mkdir(parents=True, exist_ok=True)
    tables = sorted(exports.glob("*.parquet"))
    counts = {}
    with options.progress.task(f"writing {format}", len(tables)) as advance:
        for table in tables:
            counts[table.stem] = write_format(table, folder / f"{table.stem}.{format}", format)
            advance(1)
    if (exports / FILE).exists():
        counts[_PACKETS] = copy_packets(exports, folder)
    return counts


def _place(format: str) -> Callable[[str, str], str]:  # noqa: A002
    return lambda to, table: f"{to.rstrip('/')}/{FILE if table == _PACKETS else f'{table}.{format}'}"


def _exporter(name: str, title: str) -> Exporter:
    return Exporter(name, title, partial(_write, name), kind=FOLDER, place=_place(name))


PARQUET = _exporter(_PARQUET, "Parquet, as the run has it")
CSV = _exporter(_CSV, "CSV, safe against spreadsheet formulas")
JSONL = _exporter(_JSONL, "JSON lines, ASCII with escapes")
