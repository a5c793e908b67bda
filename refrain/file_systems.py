"""Arrow's file systems for places, and what is told of their failures.

Credentials come from where the clouds' own tools look (environment, profile, the instance), never from a setting. What
a service says when it fails is replaced by words of ours.

Source: https://arrow.apache.org/docs/python/filesystems.html
"""

import os
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

from refrain.config import PlacesConfig
from refrain.errors import PlaceError
from refrain.place_urls import Place, shown_url

_VARIABLES = (
    "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "STORAGE_EMULATOR_HOST",
    "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN",
)  # fmt: skip
_FIRST_PAUSE_SECONDS = 0.2  # between two tries, twice as long each time
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
