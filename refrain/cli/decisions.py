"""`decisions`: what was decided, printed, written for another tool, and read back from one."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.frame import ListingGroup
from refrain.cli.given import STDIN
from refrain.cli.ledger import MaybeIdentity, as_values
from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, settings_of
from refrain.errors import InputError
from refrain.figures import counted
from refrain.printable import printable

_QUARANTINE = "quarantine.jsonl"  # added to the name of the file that was read

Form = Annotated[
    str | None,
    typer.Option("--format", metavar="csv|jsonl", help="Form of the file. Default: by its ending."),
]


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    group = typer.Typer(
        cls=ListingGroup,
        help="Print what was decided of campaigns; write it for another tool, and read another tool's verdicts.",
    )
    group.command(
        "list",
        epilog="Examples:\n\nrefrain decisions list\n\nrefrain decisions c-0123456789ab --json",
    )(list_decisions)
    group.command(
        "import",
        epilog=(
            "Examples:\n\nrefrain decisions import cases.csv\n\nrefrain decisions import cases.jsonl --dry-run\n\n"
            "casetool dump | refrain decisions import - --format csv --timezone Europe/Berlin"
        ),
    )(import_file)
    group.command(
        "export",
        epilog="Examples:\n\nrefrain decisions export --to decisions.csv\n\nrefrain decisions export > decisions.jsonl",
    )(export)
    app.add_typer(
        group, name="decisions", epilog="Examples:\n\nrefrain decisions\n\nrefrain decisions import cases.csv"
    )


def list_decisions(
    campaign: MaybeIdentity = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Print what was decided, oldest first, of one campaign or of all. `refrain decisions` alone does the same.

    An id is retired where nights were run anew and nothing in them is what had it: what was said of it stays.
    """
    from refrain.ledger import open_ledger
    from refrain.ledger.names import gone_words, resolve
    from refrain.ledger.wording import WHY_CHARACTERS

    settings, folder = settings_of(config, overrides, outputs)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        rows = ledger.decisions(None if campaign is None else resolve(ledger, campaign, gone=True))
        gone = gone_words(ledger, {row.identity for row in rows})
    if as_json:
        plain = [{**as_values(row), "gone": gone[row.identity]} for row in rows]
        typer.echo(json.dumps({"decisions": plain}))
        return
    for row in rows:
        said = printable(f"by {row.by}: {row.why}", 2 * WHY_CHARACTERS)
        ended = f" ({gone[row.identity]})" if gone[row.identity] else ""
        typer.echo(f"{row.identity}  {row.verdict:<9}  {row.when:%Y-%m-%d %H:%M}  {said}{ended}")
    if not rows:
        typer.echo("nothing is decided")


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE|-", help="CSV or JSON lines with campaign, verdict, why, who, when; '-' is stdin."
        ),
    ],
    form: Form = None,
    zone: Annotated[
        str, typer.Option("--timezone", metavar="ZONE", help="Zone of times that name none. Default: they are refused.")
    ] = "",
    quarantine: Annotated[
        Path | None,
        typer.Option("--quarantine", metavar="FILE", help=f"Where refused rows are named. Default: FILE.{_QUARANTINE}"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Take verdicts from another tool by stable id. The same file again writes nothing.

    What is no decision goes to a quarantine file with row, field and reason; read = written + known + quarantined.
    """
    from refrain.decision_files import format_of
    from refrain.decision_form import FormRule
    from refrain.decisions import import_decisions, write_quarantine
    from refrain.ledger import open_ledger

    piped = str(file) == STDIN
    settings, folder = settings_of(config, overrides, outputs)
    rule = FormRule(datetime.now(UTC), _zone(zone))
    wanted = format_of("" if piped else file.name, form)
    data = typer.get_binary_stream("stdin").read() if piped else _bytes_of(file)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        done = import_decisions(ledger, data, wanted, rule, dry_run=dry_run)
    place = quarantine or (
        folder / f"decisions.{_QUARANTINE}" if piped else file.with_name(f"{file.name}.{_QUARANTINE}")
    )
    if not dry_run:
        write_quarantine(place, done)
    if as_json:
        refused = {"reasons": dict(done.reasons), "quarantine": str(place) if done.refused and not dry_run else None}
        typer.echo(json.dumps({**done.counts, **refused, "dry_run": dry_run}))
        return
    if dry_run:
        typer.echo("nothing is written: --dry-run")
    for name, count in done.counts.items():
        typer.echo(f"{count:>12,}  {name}")
    for reason, count in done.reasons.items():
        typer.echo(f"{count:>12,}    {reason}")
    if done.refused and not dry_run:
        typer.echo(f"row, field and reason of each: {place}")


def export(
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write them. Default: standard output.")
    ] = None,
    form: Form = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Write every decision in the form that `refrain decisions import` reads, oldest first."""
    from refrain.decision_files import format_of, write_records
    from refrain.formats import JSONL
    from refrain.ledger import open_ledger
    from refrain.private_files import write_private

    wanted = format_of("", form or JSONL) if to is None else format_of(to.name, form)
    settings, folder = settings_of(config, overrides, outputs)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        rows = ledger.decisions()
    text = write_records(rows, wanted)
    if to is not None:
        write_private(to, text)
    elif not as_json:
        typer.echo(text, nl=False)
        return
    if as_json:
        where = {"decisions": [as_values(row) for row in rows]} if to is None else {"written": len(rows), "to": str(to)}
        typer.echo(json.dumps(where))
        return
    typer.echo(f"{counted(len(rows), 'decision')}: {to}")


def _bytes_of(file: Path) -> bytes:
    """The file's bytes; InputError where there is none, or one that no import takes."""
    from refrain.decision_files import FILE_MIB

    if not file.is_file():
        raise InputError(f"there is no file {file}", hint="give a file of decisions, or '-' for standard input")
    with file.open("rb") as opened:
        return opened.read((FILE_MIB << 20) + 1)


def _zone(name: str) -> str:
    """The name of a zone that is known here, or ""; InputError for another."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if name and name != "UTC":
            ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"--timezone: {name!r} is unknown here", hint="such as Europe/Berlin or UTC") from None
    return name
