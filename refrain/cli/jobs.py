"""`run`, and one command a stage."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from refrain import stages
from refrain.cli.options import (
    AsJson,
    ConfigFile,
    Logs,
    Outputs,
    Overrides,
    Quiet,
    RunId,
    RunName,
    SliceName,
    settings_for_run,
    settings_of,
)
from refrain.errors import InputError
from refrain.progress import progress_for
from refrain.runs import REPORT, Run, run_all, run_ingest, run_stage
from refrain.slices import load_slice

_HELP = {
    "embed": "Encode the segments whose vectors the store does not have yet.",
    "index": "Find each segment's nearest neighbours.",
    "cluster": "Cluster the segments by density.",
    "mine": "Put recurrent segments that occur together into templates with slots.",
    "score": "Find the campaigns among the templates, and their members.",
}
_EXAMPLES = {
    "embed": "refrain embed latest",
    "index": "refrain index latest --set index.neighbours=30",
    "cluster": "refrain cluster latest --set cluster.min_owners=8",
    "mine": "refrain mine latest",
    "score": "refrain score latest --set score.false_discovery_rate=0.01",
}
_ALWAYS = ("merged", "quarantined")  # printed at zero too: with the kept rows they add up to the rows read
_NO_COUNTS = ("hash_key_version",)  # stand among them in a manifest, and count nothing
_FORMATS = ("parquet", "csv", "jsonl")


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "run",
        epilog="Examples:\n\nrefrain run logs/\n\nrefrain run 'logs/day=2026-09-*/*.jsonl.zst' --run-id september",
    )(run)
    app.command("ingest", epilog="Example:\n\nrefrain ingest logs/ --run-id september")(ingest)
    for verb, words in _HELP.items():
        app.command(verb, help=words, epilog=f"Example:\n\n{_EXAMPLES[verb]}")(_stage_command(verb))
    app.command(
        "export", epilog="Examples:\n\nrefrain export latest\n\nrefrain export latest --to labels/ --format csv"
    )(export)


def run(
    logs: Logs,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    run_id: RunId = None,
    slice_name: SliceName = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read logs, find the campaigns in them, and write the report and the exports.

    What is there already and rests on the same log and settings is not computed again.
    """
    from rich.console import Console

    from refrain.report import write_report
    from refrain.show import findings, render_findings

    settings, folder = settings_of(config, overrides, outputs)
    results: list[stages.Result] = []

    def report(result: stages.Result) -> None:
        results.append(result)
        say(result, silent=as_json or quiet)

    done = run_all(
        logs,
        settings.config,
        folder,
        run_id=run_id,
        part=load_slice(folder, slice_name) if slice_name else None,
        progress=progress_for(quiet=quiet or as_json),
        report=report,
        tell=_silence if as_json or quiet else typer.echo,
    )
    page = done.folder / REPORT
    if results[-1].computed or not page.exists():
        write_report(done.folder, page)
    found = findings(done.folder)
    if as_json:
        places = {"report": str(page), "exports": str(done.result("exports"))}
        typer.echo(json.dumps({**run_as_json(done, results), "findings": found, **places}))
        return
    if not any(result.computed for result in results):
        typer.echo("nothing to do: every stage has this log and these settings already")
    render_findings(found, Console())
    typer.echo(f"run      {done.name}\nreport   {page}\nexports  {done.result('exports')}")


def ingest(
    logs: Logs,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    run_id: RunId = None,
    slice_name: SliceName = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Read logs into requests, distinct segments, accounts and owners."""
    settings, folder = settings_of(config, overrides, outputs)
    progress = progress_for(quiet=quiet or as_json)
    part = load_slice(folder, slice_name) if slice_name else None
    tell = _silence if as_json or quiet else typer.echo
    done, result = run_ingest(logs, settings.config, folder, run_id=run_id, part=part, progress=progress, tell=tell)
    _finish(done, result, as_json=as_json, quiet=quiet)


def export(
    run: RunName,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Also write the tables there.")] = None,
    format: Annotated[  # noqa: A002 (the option's name)
        str, typer.Option("--format", metavar="|".join(_FORMATS), help="Form of the tables in --to.")
    ] = _FORMATS[0],
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write labels, clusters, templates, campaigns, members and evidence packets for other tools."""
    if format not in _FORMATS:
        raise InputError(f"there is no export format {format!r}", hint=f"choose one of {', '.join(_FORMATS)}")
    settings, found = settings_for_run(run, config, overrides, outputs)
    progress = progress_for(quiet=quiet or as_json)
    done, result = run_stage("export", found, settings.config, progress=progress)
    if to is None:
        _finish(done, result, as_json=as_json, quiet=quiet)
        return
    from refrain.exports import export_run, exported_name

    rows = export_run(done.folder, to, format)
    if as_json:
        typer.echo(json.dumps({**run_as_json(done, [result]), "to": str(to), "format": format, "rows": rows}))
        return
    say(result, silent=quiet)
    for table, count in rows.items():
        typer.echo(f"{count:>12,}  {to / exported_name(table, format)}")


def _stage_command(verb: str) -> Callable[..., None]:
    """The command of one of the stages between ingest and export."""

    def command(
        run: RunName,
        config: ConfigFile = None,
        overrides: Overrides = None,
        outputs: Outputs = None,
        as_json: AsJson = False,
        quiet: Quiet = False,
    ) -> None:
        settings, found = settings_for_run(run, config, overrides, outputs)
        progress = progress_for(quiet=quiet or as_json)
        done, result = run_stage(verb, found, settings.config, progress=progress)
        _finish(done, result, as_json=as_json, quiet=quiet)

    return command


def _finish(run: Run, result: stages.Result, *, as_json: bool, quiet: bool) -> None:
    """Nothing; says what one stage did and where that lies."""
    if as_json:
        typer.echo(json.dumps(run_as_json(run, [result])))
        return
    say(result, silent=quiet)
    typer.echo(run.result(result.noun))


def _silence(line: str) -> None:
    """Nothing; the line is not printed."""


def say(result: stages.Result, *, silent: bool) -> None:
    """Nothing; one line for a stage: what it did, what came out, and the seconds that took."""
    if silent:
        return
    if result.note:
        typer.echo(f"{result.verb:<8} could not use what was there: {result.note}", err=True)
    shown = {name: count for name, count in result.counts.items() if count or name in _ALWAYS}
    shown = {name: count for name, count in shown.items() if name not in _NO_COUNTS}
    counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in shown.items())
    state = f"{result.seconds:6.1f} s" if result.computed else "unchanged"
    typer.echo(f"{result.verb:<8} {state:>9}  {counts}")


def run_as_json(run: Run, results: list[stages.Result]) -> dict[str, Any]:
    """A run and what its stages did, as JSON has it."""
    return {
        "run": run.name,
        "folder": str(run.folder),
        "stages": [
            {
                "stage": result.verb,
                "folder": str(run.result(result.noun)),
                "address": result.manifest.address,
                "computed": result.computed,
                "note": result.note,
                "counts": result.counts,
                "seconds": round(result.seconds, 3),
                "peak_bytes": result.peak_bytes,
            }
            for result in results
        ],
    }
