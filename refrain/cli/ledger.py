"""`decide`: what an analyst says of a campaign that is followed from night to night."""

import getpass
import json
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, settings_of
from refrain.errors import InputError, RefrainError
from refrain.settings import load_settings


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
    from refrain.ledger.wording import WHO_CHARACTERS, WHY_CHARACTERS

    words = {"why": _line(why, "--why", WHY_CHARACTERS), "by": _line(by or you(), "--by", WHO_CHARACTERS)}
    settings, folder = settings_of(config, overrides, outputs)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        identity = resolve(ledger, campaign)
        when = datetime.now(UTC).replace(microsecond=0)
        written = ledger.decide(identity, verdict.value, when=when, **words)
        known = ledger.identity(identity)
    state = known.state if known is not None else "active"
    if as_json:
        typer.echo(json.dumps({**as_values(written), "state": state}))
        return
    typer.echo(f"{verdict.value}  {identity}" + ("" if state == "active" else f" ({state})"))


def as_values(row: Any) -> dict[str, Any]:
    """A decision as JSON values."""
    return {**vars(row), "when": row.when.isoformat(timespec="seconds")}


def you() -> str:
    """Who decides where --by does not say; InputError where the system does not know either."""
    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:  # a container's user may have no name
        raise InputError("who are you? This system does not say", hint="give --by WHO") from error


def _line(text: str, option: str, limit: int) -> str:
    """What a person wrote, on one line and printable; InputError where it is blank or too long."""
    from refrain.ledger.wording import one_line

    line = one_line(text, limit)
    if line is None:
        raise InputError(f"{option} must be a text of at most {limit} characters")
    return line
