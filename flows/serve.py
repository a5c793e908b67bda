"""Both deployments on one machine: Prefect's own server as a child, and a runner that waits for it to hand out runs.

The server keeps its state (SQLite) in `<outputs>/.prefect`, answers on the loopback only and reports to nobody. Prefect
without a server, its "ephemeral" mode, would not do: it has no scheduler and no page. Where PREFECT_API_URL names a
server already, that one is used and none is started.

Prefect reads its settings when it is imported, so this module imports it late.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.error import URLError
from urllib.request import urlopen

from refrain.errors import ConfigError, InputError, RefrainError
from refrain.place_urls import settled
from refrain.settings import load_settings

LOOPBACK = "127.0.0.1"
_START_SECONDS = 120.0  # a first start makes the database and takes 13 to 26 s on two cores
_STOP_SECONDS = 15.0
_POLL_SECONDS = 0.25


def serve_flows(
    logs: list[str], *, outputs: Path, config: Path | None, cron: str, days: int | None, port: int, limit: int = 1
) -> None:
    """Nothing; serves `nightly` (at `cron`, in the zone of the nights) and `recluster` until it is interrupted.

    `limit` runs at a time over both: a store has one writer. ConfigError where the schedule cannot be read,
    RefrainError where the server does not start.
    """
    home = outputs.resolve() / ".prefect"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = os.environ.get("PREFECT_API_URL")
    os.environ.update(settings(home, given or f"http://{LOOPBACK}:{port}/api"))
    parameters: dict[str, object] = {
        "logs": [settled(log) for log in logs],
        "config": str(config.resolve()) if config else None,
        "outputs": str(outputs.resolve()),
    }
    with _nothing() if given else _server(home, port):
        _serve(parameters, cron, days, load_settings(config).config.nights.timezone, limit)


def settings(home: Path, api: str) -> dict[str, str]:
    """Prefect's settings for this process and its children."""
    page = api.removesuffix("/api")
    return {
        "DO_NOT_TRACK": "1",
        "PREFECT_API_URL": api,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # By default any page in a browser on this machine may call the server, and start runs.
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": page,
        "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true",
    }


def _serve(parameters: dict[str, object], cron: str, days: int | None, zone: str, limit: int) -> None:
    """Nothing; registers both deployments and runs what the server hands out."""
    from prefect import serve
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.nightly import nightly
    from flows.recluster import recluster

    try:
        schedule = Cron(cron, timezone=zone)
        every_night = nightly.to_deployment(
            "every-night",
            schedule=schedule,
            paused=False,
            parameters={**parameters, "days": days},
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
    except ValueError:
        raise ConfigError(f"{cron!r} is no schedule", hint="as cron has it: '0 3 * * *' is every day at 3:00") from None
    on_demand = recluster.to_deployment(
        "on-demand", parameters=dict(parameters), entrypoint_type=EntrypointType.MODULE_PATH
    )
    # Prefect types these for both worlds; called outside an event loop they return a deployment.
    serve(cast("RunnerDeployment", every_night), cast("RunnerDeployment", on_demand), limit=limit)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _server(home: Path, port: int) -> Iterator[None]:
    """A context in which Prefect's server answers on the loopback."""
    _require_free(port)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK, "--port", str(port)]
    # In a session of its own: Ctrl-C reaches the runner first, which then still has a server to say goodbye to.
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
    try:
        _wait_until_healthy(process, port, home)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _require_free(port: int) -> None:
    """Nothing; InputError where something listens on the port: it would answer for a server that cannot start."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            raise InputError(f"port {port} is taken", hint="give another with --port") from None


def _wait_until_healthy(process: "subprocess.Popen[bytes]", port: int, home: Path) -> None:
    """Nothing; the server answers. RefrainError where it ends or stays silent, naming its log."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urlopen(f"http://{LOOPBACK}:{port}/api/health", timeout=_STOP_SECONDS) as answer:
                if answer.status == HTTPStatus.OK:
                    return
        except (URLError, OSError):
            time.sleep(_POLL_SECONDS)
    raise RefrainError(
        f"Prefect's server did not start on port {port}",
        hint=f"its own words are in {home / 'server.log'}",
    )
