"""`export`: the tables of a run, and what other tools load."""

import json
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from refrain.cli.jobs import finish, run_as_json, say
from refrain.cli.options import AsJson, ConfigFile, Outputs, Overrides, Quiet, complete_run, settings_for_run
from refrain.errors import InputError
from refrain.progress import progress_for
from refrain.runs import Run, run_stage, store_of

_DEFAULT = "parquet"


def _complete_format(incomplete: str) -> list[str]:
    """The formats that begin like `incomplete`, those of other packages too."""
    from refrain.exporters.registry import exporter_names

    return [name for name in exporter_names() if name.startswith(incomplete)]


MaybeRun = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="A run id, or 'latest'.", autocompletion=complete_run, show_default=False),
]
Destination = Annotated[
    str | None,
    typer.Option("--to", metavar="DEST", help="Also write it there: a folder, a file or a URL, as the format has it."),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="What to write in --to; --list-formats names all.",
        autocompletion=_complete_format,
    ),
]
More = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="A setting of the format; may be repeated."),
]
Redact = Annotated[
    bool,
    typer.Option(
        "--redact", help="To share: masked skeletons and ids hashed under $REFRAIN_SHARE_KEY; no prompts, no raw ids."
    ),
]
MinAccounts = Annotated[
    int | None,
    typer.Option(
        "--min-accounts",
        metavar="N",
        min=1,
        help="With --redact: share nothing of fewer accounts. Default: export.share_min_accounts.",
    ),
]
AllFindings = Annotated[bool, typer.Option("--all-findings", help="With --redact: findings that do not alert, too.")]


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "export",
        epilog=(
            "Examples:\n\nrefrain export latest\n\nrefrain export latest --to labels/ --format csv\n\n"
            "refrain export latest --to postgresql://refrain@host/trust --format sql\n\n"
            "refrain export latest --redact --to findings.json --format stix\n\n"
            "refrain export --list-formats"
        ),
    )(export)


def export(
    run: MaybeRun = None,
    to: Destination = None,
    format: Format = _DEFAULT,  # noqa: A002 (the option's name)
    more: More = None,
    with_text: Annotated[
        bool, typer.Option("--with-text", help="Prompts, too, in a format that leaves them out (stix, siem, webhook).")
    ] = False,
    redact: Redact = False,
    min_accounts: MinAccounts = None,
    all_findings: AllFindings = False,
    list_formats: Annotated[bool, typer.Option("--list-formats", help="Print the formats and their options.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    outputs: Outputs = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write labels, clusters, templates, campaigns, members and evidence packets for other tools."""
    from refrain.exporters.registry import check_destination, export_tables, find_exporter

    if list_formats:
        _print_formats(as_json=as_json)
        return
    if run is None:
        raise InputError("which run?", hint="give its id, or latest; refrain runs lists them")
    exporter = find_exporter(format)
    if to is None and (more or redact or format != _DEFAULT):
        what = "--redact" if redact else f"--format {format}"
        raise InputError(f"{what} needs a place to write to", hint="give --to DEST")
    if not redact and (all_findings or min_accounts is not None):
        raise InputError("--min-accounts and --all-findings are of a shared copy", hint="give --redact")
    key = _shared_key() if redact else None  # a missing one is told before anything is computed
    settings, found = settings_for_run(run, config, overrides, outputs)
    progress = progress_for(quiet=quiet or as_json)
    done, result = run_stage("export", found, settings.config, progress=progress)
    if to is None:
        finish(done, result, as_json=as_json, quiet=quiet)
        return
    from refrain.exporters.elsewhere import shown_destination
    from refrain.exporters.exporter import Options
    from refrain.exporters.standings import standings
    from refrain.full_disk import told_of_full_disk
    from refrain.stable_ids import stable_ids

    options = Options(run=done.name, folder=done.folder, more=_pairs(more or []), with_text=with_text)
    options = replace(options, key=_key(done), places=settings.config.places, progress=progress)
    identities = stable_ids(done)
    standing = standings(done.outputs, settings.config.ledger) if identities else {}
    options = replace(options, identities=identities, standings=standing)
    shown = shown_destination(exporter, to)
    exports = done.result("exports")
    check_destination(exports, to, exporter)
    least = settings.config.export.share_min_accounts if min_accounts is None else min_accounts
    copy: AbstractContextManager[tuple[Path, Options]] = nullcontext((exports, options))
    if key is not None:
        from refrain.exporters.shared_copy import shared_copy
        from refrain.sharing import SharingRule

        copy = shared_copy(exports, options, key, SharingRule(least, all_findings))
    with told_of_full_disk(done.outputs), copy as (folder, known):
        rows = export_tables(folder, to, exporter, known)
    shared = {} if key is None else {"shared": _shared_as_json(key, least, all_findings)}
    if as_json:
        told = {**run_as_json(done, [result]), "to": shown, "format": format, "rows": rows, **shared}
        typer.echo(json.dumps(told))
        return
    say(result, silent=quiet)
    if shared:
        typer.echo(f"redacted: findings of at least {least:,} accounts, ids hashed under the shared key")
    for table, count in rows.items():
        typer.echo(f"{count:>12,}  {exporter.place(shown, table)}")


def _print_formats(*, as_json: bool) -> None:
    from refrain.exporters.registry import exporter_names, find_exporter

    found = [find_exporter(name) for name in exporter_names()]
    if as_json:
        rows = [{"name": one.name, "title": one.title, "to": one.kind, "options": dict(one.settings)} for one in found]
        typer.echo(json.dumps({"formats": rows}))
        return
    for one in found:
        typer.echo(f"{one.name:<8}  {one.kind:<6}  {one.title}")
        for name, meaning in one.settings.items():
            typer.echo(f"{'':<18}--option {name}=...: {meaning}")


def _key(run: Run) -> bytes:
    """The key that providers share, where it is set, else the store's."""
    from refrain import share_key

    return share_key.share_key() if os.environ.get(share_key.VARIABLE) else store_of(run.outputs).key


def _shared_key() -> bytes:
    from refrain.share_key import share_key

    return share_key()


def _shared_as_json(key: bytes, least: int, all_findings: bool) -> dict[str, Any]:
    from refrain.share_key import share_key_name

    return {"key": share_key_name(key), "min_accounts": least, "all_findings": all_findings}


def _pairs(given: list[str]) -> dict[str, str]:
    """KEY=VALUE texts by key; InputError for one of another form, which is not quoted: it may hold a secret."""
    pairs = [text.partition("=") for text in given]
    if not all(equals and name for name, equals, _ in pairs):
        raise InputError("--option is of the form KEY=VALUE")
    return {name: value for name, _, value in pairs}
