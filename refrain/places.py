"""Places by URL: buckets at Amazon S3 and what speaks like it, Google Cloud Storage and Azure, through Arrow.

Credentials come from where the clouds' own tools look (environment, profile, the instance), never from a setting, and
a URL that carries some is refused unread. What a service says when it fails is replaced by words of ours.

Source: https://arrow.apache.org/docs/python/filesystems.html
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar

from refrain.artifacts import aside
from refrain.config import PlacesConfig
from refrain.errors import InputError, PlaceError
from refrain.printable import printable

SCHEMES = ("s3", "gs", "abfs", "abfss")
_SAME = {"gcs": "gs", "s3a": "s3"}  # other tools' names
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_VARIABLES = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "STORAGE_EMULATOR_HOST",
    "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN",
)  # fmt: skip
_QUERY = re.compile(r"[?&;][A-Za-z0-9_.-]+=")
_SHOWN_CHARACTERS = 300
_FIRST_PAUSE_SECONDS = 0.2  # between two tries, twice as long each time
_COPY_BYTES = 8 << 20
_UNREACHABLE = (
    "NETWORK_CONNECTION", "curlCode", "CURL error", "Could not connect", "Could not resolve", "timed out", "Timeout",
    "UNAVAILABLE", "new connection",
)  # fmt: skip
_REFUSED = (
    "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID", "EXPIRED_TOKEN",
    "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT", "HTTP status 401", "HTTP status 403", "PermissionDenied",
    "Unauthenticated", "AuthenticationFailed", "AuthorizationFailure", "PERMISSION_DENIED", "UNAUTHENTICATED",
    "credential", "Credential",
)  # fmt: skip
_ABSENT = ("NO_SUCH_BUCKET", "NO_SUCH_KEY", "RESOURCE_NOT_FOUND", "HTTP status 404", "Path does not exist", "NOT_FOUND",
           "NotFound")  # fmt: skip

Value = TypeVar("Value")


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


@lru_cache(maxsize=16)
def file_system(scheme: str, account: str, bucket: str, config: PlacesConfig, said: tuple[str | None, ...]) -> Any:
    """Arrow's file system for a scheme, with credentials from the environment or the instance.

    `said` are the values of `_VARIABLES`: what a long-lived process is given anew is another system.
    """
    from pyarrow import fs

    environment = dict(zip(_VARIABLES, said, strict=True)).get
    try:
        if scheme == "s3":
            endpoint = config.s3_endpoint or environment("AWS_ENDPOINT_URL_S3") or environment("AWS_ENDPOINT_URL")
            region = config.s3_region or environment("AWS_REGION") or environment("AWS_DEFAULT_REGION")
            if not region and not endpoint:
                region = fs.resolve_s3_region(bucket)
            return fs.S3FileSystem(
                anonymous=config.anonymous,
                region=region or "us-east-1",
                endpoint_override=endpoint or None,
                connect_timeout=config.connect_seconds,
                request_timeout=config.request_seconds,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=config.attempts),
            )
        if scheme == "gs":
            from datetime import timedelta

            endpoint = config.gs_endpoint or environment("STORAGE_EMULATOR_HOST")
            form, _, host = endpoint.rpartition("://") if endpoint else ("", "", "")
            limit = timedelta(seconds=config.request_seconds)
            return fs.GcsFileSystem(
                anonymous=config.anonymous,
                endpoint_override=host or None,
                scheme=form or None,
                retry_time_limit=limit,
            )
        return fs.AzureFileSystem(
            account.partition(".")[0],
            account_key=environment("AZURE_STORAGE_KEY"),
            sas_token=None if environment("AZURE_STORAGE_KEY") else environment("AZURE_STORAGE_SAS_TOKEN"),
            **_azure_authority(config.azure_endpoint),
        )
    except (OSError, ValueError, NotImplementedError) as error:
        raise explain(error, f"{scheme}://{bucket}") from None


def _azure_authority(endpoint: str) -> dict[str, str]:
    form, _, host = endpoint.rpartition("://")
    if not host:
        return {}
    form = form or "https"
    return {
        "blob_storage_authority": host,
        "dfs_storage_authority": host,
        "blob_storage_scheme": form,
        "dfs_storage_scheme": form,
    }


def system_of(place: Place, config: PlacesConfig) -> Any:
    """Arrow's file system for a place."""
    said = tuple(os.environ.get(name) for name in _VARIABLES)
    return file_system(place.scheme, place.account, place.bucket, config, said)


def explain(error: Exception, url: str) -> PlaceError:
    """What a person can do about a service's failure; nothing of what it said."""
    text = str(error)
    shown = shown_url(url)
    if isinstance(error, PermissionError) or any(word in text for word in _REFUSED):
        return PlaceError(
            f"{shown} refuses access", hint="credentials come from the environment or the instance (docs/places.md)"
        )
    if any(word in text for word in _UNREACHABLE):
        return PlaceError(f"{shown} cannot be reached", hint="is the endpoint right ([places]), and the network up?")
    if any(word in text for word in _ABSENT):
        return PlaceError(f"there is nothing at {shown}", hint="is the bucket's name right, and its region?")
    return PlaceError(f"{shown} cannot be read or written ({type(error).__name__})", hint="try again")


def tried(work: Callable[[], Value], url: str, config: PlacesConfig) -> Value:
    """What `work` returns, tried `config.attempts` times while it fails as a network does; PlaceError after that."""
    import pyarrow as pa

    pause = _FIRST_PAUSE_SECONDS
    for attempt in range(config.attempts):
        try:
            return work()
        except (OSError, pa.ArrowException) as error:
            lasting = isinstance(error, FileNotFoundError | PermissionError) or any(
                word in str(error) for word in (*_REFUSED, *_ABSENT)
            )
            if lasting or attempt == config.attempts - 1:
                raise explain(error, url) from None
        time.sleep(pause)
        pause *= 2
    raise AssertionError("attempts is at least 1")


@contextmanager
def open_output(to: str, config: PlacesConfig | None = None) -> Iterator[IO[bytes]]:
    """A binary file to write that lies whole at the path or URL `to` when the block ends well; nothing otherwise.

    What goes to a bucket is written to the machine's folder for temporary files first: an upload that was begun and
    broken off would leave a part of a file that looks whole, and could not be tried again.
    """
    if not is_url(to):
        path = Path(to)
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = aside(path.parent)
        try:
            with staging.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)
        return
    place = parse_place(to)
    if not place.key:
        raise InputError(f"{shown_url(to)} names a bucket and no file in it")
    with tempfile.TemporaryFile() as file:
        yield file
        file.flush()
        put(file, place, _or_default(config))


def put(file: IO[bytes], place: Place, config: PlacesConfig) -> None:
    """Nothing; the bytes of `file` then lie at `place`."""
    system = system_of(place, config)

    def upload() -> None:
        file.seek(0)
        with system.open_output_stream(place.path, compression=None) as out:  # else a name in .gz compresses
            shutil.copyfileobj(file, out, _COPY_BYTES)

    tried(upload, place.url, config)


def put_folder(folder: Path, to: str, config: PlacesConfig | None = None) -> int:
    """How many files of `folder`, at any depth, then lie below the URL `to` under their names, in their order."""
    place, config = parse_place(to), _or_default(config)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in paths:
        key = "/".join(part for part in (place.key, path.relative_to(folder).as_posix()) if part)
        with path.open("rb") as file:
            put(file, Place(place.scheme, place.account, place.bucket, key), config)
    return len(paths)


def _or_default(config: PlacesConfig | None) -> PlacesConfig:
    from refrain.settings import load_settings

    return load_settings().config.places if config is None else config
