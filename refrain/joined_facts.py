"""The first of two readings of a log: what its records say of one another, where their format joins them.

What is told depends on the files of that format alone, in their order. So results that rest on it are addressed by
these files' digests (`joined_identities`), and the table is made only where something has to be read.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from refrain.artifacts import digest_json
from refrain.batches import Batch, Fault, Reading
from refrain.detection import Formats
from refrain.dialects import dialect
from refrain.dialects.dialect import Facts, Join, Lookup
from refrain.dialects.joining import Table, added, write_facts
from refrain.lines import Advance, TornFileError
from refrain.logs import LogFile
from refrain.progress import Progress
from refrain.records import Portion, read_portions


def joined_identities(files: Sequence[LogFile], formats: Formats, digests: Mapping[str, str]) -> Mapping[str, str]:
    """For each format that joins its records, what stands for all that its files say."""
    return {
        form: digest_json([[digests[file.name], file.name, formats.identity(file)] for file in members])
        for form, members in _joining(files, formats)
    }


def write_joined(
    files: Sequence[LogFile], formats: Formats, reading: Reading, work: Path, progress: Progress
) -> Mapping[str, Table]:
    """The table of each format that joins its records, in `work`, after a reading of its files."""
    tables = {}
    for form, members in _joining(files, formats):
        join = dialect(form).join
        if join is not None:
            with progress.task("joining records of the log", sum(file.size for file in members)) as advance:
                told = _told(members, form, join, reading, advance)
                tables[form] = write_facts(work / f"joined-{form}.sqlite", told)
    return tables


def looked_up(join: Join, portions: Iterable[Portion]) -> Lookup:
    """What the records of a few portions say of one another, held in memory: for who looks at the head of a log."""
    held: dict[str, Facts] = {}
    for key, facts in _facts(join, portions):
        added(held, key, facts)
    return held.get


def _joining(files: Sequence[LogFile], formats: Formats) -> Iterator[tuple[str, list[LogFile]]]:
    """The formats that join their records, with their files in the order of the log."""
    ordered = sorted(files, key=formats.form)  # stable
    for form, members in groupby(ordered, formats.form):
        if form and dialect(form).join is not None:
            yield form, list(members)


def _told(
    files: Sequence[LogFile], form: str, join: Join, reading: Reading, advance: Advance
) -> Iterator[tuple[str, Facts]]:
    """What the files' records say. What cannot be read says nothing; the second reading tells of it."""
    for file in files:
        try:
            yield from _facts(join, read_portions(file, reading, advance, form))
        except TornFileError:
            continue


def _facts(join: Join, portions: Iterable[Portion]) -> Iterator[tuple[str, Facts]]:
    for portion in portions:
        if not isinstance(portion.content, Batch):
            for raw in portion.content.records(portion.before):
                if not isinstance(raw, Fault):
                    yield from _said(join, raw[1])


def _said(join: Join, record: Mapping[str, object]) -> list[tuple[str, Facts]]:
    try:
        return list(join.tell(record))
    except Exception:  # noqa: BLE001 (a reader of somebody else's meets a record of anybody's)
        return []
