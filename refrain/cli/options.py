"""The options that several commands share, and what they come to."""

from pathlib import Path
from typing import Annotated

import typer

from refrain.runs import POINTERS, Run, list_runs, open_run
from refrain.settings import Settings, load_settings


def complete_run(incomplete: str) -> list[str]:
    """The run ids in the default outputs folder that begin like `incomplete`."""
    names = list_runs(Path(load_settings().config.outputs.path))
    return [name for name in [*POINTERS, *names] if name.startswith(incomplete)]


Logs = Annotated[
    list[str],
    typer.Argument(
        metavar="LOG", help="Files, folders, quoted patterns, s3:// URLs; JSONL, JSON, CSV, Parquet, .gz, .zst."
    ),
]
RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run id, or 'latest'.", autocompletion=complete_run, show_default=False)
]
RunId = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="Name of the run. Default: from log and settings.")
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="TOML file with the settings that differ.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, as section.key=value; may be repeated."),
]
Outputs = Annotated[
    Path | None, typer.Option("--outputs", metavar="DIR", help="Where store and runs lie. Default: outputs.path.")
]
SliceName = Annotated[
    str | None,
    typer.Option("--slice", metavar="NAME", help="Only this part of the log, saved by `refrain slice save`."),
]
Accounts = Annotated[
    Path | None, typer.Option("--accounts", metavar="FILE|-", help="Accounts, one id a line; '-' reads stdin.")
]
FirstDay = Annotated[str | None, typer.Option("--from", metavar="DAY", help="First day, YYYY-MM-DD.")]
LastDay = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last day, included.")]
Models = Annotated[list[str] | None, typer.Option("--model", metavar="MODEL", help="A model's name; may be repeated.")]
Matching = Annotated[
    str | None,
    typer.Option(
        "--matching",
        metavar="TEXT|@FILE|-",
        help="What a message must hold; case, numbers and white space make no difference. '-' reads it from stdin.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no line a stage.")]


def settings_of(config: Path | None, overrides: list[str] | None, outputs: Path | None) -> tuple[Settings, Path]:
    """The effective settings and the outputs folder."""
    settings = load_settings(config, overrides or ())
    return settings, outputs or Path(settings.config.outputs.path)


def settings_for_run(
    name: str, config: Path | None, overrides: list[str] | None, outputs: Path | None
) -> tuple[Settings, Run]:
    """An existing run and the settings for its next stage: the run's own, under the file and the overrides."""
    _, folder = settings_of(config, overrides, outputs)
    run = open_run(folder, name)
    return load_settings(config, overrides or (), run=run.config, run_name=f"run {run.name}"), run
