"""What makes traffic, and what keeps the jobs running: `simulate` and `serve`."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.options import AsJson, ConfigFile, Logs, Outputs, settings_of
from refrain.errors import InputError

# The bundled sample, as refrain.simulate has it: enough for every planted campaign, and small.
_SEED, _REQUESTS, _SAMPLE_DAYS = 7, 7000, 3

# At three in the morning the day before has been over for more than nights.watermark_hours; the port is Prefect's own.
_CRON, _PORT = "0 3 * * *", 4200


class SampleFormat(StrEnum):
    """What a sample's log is written as."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    CSV = "csv"


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command(
        "simulate",
        epilog="Examples:\n\nrefrain simulate sample/ --seed 8\n\nrefrain simulate clean/ --campaigns none\n\n"
        "refrain simulate nights/ --nights --days 20 --requests 60000",
    )(simulate)
    app.command("serve", epilog="Example:\n\nrefrain serve logs/ --outputs outputs")(serve)


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="An empty or new folder.")],
    seed: Annotated[int, typer.Option("--seed", help="The same seed writes the same traffic.")] = _SEED,
    requests: Annotated[
        int | None, typer.Option("--requests", help=f"About how many requests. Default: {_REQUESTS}.", min=1)
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", help=f"Days of traffic. Default: {_SAMPLE_DAYS}.", min=1, max=366)
    ] = None,
    campaigns: Annotated[
        str, typer.Option("--campaigns", metavar="NAMES", help="With commas between; 'none' for a clean log.")
    ] = "",
    format_: Annotated[SampleFormat, typer.Option("--format", help="Of the log.")] = SampleFormat.PARQUET,
    nights: Annotated[
        bool,
        typer.Option(
            "--nights", help="A story of nights: campaigns split, merge, pause, end and change; OUT/nights.parquet."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a small log with planted campaigns and look-alikes: OUT/requests, and the truth beside it.

    With --nights at least 16 days, each of 3,000 requests if not said otherwise, in Parquet. OUT/late/<day> holds rows
    that arrive on that day: copy them over OUT/requests before its night.
    """
    from refrain.simulate.demo import DEMO_CAMPAIGNS
    from refrain.simulate.nights import FEWEST_NIGHTS, write_nights
    from refrain.simulate.writing import write_sample

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder", hint="choose another, or remove it")
    if nights:
        if campaigns or format_ is not SampleFormat.PARQUET:
            raise InputError("--nights has campaigns of its own and writes Parquet", hint="leave out the other options")
        length = days or FEWEST_NIGHTS
        size = {} if requests is None else {"per_day": max(requests // length, 1)}
        _tell(out, write_nights(out, seed=seed, nights=length, **size), as_json=as_json)
        return
    requests, days = requests or _REQUESTS, days or _SAMPLE_DAYS
    names = DEMO_CAMPAIGNS if not campaigns else [name for name in campaigns.split(",") if name != "none"]
    counts = write_sample(out, seed=seed, requests=requests, days=days, campaigns=names, format=format_.value)
    _tell(out, counts, as_json=as_json)


def _tell(out: Path, counts: dict[str, int], *, as_json: bool) -> None:
    """Nothing; prints what was written and where."""
    if as_json:
        places = {"requests": str(out / "requests"), "truth": str(out / "truth.parquet")}
        typer.echo(json.dumps({**places, "counts": counts}))
        return
    typer.echo(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
    typer.echo(f"requests {out / 'requests'}\ntruth    {out / 'truth.parquet'}")


def serve(
    logs: Logs,
    cron: Annotated[str, typer.Option("--cron", help="When the nightly job runs, in nights.timezone.")] = _CRON,
    days: Annotated[
        int | None,
        typer.Option("--days", help="Days that a night looks back on. Default: nights.days.", min=1, max=366),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Of the page, on this machine only.", min=1, max=65535)] = _PORT,
    config: ConfigFile = None,
    outputs: Outputs = None,
) -> None:
    """Keep the nightly and the on-demand job running on this machine, with a page to start and watch them.

    Where PREFECT_API_URL names a Prefect server, the jobs are served there.
    """
    from flows.serve import serve_flows

    _, folder = settings_of(config, None, outputs)
    serve_flows(logs, outputs=folder, config=config, cron=cron, days=days, port=port)
