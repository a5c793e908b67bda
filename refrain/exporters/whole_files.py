"""A file that appears whole or not at all, for its owner's eyes alone: it names accounts and quotes prompts."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from refrain.errors import InputError

_MODE = 0o600


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Nothing; `path` then holds the parts one after the other, or what it held before. InputError for a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder", hint="this format is one file: name it with --to")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
