"""URLs of places: a bucket at Amazon S3 and what speaks like it, at Google or Azure, and what may be shown of one.

A URL that carries a user, a password or a token is refused unread, as it would stand in lists of processes.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from refrain.errors import InputError
from refrain.printable import printable

SCHEMES = ("s3", "gs", "abfs", "abfss")
_SAME = {"gcs": "gs", "s3a": "s3"}  # other tools' names
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_QUERY = re.compile(r"\?[&;A-Za-z0-9_.%~-]*=")
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Place:
    """A bucket (at Azure an account's container), and a key or the beginning of keys in it, which may be empty."""

    scheme: str
    account: str  # Azure's
    bucket: str
    key: str

    @property
    def path(self) -> str:
        """What Arrow's file system calls it."""
        return f"{self.bucket}/{self.key}" if self.key else self.bucket

    @property
    def url(self) -> str:
        """The URL, which holds no secret."""
        if self.account:
            return f"{self.scheme}://{self.bucket}@{self.account}/{self.key}"
        return f"{self.scheme}://{self.path}"

    def at(self, path: str) -> "Place":
        """The place that the file system calls `path`."""
        return Place(self.scheme, self.account, self.bucket, path.partition("/")[2])


def is_url(source: str) -> bool:
    """Whether a source names a place and no file: whatever has a scheme, known or not."""
    return _URL.match(source) is not None


def parse_place(url: str) -> Place:
    """The place that `url` names. InputError, without the URL's secrets, where it names none or carries a secret."""
    found = _URL.match(url)
    scheme = _SAME.get(found[1].lower(), found[1].lower()) if found else ""
    if found is None or scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise InputError(f"{shown_url(url)} is at no place that is known", hint=f"known: {known} and local files")
    host, _, key = found[2].partition("/")
    if _carries_secret(found[2], azure=scheme.startswith("abfs")):
        raise InputError(
            f"{shown_url(url)} carries a user, a password or a token",
            hint="credentials come from the environment or the instance (docs/places.md)",
        )
    account = ""
    if scheme.startswith("abfs"):
        host, _, account = host.partition("@")
        if not account:
            raise InputError(f"{shown_url(url)} names no account", hint=f"{scheme}://CONTAINER@ACCOUNT/PATH")
    if not host or any(sign in host for sign in "*?["):
        raise InputError(f"{shown_url(url)} names no bucket", hint="a pattern may stand behind the bucket's name only")
    return Place(scheme, account, host, key.strip("/"))


def settled(source: str) -> str:
    """A source that means the same in every folder; InputError for a URL that carries a secret."""
    if is_url(source):
        parse_place(source)
        return source
    return str(Path(source).resolve())


def shown_url(url: str) -> str:
    """A URL as it may be printed: without what stands before an @ with a colon, and without a query."""
    found = _URL.match(url)
    if found is None:
        return printable(url, _SHOWN_CHARACTERS)
    rest = found[2]
    query = _QUERY.search(rest)
    rest = rest[: query.start()] + "?***" if query else rest
    before, sign, after = rest.rpartition("@")
    if sign and (":" in before or not found[1].lower().startswith("abfs")):
        rest = f"***@{after}"
    return printable(f"{found[1]}://{rest}", _SHOWN_CHARACTERS)


def _carries_secret(rest: str, *, azure: bool) -> bool:
    host = rest.partition("/")[0]
    return _QUERY.search(rest) is not None or ("@" in host and (not azure or ":" in host))
