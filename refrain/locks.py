"""One writer for each outputs folder, and a message that says who it is."""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from refrain.errors import LockHeldError

# The operating system drops the lock with its holder, however that dies. The threads of one process share it: they are
# the partitions of one run.
_guard = threading.Lock()
_held: dict[Path, tuple[int, int]] = {}  # lock file -> descriptor, entries
_POLL_SECONDS = 0.5  # between two looks at a lock that is waited for


@contextmanager
def writer_lock(
    folder: Path, *, wait: float = 0.0, waiting: Callable[[str], None] = lambda holder: None
) -> Iterator[bool]:
    """True where this entry took the lock of `folder`, False where this process had it already.

    Where another process has it, it is waited for at most `wait` seconds, after `waiting` was told in words who has
    it; LockHeldError, naming the holder's process, where it still has it then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.resolve() / "lock"
    end, told = time.monotonic() + wait, False
    while True:
        try:
            entries = _enter(path)
            break
        except LockHeldError as error:
            left = end - time.monotonic()
            if left <= 0:
                raise
            if not told:
                waiting(error.message)
                told = True
        time.sleep(min(_POLL_SECONDS, left))
    try:
        yield not entries
    finally:
        with _guard:
            descriptor, entries = _held.pop(path)
            if entries > 1:
                _held[path] = (descriptor, entries - 1)
            else:
                os.ftruncate(descriptor, 0)
                os.close(descriptor)


def _enter(path: Path) -> int:
    """How often this process was in already; it is in once more then."""
    with _guard:
        descriptor, entries = _held.get(path, (-1, 0))
        if not entries:
            descriptor = _acquire(path)
        _held[path] = (descriptor, entries + 1)
        return entries


def _acquire(path: Path) -> int:
    """The descriptor that holds the lock, with this process's id written into the file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = _holder(os.pread(descriptor, 1000, 0))
        os.close(descriptor)
        raise LockHeldError(
            f"{holder} is writing to {path.parent.parent}", hint="wait for it, or give another folder with --outputs"
        ) from error
    with suppress(OSError):  # the note is for people: on a full disk the lock holds without it
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode(), 0)
    return descriptor


def _holder(note: bytes) -> str:
    """Words for the process that `note` names."""
    try:
        data = json.loads(note)
        pid, host = int(data["pid"]), str(data["host"])
    except (ValueError, KeyError, TypeError):
        return "another process"
    if host != os.uname().nodename:
        return f"process {pid} on {host}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return f"a child left behind by process {pid}, which is gone,"
    except PermissionError:
        pass
    return f"process {pid}"
