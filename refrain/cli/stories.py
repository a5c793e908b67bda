"""`lineage`: what became of a campaign over the nights."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from refrain.cli.ledger import MaybeIdentity
from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, settings_of
from refrain.figures import counted
from refrain.printable import printable

_NAME_CHARACTERS = 60  # of a model, which a log names
_ROWS = 40  # identities that a person reads on a terminal; --json has all


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "lineage",
        epilog="Examples:\n\nrefrain lineage\n\nrefrain lineage c-0123456789ab\n\nrefrain lineage 0 --json",
    )(lineage)


def lineage(
    campaign: MaybeIdentity = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Print what became of a campaign from night to night; without one, all campaigns, the last seen first."""
    from refrain.ledger import open_ledger
    from refrain.ledger.names import resolve
    from refrain.stories import list_stories, story

    settings, folder = settings_of(config, overrides, outputs)
    with open_ledger(folder, settings.config.ledger, create=False) as ledger:
        if campaign is None:
            rows = list_stories(ledger)
            typer.echo(json.dumps({"campaigns": rows})) if as_json else _print_list(rows)
            return
        told = story(ledger, resolve(ledger, campaign))
    typer.echo(json.dumps(told)) if as_json else _print_story(told)


def _print_list(rows: Sequence[dict[str, Any]]) -> None:
    """Nothing; a line a campaign."""
    for row in rows[:_ROWS]:
        alerts = f"{counted(row['alerts'], 'alert')} in {counted(row['nights'], 'night')}"
        size = f"{counted(row['members'], 'member')}, {counted(row['requests'], 'request')}"
        verdict = f"  {row['verdict']}" if row["verdict"] else ""
        typer.echo(f"{row['id']}  {row['state']:<7}  {row['born']} to {row['last_seen']}  {alerts}; {size}{verdict}")
    if len(rows) > _ROWS:
        typer.echo(f"{counted(len(rows) - _ROWS, 'campaign')} more: --json lists them")
    if not rows:
        typer.echo("no campaign was seen yet")


def _print_story(told: dict[str, Any]) -> None:
    """Nothing; the story of one identity, one line a night; runs of nights on which it only went on are one line."""
    typer.echo(f"{told['kind']} {told['id']}  {told['state']}, born {told['born']}, last seen {told['last_seen']}")
    for decision in told["decisions"]:
        said = printable(f"by {decision['by']}: {decision['why']}", _NAME_CHARACTERS * 2)
        typer.echo(f"{decision['when'][:10]}  {decision['verdict']} {said}")
    quiet: list[dict[str, Any]] = []
    for night in told["nights"]:
        happened = [event for event in night["events"] if event["event"] != "continued"]
        if not happened:
            quiet.append(night)
            continue
        _print_quiet(quiet)
        quiet = []
        size = _size(night) if night["local_id"] is not None else ""
        typer.echo(f"{night['day']}  {'; '.join(map(_event_words, happened))}{size}")
    _print_quiet(quiet)


def _print_quiet(nights: Sequence[dict[str, Any]]) -> None:
    """Nothing; nights without an event stand in one line, with the last of them."""
    if nights:
        many = f" ({counted(len(nights), 'night')})" if len(nights) > 1 else ""
        typer.echo(f"{nights[-1]['day']}  continued{many}{_size(nights[-1])}")


def _size(night: dict[str, Any]) -> str:
    """What it was on a night, in words."""
    alert = ", alert" if night["alert"] else ""
    members, requests = counted(night["members"], "member"), counted(night["requests"], "request")
    return f"  number {night['local_id']}{alert}: {members}, {requests}"


def _event_words(event: dict[str, Any]) -> str:
    """An event in words: its name, whom it happened with, and its counts."""
    others = f" ({', '.join(event['others'])})" if event["others"] else ""
    details = [
        f"{printable(str(name).replace('_', ' '), _NAME_CHARACTERS)} {_value(value)}"
        for name, value in event["details"].items()
    ]
    return f"{event['event']}{others}{' ' if details else ''}{', '.join(details)}"


def _value(value: float | str) -> str:
    if isinstance(value, str):
        return printable(value, _NAME_CHARACTERS)
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
