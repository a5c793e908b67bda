"""A service that speaks like S3, on loopback, and a way to it that breaks off now and then."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow.fs

from refrain.config import PlacesConfig
from refrain.settings import load_settings

KEYS = {"AWS_ACCESS_KEY_ID": "planted-id", "AWS_SECRET_ACCESS_KEY": "planted-secret"}  # read by whoever reaches it
VARIABLE = "REFRAIN_TEST_S3"  # endpoint of a service that runs already, with these keys
_PIECE = 1 << 14


@dataclass(frozen=True)
class Service:
    """A running service: its endpoint, and the settings under which it is reached."""

    endpoint: str

    @property
    def config(self) -> PlacesConfig:
        """Settings with this endpoint."""
        return replace(load_settings().config.places, s3_endpoint=self.endpoint, attempts=3, connect_seconds=2.0)

    @property
    def override(self) -> str:
        """The endpoint as `--set` takes it."""
        return f"places.s3_endpoint={self.endpoint}"

    def system(self) -> Any:
        """A file system that may make buckets."""
        return pyarrow.fs.S3FileSystem(
            access_key="planted-id",
            secret_key="planted-secret",
            region="us-east-1",
            endpoint_override=self.endpoint,
            allow_bucket_creation=True,
        )

    def fill(self, bucket: str, files: dict[str, bytes]) -> str:
        """The URL of a bucket that then holds these objects by key."""
        system = self.system()
        system.create_dir(bucket)
        for key, data in files.items():
            with system.open_output_stream(f"{bucket}/{key}", compression=None) as out:
                out.write(data)
        return f"s3://{bucket}"

    def copy(self, folder: Path, bucket: str) -> str:
        """The URL of a bucket that then holds the files below a folder."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        return self.fill(bucket, {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})


def why_not() -> str:
    """Why no service can be started here; empty where one can."""
    there = os.environ.get(VARIABLE) or (find_spec("moto") and find_spec("flask"))
    return "" if there else "moto's server is not installed (pip install 'moto[server]')"


@contextmanager
def serving() -> Iterator[Service]:
    """A service without buckets, or the one that the environment names."""
    if endpoint := os.environ.get(VARIABLE):
        yield Service(endpoint)
        return
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield Service(f"http://{host}:{port}")
    finally:
        server.stop()


@dataclass
class Breaking:
    """A relay to a service that cuts the next `cuts` answers after `after` bytes."""

    service: Service
    cuts: int
    after: int
    done: int = 0
    _listener: socket.socket = field(default_factory=socket.socket)

    @contextmanager
    def running(self) -> Iterator[Service]:
        """The service behind the relay."""
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()
        try:
            yield Service(f"http://127.0.0.1:{self._listener.getsockname()[1]}")
        finally:
            self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                host, port = self.service.endpoint.removeprefix("http://").split(":")
                far = socket.create_connection((host, int(port)))
                threading.Thread(target=self._carry, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, True), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        carried = 0
        with suppress(OSError), source, sink:
            while data := source.recv(_PIECE):
                carried += len(data)
                if answers and carried > self.after and self.done < self.cuts:
                    self.done += 1
                    sink.sendall(data[: _PIECE // 2])
                    for end in (sink, source):  # closing alone would wait for the other thread's read
                        end.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(data)
