"""`decide` and `decisions`: what analysts say of a campaign that they follow from night to night."""

import getpass
import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, settings_of
from refrain.errors import InputError, RefrainError
from refrain.printable import printable
from refrain.settings import load_settings

_WHY_CHARACTERS, _WHO_CHARACTERS = 500, 64  # what a person writes on one line, and who that is


class Decided(StrEnum):
    """What can be said of a campaign."""

    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    WATCHING = "watching"


def _complete_identity(incomplete: str) -> list[str]:
    """The campaigns of the default ledger whose ids begin like `incomplete`; nothing where there is no ledger."""
    from refrain.ledger import open_ledger

    try:
        config = load_settings().config
        with open_ledger(Path(config.outputs.path), config.ledger, create=False) as ledger:
            return [name for name in ledger.identifiers("c-") if name.startswith(incomplete)]
    except RefrainError:
        return []


Identity = Annotated[
    str,
    typer.Argument(
        metavar="CAMPAIGN",
        help="A stable id (c-0123456789ab), its beginning, or a number of the last night.",
        autocompletion=_complete_identity,
        show_default=False,
    ),
]
MaybeIdentity = Annotated[
    str | None,
    typer.Argument(
        metavar="[CAMPAIGN]",
        help="A stable id, its beginning, or a number of the last night. Default: all.",
        autocompletion=_complete_identity,
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "decide",
        epilog=(
            "Examples:\n\nrefrain decide c-0123456789ab confirmed --why 'one pool, ticket 512'\n\n"
            "refrain decide 3 watching --why 'waits for the card records' --by lea"
        ),
    )(decide)
    app.command(
        "decisions",
        epilog="Examples:\n\nrefrain decisions\n\nrefrain decisions c-0123456789ab --json",
    )(decisions)


def decide(
    campaign: Identity,
    verdict: Annotated[Decided, typer.Argument(help="What you hold it for.", show_default=False)],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why. No account ids, no prompts.")],
    by: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who decided. Default: you.")] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Say what a campaign is: it stays with its stable id, whatever number a later night gives it.

    A later decision overrides an earlier one, which stays on record. No test, rank or alert changes with it; to rank a
    finding lower, use `refrain suppress`.
    """
    from refrain.ledger import open_ledger
    from refrain.ledger.names import resolve

    words = {"why": _line(why, "--why", _WHY_CHARACTERS), "by": _line(by or _you(), "--by", _WHO_CHARACTERS)}
    settings, folder = settings_of(config, overrides, outputs)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        identity = resolve(ledger, campaign)
        when = datetime.now(UTC).replace(microsecond=0)
        written = ledger.decide(identity, verdict.value, when=when, **words)
        known = ledger.identity(identity)
    state = known.state if known is not None else "active"
    if as_json:
        typer.echo(json.dumps({**_plain(written), "state": state}))
        return
    typer.echo(f"{verdict.value}  {identity}" + ("" if state == "active" else f" ({state})"))


def decisions(
    campaign: MaybeIdentity = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Print what was decided, oldest first, of one campaign or of all.

    An id is retired where nights were run anew and nothing in them is what had it: what was said of it stays.
    """
    from refrain.ledger import open_ledger
    from refrain.ledger.names import gone_words, resolve

    settings, folder = settings_of(config, overrides, outputs)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        rows = ledger.decisions(None if campaign is None else resolve(ledger, campaign, gone=True))
        gone = gone_words(ledger, {row.identity for row in rows})
    if as_json:
        plain = [{**_plain(row), "gone": gone[row.identity]} for row in rows]
        typer.echo(json.dumps({"decisions": plain}))
        return
    for row in rows:
        said = printable(f"by {row.by}: {row.why}", 2 * _WHY_CHARACTERS)
        ended = f" ({gone[row.identity]})" if gone[row.identity] else ""
        typer.echo(f"{row.identity}  {row.verdict:<9}  {row.when:%Y-%m-%d %H:%M}  {said}{ended}")
    if not rows:
        typer.echo("nothing is decided")


def _plain(row: Any) -> dict[str, Any]:
    """A decision as JSON values."""
    return {**vars(row), "when": row.when.isoformat(timespec="seconds")}


def _you() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's user may have no name
        raise InputError("who are you? This system does not say", hint="give --by WHO") from error


def _line(text: str, option: str, limit: int) -> str:
    """What a person wrote, on one line and printable; InputError where it is blank or too long."""
    line = printable(" ".join(text.split()), 2 * limit)
    if not 0 < len(line) <= limit:
        raise InputError(f"{option} must be a text of at most {limit} characters")
    return line
