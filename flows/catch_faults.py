"""What a failing task says, and when it is tried again.

Prefect keeps a failed task's exception as text in its database and its logs. Libraries quote the data in theirs, so
only our own words leave a task.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect.cache_policies import NO_CACHE

from refrain.errors import LedgerBusyError, LockHeldError, RefrainError, WorkerLostError, fault_place

# Seconds before each further try: a hiccup of a file system passes in a minute, another job on the same store in many.
RETRY_DELAYS = [60, 300, 900]
# An OSError that says what is the matter with the request: trying again cannot help.
_FINAL = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError)


class PassingError(RefrainError):
    """A failure that may pass: reading or writing went wrong, another process holds the store or the ledger, or a
    worker was killed."""


@contextmanager
def only_our_words() -> Iterator[None]:
    """A context out of which no text of a library comes: PassingError, another RefrainError, or a place in the code."""
    try:
        yield
    except (LockHeldError, LedgerBusyError, WorkerLostError) as error:
        raise PassingError(error.message, hint=error.hint) from None
    except RefrainError as error:
        raise type(error)(error.message, hint=error.hint) from None  # anew: without the error that it was made of
    except OSError as error:
        words = f"{error.filename or 'the system'}: {error.strerror}" if error.strerror else fault_place(error)
        kind = RefrainError if isinstance(error, _FINAL) else PassingError
        raise kind(words) from None
    except Exception as error:  # noqa: BLE001 (whatever it is, its text may quote the log)
        raise RefrainError(f"this should not have happened: {fault_place(error)}") from None


def may_pass(task: Any, task_run: Any, state: Any) -> bool:
    """Whether another try can help: Prefect asks this of a failed task."""
    return isinstance(state.result(raise_on_failure=False), PassingError)


FIRM: dict[str, Any] = {
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "retries": len(RETRY_DELAYS),
    "retry_delay_seconds": RETRY_DELAYS,
    "retry_condition_fn": may_pass,
}
"""How a task is declared: nothing of it is kept by Prefect, and it is tried again where that can help."""
