"""Files that nobody but their owner can read: what they hold names accounts or quotes a log."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Nothing; `path` then holds `text` whole, or what it held before, with mode 0600. A folder that is made for it has
    mode 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
