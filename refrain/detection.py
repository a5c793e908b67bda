"""Which format each file of a log has: what its head shows, or what the settings say.

Nothing is guessed: a file with our own columns is read as such; a format is taken where most records of the head bear
its signature and as many bear no other's; anything else is an error.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from refrain.batches import Batch, Fault, Reading
from refrain.config import IngestConfig
from refrain.dialects import AUTO, OWN, Dialect, dialect, dialects, identity
from refrain.errors import InputError
from refrain.figures import counted
from refrain.lines import Advance, TornFileError
from refrain.logs import LogFile, each
from refrain.records import read_portions
from refrain.times import clock

HEAD_RECORDS = 20  # that are looked at in a file
HEAD_BYTES = 1 << 20
RAW = "?"  # the format of a portion whose records are asked for as they are
_HINT = "refrain inspect LOG shows what is in it; [ingest] format or [ingest.columns] say how to read it"


@dataclass(frozen=True)
class Formats:
    """The format of each file of a log by the file's name; a file that is not there has our own columns."""

    of: Mapping[str, str]

    def form(self, file: LogFile) -> str:
        """The name of the file's dialect, "" for our own columns."""
        return self.of.get(file.name, "")

    def identity(self, file: LogFile) -> str:
        """What a result must say beside the file's content: nothing for our own columns."""
        form = self.form(file)
        return f" as {identity(form)}" if form else ""

    def counts(self) -> dict[str, int]:
        """Files by format, those with our own columns left out, as counts have it."""
        return {f"files_as_{form}": count for form, count in sorted(Counter(self.of.values()).items())}

    def told(self, files: int) -> list[str]:
        """A line for each format; none where all files have our own columns."""
        found = Counter(self.of.values())
        lines = [_line(count, dialect(form).title) for form, count in sorted(found.items())]
        own = files - found.total()
        return [_line(own, "logs with refrain's own columns"), *lines] if own and lines else lines


OWN_COLUMNS = Formats({})
"""Every file has our own columns."""


def _line(files: int, title: str) -> str:
    return f"reading {counted(files, 'file')} as {title}"


def reading_of(config: IngestConfig) -> Reading:
    """How the files of a log are read."""
    return Reading(
        names=config.columns,
        clock=clock(config.timezone, config.earliest_year, config.latest_year),
        batch_rows=config.batch_rows,
        batch_bytes=config.batch_mib << 20,
        record_bytes=config.max_record_mib << 20,
        csv_delimiter=config.csv_delimiter,
        required=config.account,
    )


def head_reading(config: IngestConfig, records: int) -> Reading:
    """How the head of a file is read: so many records or a MiB at a time, and nothing beyond one record as large as
    records may be."""
    reading = reading_of(config)
    return replace(
        reading, batch_rows=records, batch_bytes=HEAD_BYTES, most_bytes=max(reading.record_bytes, 2 * HEAD_BYTES)
    )


def find_formats(files: Sequence[LogFile], config: IngestConfig, advance: Advance = lambda files: None) -> Formats:
    """The formats of the files, of which `advance` is told. InputError names a file whose format is not clear."""
    if config.format == OWN or config.columns:
        return OWN_COLUMNS
    if config.format != AUTO:
        return Formats({file.name: config.format for file in files})
    reading = head_reading(config, HEAD_RECORDS)
    found = {}
    for file, form in zip(files, each(files, lambda file: find_format(file, reading)), strict=True):
        if form is None:
            raise InputError(f"the format of {file.name} is not known", hint=_HINT)
        if form:
            found[file.name] = form
        advance(1)
    return Formats(found)


def find_format(file: LogFile, reading: Reading) -> str | None:
    """The name of a file's dialect, "" for our own columns, None where it is neither.

    A head without a record has our own columns: whatever is wrong with it, the intake says.
    """
    records = list(head(file, reading))
    folders = {part.partition("=")[0] for part in file.name.split("/")[:-1] if "=" in part}
    if not records or any(_is_own({*record, *folders}, reading, enough=3) for record in records):
        return ""
    votes = Counter(known.name for known in dialects() for record in records if _recognised(known, record))
    ranked = votes.most_common(2)
    if ranked and (len(ranked) == 1 or ranked[0][1] > ranked[1][1]):
        return ranked[0][0]
    if len(ranked) > 1:
        pair = " or ".join(sorted(name for name, _ in ranked))
        raise InputError(f"{file.name} could be of the format {pair}", hint=f'--set ingest.format="{ranked[0][0]}"')
    return "" if any(_is_own({*record, *folders}, reading, enough=2) for record in records) else None


def _recognised(form: Dialect, record: dict[str, Any]) -> bool:
    try:
        return bool(form.recognises(record))
    except Exception:  # noqa: BLE001 (somebody else's format meets anybody's record: it is not its own)
        return False


def head(file: LogFile, reading: Reading, records: int = HEAD_RECORDS) -> Iterator[dict[str, Any]]:
    """The first records of a file as its format has them, those that can be read."""
    return (raw for raw in islice(_raw(file, reading), records) if raw is not None)


def _raw(file: LogFile, reading: Reading) -> Iterator[dict[str, Any] | None]:
    """The records of a file, None for one that cannot be read; they end where the file is torn."""
    try:
        for portion in read_portions(file, reading, lambda _: None, RAW):
            if isinstance(portion.content, Batch):
                raise TypeError("a portion of a foreign format is raw")
            for one in portion.content.records(portion.before):
                yield None if isinstance(one, Fault) else one[1]
    except TornFileError:
        return


def _is_own(names: set[str], reading: Reading, enough: int) -> bool:
    """Whether so many of the three things that a request needs are there under our names: account, time, text."""
    text = bool(names & {"prompt", "messages"})
    return any(name in names for name in reading.required) + ("timestamp" in names) + text >= enough
