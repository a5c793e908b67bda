"""`hash`: what the door makes of ids, so that a known one is found in what was read with `ingest.hash`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from refrain.cli.given import given_ids
from refrain.cli.options import AsJson, ConfigFile, Overrides, settings_of


def add_to(app: typer.Typer) -> None:
    """Nothing; `app` then has the command of this module."""
    app.command(
        "hash",
        epilog="Examples:\n\nrefrain hash accounts.txt\n\n"
        "refrain hash - < ids.txt | refrain slice save known --accounts -\n\nrefrain hash addresses.txt --networks",
    )(hash_ids)


def hash_ids(
    ids: Annotated[Path, typer.Argument(metavar="FILE|-", help="Ids or addresses, one a line; '-' reads stdin.")],
    networks: Annotated[
        bool, typer.Option("--networks", help="Hash the network that each address lies in instead of the address.")
    ] = False,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Print the keyed hashes that stand for ids in a log read with ingest.hash, one a line, in order.

    The key is in $REFRAIN_HASH_KEY; ids are read from a file or from stdin, as arguments stand in lists of processes.
    """
    from refrain.door import open_door

    settings, _ = settings_of(config, overrides, None)
    ingest = settings.config.ingest
    door = open_door(ingest if ingest.hash else replace(ingest, hash=ingest.account))
    assert door is not None  # there is a column
    hashes = [door.network(text) if networks else door.hashed(text) for text in given_ids(ids)]
    typer.echo(json.dumps(hashes) if as_json else "\n".join(hashes))
