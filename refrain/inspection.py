"""What a log would be understood as, from the head of its files: nothing is written, and no text of it is shown.

The records go through the very reader and intake that `ingest` has, so what is said here is what will happen. Only
counts, the names of files and columns, and shapes of values come out.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from refrain.batches import MISSING, Batch, Fault
from refrain.column_hints import propose
from refrain.columns import COLUMNS
from refrain.config import IngestConfig, PlacesConfig
from refrain.detection import RAW, find_format, head_reading
from refrain.dialects import AUTO, OWN, dialect
from refrain.errors import InputError
from refrain.intake import Intake
from refrain.joined_facts import looked_up
from refrain.lines import TornFileError
from refrain.logs import LogFile, discover
from refrain.records import Portion, read_portions
from refrain.shapes import shape
from refrain.system_lookup import SystemLookup, open_systems

MOST_FILES, MOST_RECORDS, SHOWN_RECORDS, SHOWN_NAMES = 20, 200, 3, 40
UNKNOWN = "unknown"
_KEY = bytes(32)  # nothing that is digested here is kept
_MICROSECONDS = 1_000_000


@dataclass
class Sample:
    """What the heads of the files of one format say."""

    format: str
    title: str
    files: list[str]
    proposed: bool = False  # the mapping of columns is a proposal and has to be confirmed
    # Ours -> the log's in order of precedence: those that are there, or all that would be looked at.
    columns: dict[str, list[str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)  # names in the log that stand for nothing of ours
    records: int = 0  # raw ones that were looked at
    requests: int = 0  # usable ones in them
    passed: int = 0
    refused: dict[str, int] = field(default_factory=dict)  # "field: reason" -> records
    earliest: str | None = None
    latest: str | None = None
    zone: str = ""  # of times that name none
    naive_times: int = 0
    accounts: int = 0
    missing: dict[str, float] = field(default_factory=dict)  # our column -> share of requests without it
    rows: list[dict[str, str]] = field(default_factory=list)  # the first requests, as shapes

    @property
    def usable(self) -> bool:
        """Whether something can be read without more being said."""
        return self.format != UNKNOWN and self.requests > 0


@dataclass(frozen=True)
class Inspection:
    """What a log would be understood as: its files, how many of them were looked at, and a sample a format."""

    files: int
    looked_at: int
    samples: list[Sample]

    def plain(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)


def inspect_log(sources: Sequence[str], config: IngestConfig, places: PlacesConfig | None = None) -> Inspection:
    """What the log that `sources` stand for would be understood as; at most `MOST_FILES` of its files are opened, and
    about a MiB of each is read."""
    files = discover(sources, places)
    chosen = files[:: max(1, -(-len(files) // MOST_FILES))]
    groups: dict[str, list[LogFile]] = {}
    unclear: list[str] = []
    reading = head_reading(config, MOST_RECORDS)
    for file in chosen:
        form: str | None = "" if config.format == OWN or config.columns else config.format
        if form == AUTO:
            try:
                form = find_format(file, reading)
            except InputError as error:
                form = None
                unclear.append(error.message)
        groups.setdefault(UNKNOWN if form is None else form or OWN, []).append(file)
    systems = open_systems(config)
    samples = [_sample(form, group, config, systems) for form, group in sorted(groups.items())]
    for sample in samples:
        if sample.format == UNKNOWN and unclear:
            sample.title = unclear[0]
    return Inspection(len(files), len(chosen), samples)


def settings_for(inspection: Inspection) -> dict[str, Any]:
    """The settings that say outright what was found or proposed, as a config file has them. InputError where the log
    has several formats, or one of which nothing is understood."""
    if len(inspection.samples) != 1:
        raise InputError("the log has several formats: no one mapping fits", hint="inspect the files of each alone")
    (sample,) = inspection.samples
    if sample.format not in (OWN, UNKNOWN):
        return {"ingest": {"format": sample.format}}
    if not sample.columns:
        raise InputError("no column of the log is understood", hint="name them yourself in [ingest.columns]")
    return {"ingest": {"format": OWN, "columns": {ours: names[0] for ours, names in sample.columns.items()}}}


def _sample(form: str, files: Sequence[LogFile], config: IngestConfig, systems: SystemLookup | None) -> Sample:
    head = [record for file in files for record in _records(file, config)]
    seen = [record for record in head if not isinstance(record, Fault)]
    names = Counter(name for record in seen for name in record)
    if form in (OWN, UNKNOWN):
        columns = _own_columns(form, names, config)
        used = {theirs for held in columns.values() for theirs in held}
        config = replace(config, format=OWN, columns={ours: held[0] for ours, held in columns.items()})
        title = "a plain table" if form == UNKNOWN else "a log with refrain's own columns"
    else:
        known = dialect(form)
        fields = {ours: known.fields[ours] for ours in COLUMNS if ours in known.fields}
        if known.paths is None:
            there = {path for paths in fields.values() for path in paths if any(_there(path, one) for one in seen)}
            used = {part for paths in fields.values() for path in paths for part in (path, *path.split("."))}
        else:
            names = Counter(path for record in seen for path in set(known.paths(record)))
            there, used = set(names), {path for paths in fields.values() for path in paths}
        columns = {ours: [path for path in paths if path in there] or list(paths) for ours, paths in fields.items()}
        title = known.title
    sample = Sample(form, title, [file.name for file in files], form == UNKNOWN, columns)
    sample.unused = sorted(name for name in names if not {name, name.split(".")[0]} & used)[:SHOWN_NAMES]
    sample.records = len(head)
    sample.zone = (dialect(form).naive_times if form not in (OWN, UNKNOWN) else "") or config.timezone
    if form != UNKNOWN or columns:
        _take(sample, files, config, "" if form in (OWN, UNKNOWN) else form, systems)
    return sample


def _own_columns(form: str, names: Mapping[str, int], config: IngestConfig) -> dict[str, list[str]]:
    if form == UNKNOWN:
        return {ours: [theirs] for ours, theirs in propose(names).items()}
    mapped = ((ours, config.columns.get(ours, ours)) for ours in COLUMNS)
    return {ours: [theirs] for ours, theirs in mapped if theirs in names}


def _take(
    sample: Sample, files: Sequence[LogFile], config: IngestConfig, form: str, systems: SystemLookup | None
) -> None:
    """Nothing; the sample then says what the intake makes of the heads of the files."""
    reading = head_reading(config, MOST_RECORDS)
    join = dialect(form).join if form else None
    if join is not None:
        heads = (portion for file in files for portion in _first_portion(file, config, form))
        reading = replace(reading, joined={form: looked_up(join, heads)})
    intake = Intake(config, reading.clock, _KEY)
    lacking: Counter[str] = Counter()
    given = 0
    for file in files:
        for portion in _first_portion(file, config, form):
            batch = portion.batch(reading)
            if systems is not None:
                batch = systems.named(batch)
            intake.take(file.name, batch)
            given += len(batch.rows)
            for name in COLUMNS:
                column = batch.columns.get(name)
                lacking[name] += (
                    len(batch.rows) if column is None else sum(value is None or value is MISSING for value in column)
                )
            for at in range(min(len(batch.rows), SHOWN_RECORDS - len(sample.rows))):
                shown = {name: shape(column[at]) for name, column in batch.columns.items()}
                sample.rows.append({name: text for name, text in shown.items() if text != "nothing"})
    tables, tally = intake.drain()
    sample.requests, sample.passed, sample.naive_times = tally.staged, tally.passed, tally.naive_times
    ranked = sorted(tally.refused.items(), key=lambda item: (-item[1], item[0]))
    sample.refused = {f"{name}: {reason}" if name else reason: count for (reason, name), count in ranked}
    times = tables["rows"]["time"].to_pylist()
    if times:
        sample.earliest, sample.latest = _iso(min(times)), _iso(max(times))
    sample.accounts = len(set(tables["rows"]["account_id"].to_pylist()))
    sample.missing = {name: round(lacking[name] / given, 4) for name in COLUMNS if given and lacking[name]}


def _records(file: LogFile, config: IngestConfig) -> Iterator[dict[str, Any] | Fault]:
    """The records in the head of a file as its format has them, and those that cannot be read."""
    for portion in _first_portion(file, config, RAW):
        if not isinstance(portion.content, Batch):
            for one in portion.content.records(portion.before):
                yield one if isinstance(one, Fault) else one[1]


def _there(path: str, record: Any) -> bool:
    """Whether a record has something at a path: nested, with N for any place of a list, or as one dotted name."""
    if isinstance(record, Mapping) and record.get(path) is not None:
        return True
    first, dot, rest = path.partition(".")
    if isinstance(record, list) and first == "N":
        return any(_there(rest, item) if dot else item is not None for item in record)
    return bool(dot) and isinstance(record, Mapping) and _there(rest, record.get(first))


def _first_portion(file: LogFile, config: IngestConfig, form: str) -> Iterator[Portion]:
    """The head of a file; nothing where not even that can be read."""
    try:
        yield from islice(read_portions(file, head_reading(config, MOST_RECORDS), lambda _: None, form), 1)
    except TornFileError:
        return


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros / _MICROSECONDS, UTC).isoformat(timespec="seconds")
