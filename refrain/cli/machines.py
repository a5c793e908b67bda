"""What makes traffic, and what keeps the jobs running: `simulate` and `serve`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.options import AsJson, ConfigFile, Outputs, settings_of
from refrain.errors import InputError

# The bundled sample, as refrain.simulate has it: enough for every planted campaign, and small.
_SEED, _REQUESTS = 7, 7000


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the commands of this module."""
    app.command("simulate", epilog="Example:\n\nrefrain simulate sample/ --seed 8")(simulate)
    app.command("serve", epilog="Example:\n\nrefrain serve --outputs outputs")(serve)


def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="An empty or new folder.")],
    seed: Annotated[int, typer.Option("--seed", help="The same seed writes the same traffic.")] = _SEED,
    requests: Annotated[int, typer.Option("--requests", help="About how many requests.", min=1)] = _REQUESTS,
    as_json: AsJson = False,
) -> None:
    """Write a small log with planted campaigns and look-alikes: OUT/requests, and the truth beside it."""
    from refrain.simulate import write_sample

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder", hint="choose another, or remove it")
    counts = write_sample(out, seed=seed, requests=requests)
    if as_json:
        places = {"requests": str(out / "requests"), "truth": str(out / "truth.parquet")}
        typer.echo(json.dumps({**places, "counts": counts}))
        return
    typer.echo(", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()))
    typer.echo(f"requests {out / 'requests'}\ntruth    {out / 'truth.parquet'}")


def serve(config: ConfigFile = None, outputs: Outputs = None) -> None:
    """Keep the nightly and the on-demand job running on this machine, with a page to start and watch them."""
    from flows.serve import serve_flows

    _, folder = settings_of(config, None, outputs)
    serve_flows(outputs=folder, config=config)
