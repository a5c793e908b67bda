"""What `refrain inspect` prints: everything from a log made fit for a terminal first."""

from collections.abc import Iterator

from refrain.figures import counted
from refrain.inspection import Inspection, Sample
from refrain.printable import printable

_NAME, _LINE = 60, 200  # characters of a name, and of a line of several


def lines_of(inspection: Inspection) -> Iterator[str]:
    """The lines, without ends."""
    looked = "" if inspection.looked_at == inspection.files else f", {inspection.looked_at:,} of them looked into"
    yield f"{counted(inspection.files, 'file')}{looked}"
    for sample in inspection.samples:
        yield ""
        yield from _sample(sample)


def _sample(sample: Sample) -> Iterator[str]:
    yield f"format     {sample.format}: {sample.title}"
    yield f"files      {_names(sample.files)}"
    if sample.proposed:
        yield "           no format is known: the columns below are a proposal by their names, and are NOT applied"
    counts = {"requests": sample.requests, "no request": sample.passed, "unusable": sum(sample.refused.values())}
    shown = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    yield f"sample     {sample.records:,} records: {shown}; {sample.accounts:,} accounts"
    for reason, count in sample.refused.items():
        yield f"           {count:,} x {printable(reason, _LINE)}"
    if sample.earliest:
        yield f"time       {sample.earliest} to {sample.latest}"
    naive = f"{sample.naive_times:,} times name no zone" if sample.naive_times else "times that name no zone"
    yield f"zone       {naive}: read as {sample.zone}"
    if sample.columns:
        yield "columns    ours                <- the log's (the first that is there)"
    for ours, theirs in sample.columns.items():
        share = sample.missing.get(ours, 0.0)
        lacking = f"  missing in {share:.0%}" if share else ""
        yield f"           {ours:<19} <- {_names(theirs)}{lacking}"
    if sample.unused:
        yield f"unused     {_names(sample.unused)}"
    for at, row in enumerate(sample.rows, start=1):
        yield f"request {at}"
        yield from (f"           {name:<19} {shape}" for name, shape in row.items())


def _names(names: list[str]) -> str:
    return printable(", ".join(printable(name, _NAME) for name in names), _LINE)
