"""`slice`: parts of a log under a name, so that a job is given the name and not the accounts or the text."""

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.options import AsJson, ConfigFile, Outputs, settings_of
from refrain.errors import InputError

_EXAMPLE = "refrain slice save suspects --accounts ids.txt --from 2026-09-01 --to 2026-09-07"


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    group = typer.Typer(no_args_is_help=True, help="Keep parts of a log under a name, for `run --slice` and the flows.")
    group.command("save", epilog=f"Examples:\n\n{_EXAMPLE}\n\nrefrain slice save grading --matching 'grade A and B'")(
        save
    )
    app.add_typer(group, name="slice", epilog=f"Example:\n\n{_EXAMPLE}")


def save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Shown on pages: no account and no text in it.")],
    accounts: Annotated[
        Path | None, typer.Option("--accounts", metavar="FILE", help="Accounts, one id a line.")
    ] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day (UTC), YYYY-MM-DD.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day (UTC), included.")] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", metavar="MODEL", help="A model's name; may be repeated.")
    ] = None,
    matching: Annotated[
        str | None,
        typer.Option(
            "--matching",
            metavar="TEXT",
            help="What a message must hold; case, numbers and white space make no difference. '-' reads it from stdin.",
        ),
    ] = None,
    config: ConfigFile = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Save a slice: the requests that meet every condition given. Its file is readable by its owner only."""
    from refrain.slices import make_slice, save_slice

    _, folder = settings_of(config, None, outputs)
    text = typer.get_text_stream("stdin").read() if matching == "-" else matching or ""
    if matching is not None and not text.strip():
        raise InputError("the text to match is blank")
    ids = _lines(accounts) if accounts else []
    part = make_slice(first=_day(first), last=_day(last), accounts=ids, models=models or (), matching=text)
    path = save_slice(folder, name, part)
    if as_json:
        typer.echo(json.dumps({"slice": name, "file": str(path), "accounts": len(part.accounts)}))
        return
    typer.echo(f"slice {name}: {path}" + (f", {len(part.accounts):,} accounts" if part.accounts else ""))


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no day", hint="as in 2026-09-01") from None


def _lines(path: Path) -> list[str]:
    """The lines of a file that are not blank; InputError where there is none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text") from None
    ids = [line for line in lines if line]
    if not ids:
        raise InputError(f"{path} names no account", hint="one id a line")
    return ids
