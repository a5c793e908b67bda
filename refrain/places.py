"""Files written to places: here or in a bucket, whole or not at all; and what places are called."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from refrain.artifacts import aside
from refrain.config import PlacesConfig
from refrain.errors import InputError
from refrain.file_systems import system_of, tried
from refrain.place_urls import Place, is_url, parse_place, settled, shown_url
from refrain.settings import load_settings

__all__ = ["Place", "is_url", "open_output", "parse_place", "put", "put_folder", "settled", "shown_url"]

_COPY_BYTES = 8 << 20


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
    return load_settings().config.places if config is None else config
