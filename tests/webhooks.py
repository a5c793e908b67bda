"""A web server on the loopback that hears what a webhook is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


@dataclass
class Hook:
    """A web server that answers with these statuses in turn, the last one for ever, and keeps what it hears."""

    statuses: list[int]
    heard: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    tries: int = 0
    url: str = ""


@contextmanager
def hook(*statuses: int, content: str = "application/json") -> Iterator[Hook]:
    """A webhook on the loopback."""
    found = Hook(list(statuses))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = found.statuses[min(found.tries, len(found.statuses) - 1)]
            found.tries += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == content
            found.bodies.append(body)
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            if status < 300:
                found.heard.append(json.loads(body))
            self.send_response(status)
            if status == 302:
                self.send_header("Location", found.url)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        found.url = f"http://127.0.0.1:{server.server_port}/secret-path"
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
