"""A full disk told in our words, whichever library met it."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from refrain.errors import RefrainError, StoreError

_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# DuckDB, Arrow and faiss have the system's words in theirs; numpy tells of a short write alone.
_WORDS = re.compile(
    r"no space left on device|disk quota exceeded|file too large|\d+ requested and \d+ written", re.IGNORECASE
)
_DUCKDB = frozenset({"IOException", "OutOfMemoryException", "FatalException"})  # importing it here would cost a start


class DiskFullError(StoreError):
    """There is no room for what a stage writes; nothing of it was published."""


@contextmanager
def told_of_full_disk(outputs: Path) -> Iterator[None]:
    """A context that raises DiskFullError in the place of whatever a library says of a full disk, a quota or a file
    that may grow no further; its text stays out, as it may quote the data."""
    try:
        yield
    except RefrainError:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        raise DiskFullError(
            f"there is no space left to write in {outputs}",
            hint="make room and give the same command again: what is finished stays, and nothing half was published",
        ) from None


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or one that it was made of, tells of a full disk."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _ERRORS:
            return True
        # Other kinds may quote a record, and that may say anything.
        if (isinstance(error, OSError | RuntimeError) or type(error).__name__ in _DUCKDB) and _WORDS.search(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False
