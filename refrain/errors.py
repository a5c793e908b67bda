"""The errors that people are meant to read: one sentence, a hint, an exit code, never a line of a log."""

import os
import traceback
from pathlib import Path

_FRAMES = 3  # of a fault: ours that it rose in, innermost first


class RefrainError(Exception):
    """Something went wrong that a person can act on; printed without a traceback."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class InputError(RefrainError):
    """A log, a file or an argument that cannot be used."""

    exit_code = 2


class NoRequestsError(InputError):
    """A log that has nothing for the days that were asked for."""


class ConfigError(RefrainError):
    """A setting that does not exist, has the wrong type or is out of range."""

    exit_code = 2


class PlaceError(RefrainError):
    """A bucket or a database that cannot be reached, refuses, or has nothing there: trying again can help."""


class StoreError(RefrainError):
    """The outputs folder is locked, damaged, or lacks what was asked for."""


class LockHeldError(StoreError):
    """Another process is writing to the outputs folder: the one failure of a job that waiting mends."""


class LedgerError(StoreError):
    """The ledger cannot be reached or opened, or refuses what it was asked to write."""


class NoLedgerError(LedgerError):
    """There is no ledger yet: nothing was ever kept in one."""


class LedgerBusyError(LedgerError):
    """The ledger is written by another process, or cannot be reached now: trying again can help."""


class WorkerLostError(RefrainError):
    """A worker process was killed: by a person, or by the system for want of memory. Trying again can help."""


class WorkerError(Exception):
    """An unexpected error in a worker process: its `fault_place`, and nothing else of it."""


def fault_place(error: BaseException) -> str:
    """The kind of an unexpected error and where it rose. Its text stays out: libraries quote the data in theirs."""
    if isinstance(error, WorkerError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    # The last three of ours say more than those of the library that raised it.
    ours = [frame for frame in frames if f"{os.sep}site-packages{os.sep}" not in frame.filename] or frames
    place = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(ours[-_FRAMES:]))
    return f"{type(error).__name__} at {place}"
