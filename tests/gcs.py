"""What reading needs of Google Cloud Storage's JSON interface, on loopback: list, headers and bytes of planted objects.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import Request, urlopen

BUCKET = "gcs-logs"
_TIME = "2026-01-05T10:00:00.000Z"


def _described(name: str, data: bytes, generation: int) -> dict[str, Any]:
    return {
        "kind": "storage#object",
        "id": f"{BUCKET}/{name}/{generation}",
        "name": name,
        "bucket": BUCKET,
        "generation": str(generation),
        "metageneration": "1",
        "size": str(len(data)),
        "etag": f"etag{generation}",
        "timeCreated": _TIME,
        "updated": _TIME,
    }


@dataclass(frozen=True)
class Storage:
    """A storage with one bucket, in a process of its own: Arrow keeps Python's lock while it asks for headers."""

    endpoint: str

    def put(self, name: str, data: bytes) -> None:
        """The object holds these bytes, as its next generation."""
        with urlopen(Request(f"{self.endpoint}/{quote(name)}", data, method="PUT")):
            pass


class _Server(ThreadingHTTPServer):
    objects: ClassVar[dict[str, tuple[bytes, int]]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_PUT(self) -> None:
        name = unquote(self.path[1:])
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.objects[name] = (data, self.server.objects.get(name, (b"", 0))[1] + 1)
        self._say(200, {})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        listing = f"/storage/v1/b/{BUCKET}/o"
        if url.path == listing:
            self._say(200, self._list(query))
            return
        name = unquote(url.path.removeprefix(f"{listing}/").removeprefix(f"/{BUCKET}/"))
        if name not in self.server.objects:
            self._say(404, {"error": {"code": 404, "message": "No such object"}})
            return
        data, generation = self.server.objects[name]
        if url.path.startswith(f"{listing}/") and query.get("alt") != "media":
            self._say(200, _described(name, data, generation))
            return
        asked = self.headers.get("Range")
        first, _, last = (asked or "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("X-Goog-Generation", str(generation))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(part)

    def _list(self, query: dict[str, str]) -> dict[str, Any]:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        items, prefixes = [], set()
        for name, (data, generation) in sorted(self.server.objects.items()):
            if not name.startswith(prefix):
                continue
            folder, sign, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if sign:
                prefixes.add(f"{prefix}{folder}{sign}")
            else:
                items.append(_described(name, data, generation))
        return {"kind": "storage#objects", "items": items, "prefixes": sorted(prefixes)}

    def _say(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing; requests are no news."""


@contextmanager
def storing(objects: dict[str, bytes]) -> Iterator[Storage]:
    """A storage with one bucket of these objects."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            storage = Storage(f"http://127.0.0.1:{int(process.stdout.readline())}")
            for name, data in objects.items():
                storage.put(name, data)
            yield storage
        finally:
            process.kill()


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201 (what the tests wait for)
        server.serve_forever()
