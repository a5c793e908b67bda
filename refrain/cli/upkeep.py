"""`purge` and `doctor`: what is forgotten, and whether what is kept is whole."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.cli.given import given_day
from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, Quiet, settings_of
from refrain.errors import InputError

if TYPE_CHECKING:
    from refrain.purge import Purged

_LEFT_SHOWN = 20  # files that are named on a terminal; --json names all


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "purge",
        epilog=(
            "Examples:\n\nrefrain purge --account acct_020342834335\n\nrefrain purge --account - --yes < ids.txt\n\n"
            "refrain purge --before 2026-08-01 --dry-run\n\nrefrain purge --retention --yes"
        ),
    )(purge)
    app.command("doctor", epilog="Examples:\n\nrefrain doctor\n\nrefrain doctor --repair")(doctor)


def purge(
    accounts: Annotated[
        list[str] | None,
        typer.Option("--account", metavar="ID", help="An account; may be repeated. '-' reads lines from stdin."),
    ] = None,
    requests: Annotated[
        list[str] | None,
        typer.Option("--request", metavar="ID", help="A request; may be repeated. '-' reads ids from stdin."),
    ] = None,
    before: Annotated[
        str | None, typer.Option("--before", metavar="DATE", help="All requests before this day (UTC), YYYY-MM-DD.")
    ] = None,
    retention: Annotated[
        bool, typer.Option("--retention", help="What [retention] of the settings does not keep.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and change nothing.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Forget accounts, requests, or all before a day: in the store, in kept runs, in lists and databases.

    What is needed is computed again by the next run. Keyed tombstones stay, so that no ingest brings it back; logs are
    yours and stay as they are. Every file is searched afterwards: exit code 1 where one still holds some.
    """
    from refrain.progress import progress_for
    from refrain.purge import purge as forget
    from refrain.purge import retain_runs, retention_targets, survey
    from refrain.purge_seen import Targets

    settings, folder = settings_of(config, overrides, outputs)
    if sum((bool(accounts or requests), before is not None, retention)) != 1:
        raise InputError(
            "say what to purge: --account, --request, --before or --retention", hint="refrain purge --help"
        )
    if not (folder / "store").is_dir():
        raise InputError(f"there is no store in {folder}", hint="--outputs DIR names the folder of store and runs")
    if "-" in (accounts or ()) and "-" in (requests or ()):
        raise InputError("only one of --account and --request can read stdin")
    targets: Targets | None = Targets(_ids(accounts), _ids(requests), _moment(before))
    kept_runs = 0
    if retention:
        kept_runs = settings.config.retention.runs
        targets = retention_targets(settings.config.retention, datetime.now(UTC).date())
        if targets is None and not kept_runs:
            raise InputError("[retention] keeps all", hint="--set retention.days=90, or your own --config")
    if dry_run or not yes:
        found = survey(folder, targets).found if targets else {}
        if dry_run:
            typer.echo(json.dumps({"found": found, "dry_run": True}) if as_json else _words(found))
            return
        if not sys.stdin.isatty():
            raise InputError("purge asks first, and nobody is there to answer", hint="--yes does not ask")
        typer.echo(_words(found), err=True)
        typer.confirm("Purge this for good?", abort=True, err=True)
    removed = retain_runs(folder, kept_runs, settings.config.ledger) if kept_runs else []
    done = forget(folder, targets, progress_for(quiet=quiet), settings.config.ledger) if targets else None
    _tell(done, removed, folder, as_json=as_json)
    if done is not None and done.left:
        raise typer.Exit(1)


def _tell(done: "Purged | None", removed: list[str], folder: Path, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"runs_aged_out": removed}
        if done is not None:
            left = [{"file": str(h.path), "found": h.found, "unreadable": h.unreadable} for h in done.left]
            told |= {"found": done.found, "removed": done.done, "left": left}
            told["search"] = {
                "files": done.files, "sought": done.sought, "shared": done.shared, "sampled": done.sampled
            }  # fmt: skip
        typer.echo(json.dumps(told))
        return
    if removed:
        typer.echo(f"runs aged out: {', '.join(removed)}")
    if done is None:
        return
    typer.echo(_words(done.found))
    removals = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in done.done.items() if count)
    typer.echo(f"removed: {removals or 'nothing'}")
    sample = " (a sample of the texts)" if done.sampled else ""
    typer.echo(f"searched {done.files:,} files for {done.sought:,} ids and texts{sample}")
    if done.shared:
        typer.echo(f"{done.shared:,} of these others sent as well; they stay in what is theirs")
    for hit in done.left[:_LEFT_SHOWN]:
        said = "cannot be searched" if hit.unreadable else f"still holds {hit.found:,} of them"
        typer.secho(f"{hit.path}: {said}", err=True, fg=typer.colors.RED)
    if len(done.left) > _LEFT_SHOWN:
        typer.echo(f"and {len(done.left) - _LEFT_SHOWN:,} more files; --json names all", err=True)
    if done.left:
        typer.echo("hint: remove these files yourself, or stop what has them open and purge again", err=True)
    else:
        typer.echo(f"nothing of it is left in {folder}")


def _words(found: dict[str, int]) -> str:
    counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in found.items())
    return f"found: {counts or 'nothing to search for; old runs alone go'}"


def _ids(values: list[str] | None) -> frozenset[str]:
    ids: list[str] = []
    for value in values or ():
        ids += typer.get_text_stream("stdin").read().splitlines() if value == "-" else [value]
    found = frozenset(name.strip() for name in ids if name.strip())
    if values and not found:
        raise InputError("no id was given", hint="one a line")
    return found


def _moment(before: str | None) -> int | None:
    from refrain.slices import midnight

    day = given_day(before)
    return None if day is None else midnight(day)


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Remove what is damaged and can be computed again.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Check every file of store and runs against its manifest and digests, and the ledger. Exit code 1 where damage is
    left."""
    from refrain.doctor import examine
    from refrain.progress import progress_for

    settings, folder = settings_of(config, overrides, outputs)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}", hint="--outputs DIR names the folder of store and runs")
    seen = examine(folder, repair=repair, progress=progress_for(quiet=quiet), ledger=settings.config.ledger)
    left = [fault for fault in seen.faults if not fault.repaired]
    if as_json:
        faults = [{"path": str(f.path), "what": f.what, "repaired": f.repaired, "hint": f.hint} for f in seen.faults]
        typer.echo(json.dumps({"checked": seen.checked, "faults": faults, "left": len(left)}))
    else:
        typer.echo("checked: " + ", ".join(f"{name} {count:,}" for name, count in seen.checked.items()))
        for fault in seen.faults:
            typer.echo(f"{fault.path}: {fault.what}" + (" (removed)" if fault.repaired else ""))
            if fault.hint and not fault.repaired:
                typer.echo(f"  hint: {fault.hint}")
        typer.echo("whole" if not seen.faults else f"{len(seen.faults):,} damaged, {len(left):,} left")
    if left:
        raise typer.Exit(1)
