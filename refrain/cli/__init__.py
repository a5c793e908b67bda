"""The command line: one verb a stage, `run` for all of them, and what people look at afterwards.

Answers `--help` without importing anything heavy: commands import what they need when they run.
"""

from typing import Annotated

import typer

from refrain import __version__
from refrain.cli import (
    decisions,
    demand,
    door,
    exports,
    fetch,
    inspecting,
    jobs,
    ledger,
    looks,
    machines,
    nights,
    notes,
    parts,
    stories,
    upkeep,
    verdicts,
)
from refrain.cli.frame import CommandGroup
from refrain.heap import keep_freed

app = typer.Typer(
    name="refrain",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # typer's own would print local variables, and those hold prompts
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Finds distillation campaigns in prompt logs: texts that recur over accounts that seem unrelated.",
    epilog="Examples:\n\nrefrain run logs/\n\nrefrain show latest",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"refrain {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Finds distillation campaigns in prompt logs: texts that recur over accounts that seem unrelated."""


jobs.add_to(app)
inspecting.add_to(app)
exports.add_to(app)
nights.add_to(app)
stories.add_to(app)
looks.add_to(app)
verdicts.add_to(app)
notes.add_to(app)
ledger.add_to(app)
decisions.add_to(app)
parts.add_to(app)
door.add_to(app)
fetch.add_to(app)
demand.add_to(app)
machines.add_to(app)
upkeep.add_to(app)


def main() -> None:
    """Nothing; runs the command line of this process."""
    keep_freed()  # before numpy starts its threads, each of which would have a heap of its own
    app()
