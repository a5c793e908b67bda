"""`suppress`: what an analyst dismissed, kept in the ledger, or in a list of the analyst's own."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.cli.ledger import you
from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, complete_run, settings_of
from refrain.errors import InputError, RefrainError
from refrain.printable import printable
from refrain.runs import open_run, store_of
from refrain.settings import load_settings

if TYPE_CHECKING:
    from refrain.config import LedgerConfig
    from refrain.known import Suppression


def _complete_name(incomplete: str) -> list[str]:
    """The suppressions of the default ledger whose names begin like `incomplete`; none where there is no ledger."""
    from refrain.ledger import find_ledger

    try:
        config = load_settings().config
        with find_ledger(Path(config.outputs.path), config.ledger) as ledger:
            entries = [] if ledger is None else ledger.dismissed.entries()
    except RefrainError:
        return []
    return [entry.name for entry in entries if entry.name.startswith(incomplete)]


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "suppress",
        epilog=(
            "Examples:\n\nrefrain suppress latest 4 --reason 'course of a partner university, ticket 512'\n\n"
            "refrain suppress --list\n\nrefrain suppress --remove finding-0123456789ab"
        ),
    )(suppress)


def suppress(
    run: Annotated[
        str | None,
        typer.Argument(metavar="[RUN]", help="A run id, or 'latest'.", autocompletion=complete_run, show_default=False),
    ] = None,
    campaign: Annotated[
        int | None, typer.Argument(metavar="[CAMPAIGN]", help="A campaign's number in that run.", min=0)
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why it is dismissed.")] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What to call it. Default: from its templates.")
    ] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who decided. Default: you.")] = None,
    show: Annotated[bool, typer.Option("--list", help="Print what is suppressed.")] = False,
    remove: Annotated[
        str | None,
        typer.Option("--remove", metavar="NAME", help="Take an entry out again.", autocompletion=_complete_name),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="A list of your own, as TOML. Default: the ledger."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Dismiss a finding: it ranks lower from the next scoring on, as long as members and evidence stay what they are.

    No test and no alert is switched off. Where most members are new, or something speaks that did not, it reopens and
    says so. What is kept holds texts of a log and is readable by its owner only; accounts are in it as keyed digests.
    A benign/suppressed.toml of an earlier refrain is taken over into the ledger, once.
    """
    from refrain.dismissals import take_over

    settings, folder = settings_of(config, overrides, outputs)
    if sum((show, remove is not None, run is not None)) != 1:
        raise InputError("give a run and a campaign, or --list, or --remove NAME", hint="refrain suppress --help")
    if file is None:
        taken = take_over(folder, settings.config.ledger)
        if taken:
            typer.echo(taken, err=True)
    ledger = settings.config.ledger
    if show:
        _list(folder, ledger, file, as_json=as_json)
    elif remove is not None:
        gone, place = _remove(folder, ledger, file, remove)
        said = {"list": place, "removed": gone.name}
        typer.echo(json.dumps(said) if as_json else f"removed  {gone.name}\nfrom     {place}")
    elif run is not None:
        _add(folder, ledger, file, run, campaign, reason, name, by, as_json=as_json)


def _remove(outputs: Path, config: "LedgerConfig", file: Path | None, name: str) -> "tuple[Suppression, str]":
    """The entry that was taken out, and where it had been."""
    from refrain.ledger import find_ledger
    from refrain.suppressed_list import remove_suppression

    if file is not None:
        return remove_suppression(file, name), str(file)
    with find_ledger(outputs, config) as ledger:
        if ledger is None:
            raise InputError(f"no suppression {name!r}: nothing is suppressed in {outputs}")
        return ledger.dismissed.remove(name), ledger.name


def _add(
    outputs: Path,
    config: "LedgerConfig",
    file: Path | None,
    run: str,
    campaign: int | None,
    reason: str | None,
    name: str | None,
    by: str | None,
    *,
    as_json: bool,
) -> None:
    import re

    from refrain.findings import finding
    from refrain.known import NAME
    from refrain.ledger import open_ledger
    from refrain.ledger.wording import WHO_CHARACTERS, WHY_CHARACTERS
    from refrain.suppressed_list import add_suppression
    from refrain.suppressions import suppress_finding

    if campaign is None:
        raise InputError("which campaign?", hint=f"refrain show {run} lists them")
    if name is not None and not re.fullmatch(NAME, name):
        raise InputError(f"{name!r} cannot name an entry", hint="at most 64 letters, digits, - and _")
    why, who = _line(reason, "--reason", WHY_CHARACTERS), _line(by or you(), "--by", WHO_CHARACTERS)
    found = open_run(outputs, run)
    found.result("campaigns")
    silent_p = load_settings(run=found.config).config.score.silent_p
    when = datetime.now(UTC).isoformat(timespec="seconds")
    key = store_of(outputs).key
    entry = suppress_finding(
        finding(found.folder, campaign), key, name=name, reason=why, by=who, when=when, silent_p=silent_p
    )
    if file is not None:
        changed, place = add_suppression(file, entry), str(file)
    else:
        with open_ledger(outputs, config) as opened:
            changed, place = opened.dismissed.add(entry), opened.name
    if as_json:
        said = {"list": place, "name": entry.name, "changed": changed, "members": len(entry.members)}
        typer.echo(json.dumps({**said, "families": entry.families, "benign": entry.benign}))
        return
    typer.echo(f"{'suppressed' if changed else 'unchanged '} {entry.name}, {len(entry.members):,} accounts")
    typer.echo(f"kept in    {place}\nit counts from the next scoring on: refrain score {found.name}")


def _line(text: str | None, option: str, limit: int) -> str:
    """What a person wrote, on one line and printable; InputError where it is blank or too long."""
    line = " ".join((text or "").split())
    if not line or len(line) > limit:
        raise InputError(f"{option} must be a text of at most {limit} characters")
    return printable(line, 2 * limit)


def _list(outputs: Path, config: "LedgerConfig", file: Path | None, *, as_json: bool) -> None:
    from refrain.known import read_list
    from refrain.ledger import find_ledger
    from refrain.ledger.wording import WHY_CHARACTERS

    if file is not None:
        entries, place = list(read_list(file).suppressions), str(file)
    else:
        with find_ledger(outputs, config) as ledger:
            entries, place = ([], str(outputs)) if ledger is None else (ledger.dismissed.entries(), ledger.name)
    if as_json:
        rows: list[dict[str, Any]] = [asdict(entry) for entry in entries]
        typer.echo(json.dumps({"list": place, "suppressed": rows}))
        return
    for entry in entries:
        spoke = ", ".join((*entry.families, *entry.benign)).replace("_", " ")
        about = (f"{len(entry.members):,} accounts", f"by {entry.by}", entry.when, spoke, entry.reason)
        typer.echo(f"{entry.name}  {printable('; '.join(filter(None, about)), 2 * WHY_CHARACTERS)}")
    if not entries:
        typer.echo(f"nothing is suppressed in {place}")
