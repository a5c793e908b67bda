"""`inspect`: what a log would be understood as, before anything is read in earnest."""

import json
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.options import AsJson, ConfigFile, Logs, Overrides, settings_of


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the command of this module."""
    app.command(
        "inspect",
        epilog=(
            "Examples:\n\nrefrain inspect logs/\n\nrefrain inspect export.csv --write mapping.toml\n\n"
            "refrain run export.csv --config mapping.toml"
        ),
    )(inspect)


def inspect(
    logs: Logs,
    write: Annotated[
        Path | None,
        typer.Option("--write", metavar="FILE", help="Save the format or the proposed columns as a config file."),
    ] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Say what a log is understood as, from the head of its files: format, columns, times, what cannot be used.

    Nothing is read in, and no text of the log is shown. What --write saves is used with --config, once you have looked
    at it. Exit code 1 where nothing can be read as it is and nothing was saved.
    """
    from refrain.inspection import inspect_log, settings_for
    from refrain.inspection_view import lines_of

    settings, _ = settings_of(config, overrides, None)
    found = inspect_log(logs, settings.config.ingest, settings.config.places)
    if write is not None:
        import tomli_w

        write.write_text(tomli_w.dumps(settings_for(found)), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(found.plain()))
    else:
        for line in lines_of(found):
            typer.echo(line)
        if write is not None:
            typer.echo(f"\nwritten    {write}: look at it, then refrain run LOG --config {write}")
    if write is None and not any(sample.usable for sample in found.samples):
        raise typer.Exit(1)
