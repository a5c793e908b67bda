"""The formats that there are: ours, and those of other packages under the entry point group `refrain.exporters`.

Nothing of a format is imported before it is asked for, and no other package before a name is not one of ours.
"""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from refrain.errors import InputError, fault_place
from refrain.exporters.elsewhere import is_elsewhere, write_elsewhere
from refrain.exporters.exporter import URL, Exporter, Options

GROUP = "refrain.exporters"
BUILT_IN = {
    "parquet": "folders:PARQUET",
    "csv": "folders:CSV",
    "jsonl": "folders:JSONL",
    "sql": "sql:EXPORTER",
    "duckdb": "duckdb_file:EXPORTER",
    "graphml": "graph_files:GRAPHML",
    "gexf": "graph_files:GEXF",
    "atlas": "atlas:EXPORTER",
    "stix": "stix_bundle:EXPORTER",
    "siem": "siem_lines:EXPORTER",
    "webhook": "webhook:EXPORTER",
}
"""Name to module and attribute below this package, in the order of the documentation."""


def exporter_names() -> list[str]:
    """The names of all formats, ours first."""
    return [*BUILT_IN, *sorted({point.name for point in _plugins()} - BUILT_IN.keys())]


def find_exporter(name: str) -> Exporter:
    """The exporter of a format; InputError where there is none, or where a package's cannot be loaded.

    A package cannot take the name of one of ours.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found: Exporter = getattr(import_module(f"{__package__}.{module}"), attribute)
        return found
    points = [point for point in _plugins() if point.name == name]
    if not points:
        raise InputError(f"there is no export format {name!r}", hint=f"choose one of {', '.join(exporter_names())}")
    if len({point.value for point in points}) > 1:
        raise InputError(f"{len(points)} packages give an export format {name!r}", hint="uninstall all but one")
    return _loaded(points[0])


def export_run(run: Path, to: str | Path, name: str, options: Options | None = None) -> dict[str, int]:
    """Rows written for each table of the run in the folder `run`, to `to` in the format `name`."""
    return export_tables(run / "exports", to, find_exporter(name), options or Options(run=run.name, folder=run))


def export_tables(exports: Path, to: str | Path, exporter: Exporter, options: Options) -> dict[str, int]:
    """Rows written for each table of the folder `exports`; InputError where there is none, where an option is none of
    the format's, and for a destination that is that folder itself."""
    exporter.check(options)
    if not any(exports.glob("*.parquet")):
        raise InputError(f"the run {options.run or exports.parent.name} has no exports", hint="run `refrain export`")
    check_destination(exports, to, exporter)
    if is_elsewhere(exporter, str(to)):
        return write_elsewhere(exporter, exports, str(to), options)
    return exporter.write(exports, str(to), options)


def check_destination(exports: Path, to: str | Path, exporter: Exporter) -> None:
    """Nothing; InputError for a destination that is the run's own folder of exports."""
    if exporter.kind != URL and not is_elsewhere(exporter, str(to)) and Path(to).resolve() == exports.resolve():
        raise InputError("a run's own exports are not written over", hint="choose another place with --to")


def _plugins() -> list[EntryPoint]:
    return list(entry_points(group=GROUP))


def _loaded(point: EntryPoint) -> Exporter:
    package = point.dist.name if point.dist is not None else point.module
    try:
        found = point.load()
    except Exception as error:
        raise InputError(f"the package {package} cannot be loaded: {fault_place(error)}") from error
    if not isinstance(found, Exporter):
        raise InputError(f"the package {package} registers {point.name!r}, which is no refrain Exporter")
    if found.name != point.name:
        raise InputError(f"the package {package} registers {point.name!r}, and its exporter has another name")
    return found
