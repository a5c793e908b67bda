"""`slice`: parts of a log under a name, so that a job is given the name and not the accounts or the text."""

import json
from typing import Annotated

import typer

from refrain.cli.given import check_one_stdin, given_day, given_ids, given_text
from refrain.cli.options import (
    Accounts,
    AsJson,
    ConfigFile,
    FirstDay,
    LastDay,
    Matching,
    Models,
    Outputs,
    settings_of,
)

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
    accounts: Accounts = None,
    first: FirstDay = None,
    last: LastDay = None,
    models: Models = None,
    matching: Matching = None,
    config: ConfigFile = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Save a slice: the requests that meet every condition given. Days are UTC. Only its owner can read its file."""
    from refrain.slices import make_slice, save_slice

    _, folder = settings_of(config, None, outputs)
    check_one_stdin({"--accounts": accounts, "--matching": matching})
    text = given_text(matching, "--matching") or ""
    ids = given_ids(accounts)
    part = make_slice(first=given_day(first), last=given_day(last), accounts=ids, models=models or (), matching=text)
    path = save_slice(folder, name, part)
    if as_json:
        typer.echo(json.dumps({"slice": name, "file": str(path), "accounts": len(part.accounts)}))
        return
    typer.echo(f"slice {name}: {path}" + (f", {len(part.accounts):,} accounts" if part.accounts else ""))
