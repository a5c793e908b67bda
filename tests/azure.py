"""What reading needs of Azure Blob Storage's REST interface, on loopback: list, properties and bytes of planted blobs.

Source: https://learn.microsoft.com/rest/api/storageservices/list-blobs, .../get-blob-properties, .../get-blob
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import Request, urlopen
from xml.sax.saxutils import escape

ACCOUNT, CONTAINER = "planted", "azure-logs"
_TIME = "Mon, 05 Jan 2026 10:00:00 GMT"
_LEASE = {"x-ms-lease-status": "unlocked", "x-ms-lease-state": "available", "x-ms-version": "2024-08-04"}


class _Server(ThreadingHTTPServer):
    blobs: ClassVar[dict[str, tuple[bytes, int]]] = {}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_PUT(self) -> None:
        name = unquote(self.path[1:])
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.blobs[name] = (data, self.server.blobs.get(name, (b"", 0))[1] + 1)
        self._say(201, b"", {})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        blob = unquote(url.path).strip("/").partition(f"{CONTAINER}/")[2]
        if query.get("action") == "getAccessControl":  # asks whether folders are real there; they are not
            self._say(400, b"", {"x-ms-error-code": "HierarchicalNamespaceNotEnabled"})
        elif query.get("comp") == "list":
            self._say(
                200,
                self._list(query.get("prefix", ""), query.get("delimiter", "")),
                {"Content-Type": "application/xml", **_LEASE},
            )
        elif not blob:
            held = {"x-ms-has-immutability-policy": "false", "x-ms-has-legal-hold": "false"}
            self._say(200, b"", {"ETag": '"0x0"', "Last-Modified": _TIME, **held, **_LEASE})
        elif blob not in self.server.blobs:
            self._say(404, b"", {"x-ms-error-code": "BlobNotFound"})
        else:
            self._give(*self.server.blobs[blob])

    do_HEAD = do_GET  # noqa: N815 (the name that the server looks for)

    def _give(self, data: bytes, version: int) -> None:
        headers = {
            "ETag": f'"0x{version}"',
            "Last-Modified": _TIME,
            "x-ms-creation-time": _TIME,
            "x-ms-blob-type": "BlockBlob",
            "x-ms-server-encrypted": "true",
            "Content-Type": "text/plain",
            **_LEASE,
        }
        asked = self.headers.get("x-ms-range") or self.headers.get("Range")
        if not asked:
            self._say(200, data, headers)
            return
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        span = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self._say(206, part, {**headers, "Content-Range": span})

    def _list(self, prefix: str, delimiter: str) -> bytes:
        found, folders = [], set()
        for name, (data, version) in sorted(self.server.blobs.items()):
            if not name.startswith(prefix):
                continue
            folder, sign, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if sign:
                folders.add(f"{prefix}{folder}{sign}")
                continue
            found.append(
                f"<Blob><Name>{escape(name)}</Name><Properties><Creation-Time>{_TIME}</Creation-Time>"
                f"<Last-Modified>{_TIME}</Last-Modified><Etag>0x{version}</Etag>"
                f"<Content-Length>{len(data)}</Content-Length><Content-Type>text/plain</Content-Type>"
                "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><LeaseStatus>unlocked</LeaseStatus>"
                "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties></Blob>"
            )
        found += [f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in sorted(folders)]
        head = '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/"'
        head += f' ContainerName="{CONTAINER}"><Prefix>{escape(prefix)}</Prefix>'
        return f"{head}<Blobs>{''.join(found)}</Blobs><NextMarker /></EnumerationResults>".encode()

    def _say(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing; requests are no news."""


def put(endpoint: str, name: str, data: bytes) -> None:
    """Nothing; the blob holds these bytes then, under another ETag."""
    with urlopen(Request(f"{endpoint}/{quote(name)}", data, method="PUT")):
        pass


@contextmanager
def storing(blobs: dict[str, bytes]) -> Iterator[str]:
    """The endpoint of a storage with one container of these blobs, in a process of its own."""
    with subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            for name, data in blobs.items():
                put(endpoint, name, data)
            yield endpoint
        finally:
            process.kill()


if __name__ == "__main__":
    with _Server(("127.0.0.1", 0), _Handler) as server:
        print(server.server_port, flush=True)  # noqa: T201 (what the tests wait for)
        server.serve_forever()
