"""`nightly` and `backfill`: the job run night after night, published under ids that last."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.cli.given import given_day
from refrain.cli.jobs import say
from refrain.cli.options import AsJson, ConfigFile, Logs, Outputs, Overrides, Quiet, settings_of
from refrain.figures import counted
from refrain.progress import progress_for

if TYPE_CHECKING:
    from refrain.night_publishing import NightDone
    from refrain.nights import Choose, NightsDone
    from refrain.retention import Retained

Wait = Annotated[
    float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for another process on the store.", min=0)
]
Again = Annotated[bool, typer.Option("--again", help="Run a night before the last one, and all after it, anew.")]
Days = Annotated[
    int | None,
    typer.Option("--days", help="Days that a night looks back on. Default: nights.days.", min=1, max=366),
]


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "nightly",
        epilog="Examples:\n\nrefrain nightly logs/\n\nrefrain nightly logs/ --day 2026-09-01 --days 7 --wait 3600",
    )(nightly)
    app.command("backfill", epilog="Example:\n\nrefrain backfill logs/ 2026-09-01 2026-09-20")(backfill)


def nightly(
    logs: Logs,
    day: Annotated[
        str | None, typer.Option("--day", metavar="DAY", help="YYYY-MM-DD. Default: the last day that is over.")
    ] = None,
    days: Days = None,
    again: Again = False,
    wait: Wait = 0.0,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the night of a day over the days before it, and publish what it found under ids that last.

    Missed nights are run first. The last night can be run again, which replaces it; what came late counts then.
    Afterwards goes what [retention] of the settings does not keep, if it is set.
    """
    from refrain.night_plan import plan_night
    from refrain.nights import choose_day

    settings, folder = settings_of(config, _with_days(overrides, days), outputs)
    wanted = choose_day(given_day(day), settings.config, datetime.now(UTC))

    def choose(nights: Sequence[date], torn: date | None) -> Any:
        catch_up = settings.config.nights.catch_up
        return plan_night(nights, wanted, catch_up=catch_up, again=again, torn=torn)

    _run(logs, settings.config, folder, choose, wait=wait, retain=True, as_json=as_json, quiet=quiet)


def backfill(
    logs: Logs,
    first: Annotated[str, typer.Argument(metavar="A", help="The first night, YYYY-MM-DD.", show_default=False)],
    last: Annotated[str, typer.Argument(metavar="B", help="The last night, included.", show_default=False)],
    days: Days = None,
    again: Again = False,
    wait: Wait = 0.0,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run the nights from A to B in order. Those that are published already are not run again."""
    from refrain.night_plan import plan_backfill
    from refrain.nights import choose_day

    settings, folder = settings_of(config, _with_days(overrides, days), outputs)
    start, end = given_day(first), choose_day(given_day(last), settings.config, datetime.now(UTC))
    assert start is not None

    def choose(nights: Sequence[date], torn: date | None) -> Any:
        return plan_backfill(nights, start, end, again=again, torn=torn)

    _run(logs, settings.config, folder, choose, wait=wait, retain=False, as_json=as_json, quiet=quiet)


def _run(
    logs: list[str],
    config: Any,
    folder: Path,
    choose: "Choose",
    *,
    wait: float,
    retain: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Nothing; the planned nights are run and told, and then with `retain` goes what [retention] does not keep."""
    from refrain.nights import run_nights
    from refrain.retention import apply_retention

    silent = as_json or quiet

    def published(done: "NightDone") -> None:
        if not as_json:
            _say_night(done)

    done = run_nights(
        logs,
        config,
        folder,
        choose,
        wait=wait,
        progress=progress_for(quiet=silent),
        waiting=lambda holder: None if silent else typer.echo(f"waiting: {holder}", err=True),
        report=lambda result: say(result, silent=silent),
        published=published,
    )
    kept = None
    if retain:
        kept = apply_retention(folder, config, datetime.now(UTC).date(), progress_for(quiet=silent))
    if as_json:
        typer.echo(json.dumps({**_plain(done), "retention": None if kept is None else asdict(kept)}))
        return
    if kept is not None:
        _say_retention(kept)
    plan = done.plan
    for dates, words in (
        (plan.there, "published already, not run again"),
        (plan.left_out, "missed and left out (nights.catch_up); refrain backfill --again runs them"),
        (done.empty, "left out: no request in its window"),
    ):
        if dates:
            typer.echo(f"{counted(len(dates), 'night')} {words}: {_span(dates)}")
    if done.nights:
        folder = done.nights[-1].run.folder
        typer.echo(f"report   {folder / 'report.html'}\nexports  {folder / 'exports'}")


def _say_retention(kept: "Retained") -> None:
    """Nothing; what went stands on the terminal in counts."""
    typer.echo(f"kept     {kept.words}")
    if kept.failure:
        typer.echo(f"warning: retention was not applied to its end: {kept.failure}", err=True)
    if kept.left:
        said = f"{counted(kept.left, 'file')} still hold some of what was purged; refrain purge --retention names them"
        typer.echo(f"warning: {said}", err=True)


def _say_night(done: "NightDone") -> None:
    """Nothing; a night stands on the terminal in a few lines: counts, what is new, late, or odd."""
    counts = done.counts
    parts = [
        counted(counts["kept"], "request"),
        f"{counted(counts['alerts'], 'alert')} among {counted(counts['campaigns'], 'finding')}",
        *([f"campaigns {', '.join(f'{many} {name}' for name, many in done.events.items())}"] if done.events else []),
    ]
    typer.echo(f"night    {done.day}  {'; '.join(parts)}")
    if done.new_campaigns:
        typer.echo(f"new      {', '.join(done.new_campaigns)}")
    if done.late:
        typer.echo(f"late     {done.late}")
    for oddity in done.oddities:
        typer.echo(f"warning: {oddity.words}", err=True)
    if not done.told:
        typer.echo("warning: the webhook did not take the message", err=True)


def _plain(done: "NightsDone") -> dict[str, Any]:
    """The nights as JSON has them."""
    return {
        "nights": [
            {
                "day": one.day.isoformat(),
                "run": one.run.name,
                "folder": str(one.run.folder),
                "first_day": one.first_day.isoformat(),
                "counts": dict(one.counts),
                "new_campaigns": list(one.new_campaigns),
                "events": dict(one.events),
                "oddities": [{"kind": oddity.kind, "text": oddity.words} for oddity in one.oddities],
                "webhook": one.told,
            }
            for one in done.nights
        ],
        "there": [day.isoformat() for day in done.plan.there],
        "left_out": [day.isoformat() for day in done.plan.left_out],
        "empty": [day.isoformat() for day in done.empty],
    }


def _span(dates: Sequence[date]) -> str:
    return str(dates[0]) if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"


def _with_days(overrides: list[str] | None, days: int | None) -> list[str]:
    return [*(overrides or ()), *([f"nights.days={days}"] if days is not None else [])]
