"""`fetch`: days of a database's query as a log on disk."""

import json
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.given import given_day
from refrain.cli.options import AsJson, ConfigFile, FirstDay, Overrides, Quiet, settings_of
from refrain.errors import InputError
from refrain.progress import progress_for

_EXAMPLES = (
    "refrain fetch postgresql+psycopg://reader@host/gateway --query-file log.sql --to log/ --from 2026-09-01",
    "refrain fetch sqlite:///gateway.db --query 'SELECT * FROM calls' --to log/",
    "refrain run log/",
)


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the command of this module."""
    app.command("fetch", epilog="Examples:\n\n" + "\n\n".join(_EXAMPLES))(fetch)


def fetch(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            envvar="REFRAIN_SQL_URL",
            show_default=False,
            help="A SQLAlchemy URL. Its password in $REFRAIN_SQL_PASSWORD stands in no list of processes.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="Folder that gets day=YYYY-MM-DD/*.parquet.")],
    query: Annotated[str | None, typer.Option("--query", metavar="SQL", help="A SELECT with our column names.")] = None,
    query_file: Annotated[
        Path | None, typer.Option("--query-file", metavar="FILE", help="The same from a file.", dir_okay=False)
    ] = None,
    first: FirstDay = None,
    last: Annotated[
        str | None, typer.Option("--to-day", metavar="DAY", help="Last day, included. Default: the last that is over.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Fetch days that are there, too: for late rows.")] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Copy what a query gives from any database into Parquet, a day at a time, as a log for `refrain run`.

    A query with :start and :end is asked for each day of UTC; days that are there whole are not fetched again. Without
    them it is asked once.
    """
    from refrain.snapshots import fetch_days

    settings, _ = settings_of(config, overrides, None)
    done = fetch_days(
        url,
        _query(query, query_file),
        to,
        first=given_day(first),
        last=given_day(last),
        again=again,
        config=settings.config.places,
        progress=progress_for(quiet=quiet or as_json),
    )
    if not any(day.rows for day in done):
        typer.echo("no row: are :start and :end compared as the column has its times? docs/places.md", err=True)
    if as_json:
        days = [{"folder": day.folder.name, "rows": day.rows, "fetched": day.fetched} for day in done]
        typer.echo(json.dumps({"to": str(to), "folders": days, "rows": sum(day.rows for day in done)}))
        return
    for day in done if not quiet else ():
        state = "" if day.fetched else "  unchanged"
        typer.echo(f"{day.rows:>12,}  {day.folder}{state}")
    typer.echo(f"{sum(day.rows for day in done):>12,}  rows in {to}: refrain run {to}")


def _query(query: str | None, file: Path | None) -> str:
    if (query is None) == (file is None):
        raise InputError("a query is needed, once", hint="--query 'SELECT ...' or --query-file FILE")
    if query is not None:
        return query
    assert file is not None
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no file {file}") from None
    except UnicodeDecodeError:
        raise InputError(f"{file} is no text", hint="it is read as UTF-8") from None
