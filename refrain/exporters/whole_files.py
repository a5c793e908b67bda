"""A file that appears whole or not at all, for its owner's eyes alone: it names accounts and quotes prompts."""

from collections.abc import Iterable
from pathlib import Path

from refrain.errors import InputError
from refrain.private_files import replacing


def write_whole(path: Path, parts: Iterable[bytes]) -> None:
    """Nothing; `path` then holds the parts one after the other, or what it held before. InputError for a folder."""
    if path.is_dir():
        raise InputError(f"{path} is a folder", hint="this format is one file: name it with --to")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.writelines(parts)
