"""`runs`: which runs there are and were."""

import json
from typing import TYPE_CHECKING, Any

import typer

from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, settings_of
from refrain.figures import counted

if TYPE_CHECKING:
    from refrain.ledger import RunRow


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command("runs", epilog="Examples:\n\nrefrain runs\n\nrefrain runs --json")(runs)


def runs(
    config: ConfigFile = None, overrides: Overrides = None, outputs: Outputs = None, as_json: AsJson = False
) -> None:
    """List the runs that were finished, the newest first: nights, slices, and whole logs on demand.

    What stands here comes from the ledger; a run without a row there is shown from its folder.
    """
    from refrain.run_notes import list_notes
    from refrain.runs import POINTERS

    settings, folder = settings_of(config, overrides, outputs)
    found = list_notes(folder, settings.config.ledger)
    links = {name: folder / "runs" / name for name in POINTERS}
    pointed = {name: link.readlink().name for name, link in links.items() if link.is_symlink()}
    if as_json:
        typer.echo(json.dumps({"runs": [_plain(row, there, pointed) for row, there in found.items()]}))
        return
    for row, there in found.items():
        days = "no day" if row.first_day is None else f"{row.first_day} to {row.last_day}"
        names = [name for name, run in pointed.items() if run == row.run_id]
        counts = row.counts
        parts = [
            counted(counts.get("kept", 0), "request"),
            f"{counted(counts.get('alerts', 0), 'alert')} among {counted(counts.get('campaigns', 0), 'finding')}",
            *names,
            *([] if there else ["removed"]),
        ]
        typer.echo(f"{row.finished:%Y-%m-%d %H:%M}  {row.kind:<9}  {row.run_id}  {days}  {'; '.join(parts)}")
    if not found:
        typer.echo(f"no run was finished in {folder}")


def _plain(row: "RunRow", there: bool, pointed: dict[str, str]) -> dict[str, Any]:
    """A run as JSON has it."""
    days = {name: day.isoformat() if day else None for name, day in _days(row).items()}
    return {
        "run": row.run_id,
        "kind": row.kind,
        "finished": row.finished.isoformat(timespec="seconds"),
        **days,
        "counts": dict(row.counts),
        "content": row.content,
        "there": there,
        "pointers": [name for name, run in pointed.items() if run == row.run_id],
    }


def _days(row: "RunRow") -> dict[str, Any]:
    return {"first_day": row.first_day, "last_day": row.last_day}
