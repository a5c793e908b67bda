"""A PostgreSQL of the tests' own: a cluster on loopback, under an unprivileged user, gone when the session is."""

import os
import pwd
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

USER = "refrain"
SERVER_USER = "postgres"  # the server refuses to run as root
LOCALE = ("--encoding=UTF8", "--locale=C")


@dataclass(frozen=True)
class Server:
    """A running server: its `port` on loopback and the password of `USER`."""

    port: int
    password: str

    def url(self, database: str = "postgres", *, password: bool = True) -> str:
        """Where one of its databases is."""
        shown = f":{self.password}" if password else ""
        return f"postgresql+psycopg://{USER}{shown}@127.0.0.1:{self.port}/{database}"

    def make_database(self) -> str:
        """The name of a new, empty database."""
        name = f"ledger_{secrets.token_hex(4)}"
        engine = sa.create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return name


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, None where PostgreSQL's server is not installed."""
    found = shutil.which("initdb")
    debian = [path / "bin" for path in Path("/usr/lib/postgresql").glob("*")]
    folders = [Path(found).resolve().parent] if found else []
    whole = [f for f in (*folders, *sorted(debian)) if (f / "initdb").exists() and (f / "pg_ctl").exists()]
    return whole[0] if whole else None


def why_not() -> str:
    """Why no server can be started here; empty where one can."""
    if programs() is None:
        return "PostgreSQL's initdb and pg_ctl are not installed (apt-get install postgresql)"
    if os.getuid() == 0:
        try:
            pwd.getpwnam(SERVER_USER)
        except KeyError:
            return f"PostgreSQL does not run as root, and there is no user {SERVER_USER!r}"
    return ""


@contextmanager
def running() -> Iterator[Server]:
    """A server with an empty cluster."""
    binaries = programs()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="refrain-pg-"))
    user = SERVER_USER if os.getuid() == 0 else None
    server = Server(_free_port(), secrets.token_hex(8))
    word = folder / "password"
    word.write_text(server.password)
    if user is not None:
        for path in (folder, word):
            shutil.chown(path, user)

    def call(program: str, *arguments: str) -> None:
        said = folder / f"{program}.said"
        with said.open("wb") as out:  # a pipe would be inherited by the server and never end
            done = subprocess.run(
                [str(binaries / program), *arguments],
                user=user,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            logs = [path.read_text() for path in (said, folder / "log") if path.exists()]
            raise RuntimeError(f"{program} failed:\n" + "\n".join(logs))

    data = str(folder / "data")
    try:
        call("initdb", "-D", data, "-U", USER, "--pwfile", str(word), "--auth=scram-sha-256", "--no-sync", *LOCALE)
        options = f"-p {server.port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
        call("pg_ctl", "-D", data, "-l", str(folder / "log"), "-w", "-t", "60", "-o", options, "start")
        try:
            yield server
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
