"""What reading needs of Google Cloud Storage's JSON interface, on loopback: list, headers and bytes of planted objects.

Source: https://cloud.google.com/storage/docs/json_api/v1/objects
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

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


class Storage(ThreadingHTTPServer):
    """Objects of one bucket by key, each with its generation."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects = {name: (data, 1) for name, data in objects.items()}

    def replace(self, name: str, data: bytes) -> None:
        """The object holds other bytes, as its next generation."""
        self.objects[name] = (data, self.objects[name][1] + 1)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Storage

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
    with Storage(objects) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
