"""What people look at: findings, the report, the effective settings."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from refrain.cli.options import (
    AsJson,
    ConfigFile,
    Outputs,
    Overrides,
    RunName,
    complete_run,
    settings_for_run,
    settings_of,
)
from refrain.printable import printable
from refrain.runs import REPORT, open_run
from refrain.settings import plain

NAME_CHARACTERS = 60  # of a family, on a line with others


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "show", epilog="Examples:\n\nrefrain show latest\n\nrefrain show latest 0\n\nrefrain show latest --timings"
    )(show)
    app.command(
        "evaluate", epilog="Examples:\n\nrefrain evaluate truth.parquet latest\n\nrefrain evaluate sample/ --nights"
    )(evaluate)
    app.command("report", epilog="Example:\n\nrefrain report latest --to findings.html")(report)
    app.command(
        "config", epilog="Examples:\n\nrefrain config\n\nrefrain config --run latest --set score.min_families=3"
    )(config)


def show(
    run: RunName,
    campaign: Annotated[int | None, typer.Argument(metavar="[CAMPAIGN]", help="A campaign's number.", min=0)] = None,
    timings: Annotated[bool, typer.Option("--timings", help="What its stages took, instead of findings.")] = False,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Print the findings of a run, or one of them: template, slots, requests, timeline, tests, doubts, accounts.

    With --json one finding is its evidence packet, as the exports have it.
    """
    from rich.console import Console

    from refrain.lineage_table import name_rows
    from refrain.packet_lines import read_packet
    from refrain.show import finding, findings, render_finding, render_findings
    from refrain.timings import read_timings, render_timings

    found = open_run(settings_of(None, None, outputs)[1], run)
    if timings:
        if campaign is not None:
            raise typer.BadParameter("a campaign has no timings of its own")
        seconds = read_timings(found.folder)
        typer.echo(json.dumps(seconds)) if as_json else render_timings(seconds, Console())
        return
    exports = found.result("exports")
    if campaign is None:
        rows = name_rows(found.folder, findings(found.folder))
        typer.echo(json.dumps(rows)) if as_json else render_findings(rows, Console())
    elif as_json:
        typer.echo(json.dumps(read_packet(exports, campaign)))
    else:
        render_finding(name_rows(found.folder, [finding(found.folder, campaign)])[0], Console())


def evaluate(
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="Parquet: request_id, account_id, family, kind, perhaps template.")
    ],
    run: Annotated[
        str,
        typer.Argument(metavar="[RUN]", help="A run id, or 'latest'.", autocompletion=complete_run, show_default=False),
    ] = "",
    nights: Annotated[
        bool, typer.Option("--nights", help="All published nights instead of a run; TRUTH is of `simulate --nights`.")
    ] = False,
    config: ConfigFile = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Measure a run against cases that you have labelled: campaigns found, accounts right, false alerts.

    With --nights: whether ids held over the nights, whether events are right, how soon campaigns alert.
    """
    settings, folder = settings_of(config, None, outputs)
    if nights == bool(run):
        raise typer.BadParameter("give either a run or --nights")
    if nights:
        from refrain.night_evaluation import evaluate_ledger

        figures = evaluate_ledger(truth, folder, settings.config).plain()
    else:
        from refrain.evaluation import evaluate as measure

        figures = measure(truth, open_run(folder, run).result("exports")).plain()
    if as_json:
        typer.echo(json.dumps(figures))
        return
    wide = max(map(len, figures))
    for name, value in figures.items():
        typer.echo(f"{name:<{wide}}  {_figure(value)}")


def _figure(value: Any) -> str:
    """A figure as people read it; families are named by whoever labelled them, so they are made fit to print."""
    if isinstance(value, dict):
        return ", ".join(f"{printable(key, NAME_CHARACTERS)} {_part(part)}" for key, part in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(printable(name, NAME_CHARACTERS) for name in value) or "none"
    return "-" if value is None else str(value)


def _part(value: Any) -> str:
    """A figure among several: a share, a count, or counts that belong together."""
    if isinstance(value, list | tuple):
        return "/".join(map(_part, value))
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def report(
    run: RunName,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help="Where to write it. Default: in the run's folder.")
    ] = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Write the findings as one HTML file that needs no network."""
    from refrain.report import write_report

    found = open_run(settings_of(None, None, outputs)[1], run)
    found.result("exports")
    page = to or found.folder / REPORT
    write_report(found.folder, page)
    typer.echo(json.dumps({"report": str(page)}) if as_json else str(page))


def config(
    config: ConfigFile = None,
    overrides: Overrides = None,
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN", help="Start from the settings of this run.")
    ] = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
) -> None:
    """Print every setting, its value, and where the value came from."""
    if run is None:
        settings, _ = settings_of(config, overrides, outputs)
    else:
        settings, _ = settings_for_run(run, config, overrides, outputs)
    values = plain(settings.config)
    if values["ledger"]["url"]:
        from refrain.ledger.database import shown_url

        values["ledger"]["url"] = shown_url(values["ledger"]["url"])
    rows = [
        (f"{section}.{key}", value, settings.origins[f"{section}.{key}"])
        for section, entries in values.items()
        for key, value in entries.items()
    ]
    if as_json:
        typer.echo(json.dumps({name: {"value": value, "from": origin} for name, value, origin in rows}))
        return
    wide = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        typer.echo(f"{name:<{wide}}  {json.dumps(value)}  ({origin})")
