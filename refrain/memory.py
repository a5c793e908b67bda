"""The peak of the memory of a process and of those that it started, over a stretch of its life."""

import resource
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

# Linux: writing 5 here sets the peak (VmHWM) back to what is in use (man 5 proc).
_CLEAR = Path("/proc/self/clear_refs")
_PROC = Path("/proc")
_EVERY_SECONDS = 0.25  # between looks at the workers


class PeakMeter:
    """The largest resident memory, in bytes, while the context is entered: this process's own peak, exact where the
    system can set it back, or what it and its workers held together at the moments that were looked at, whichever is
    more. Pages that several processes share count for each."""

    def __init__(self) -> None:
        self._peak = 0  # of what was seen, and in the end of this process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        reset_peak()
        if (_PROC / "self" / "task").is_dir():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._peak = max(self._peak, peak_bytes())  # now: whoever sets the peak back next would take it away

    @property
    def peak(self) -> int:
        """Bytes so far, and once the context is left until then."""
        return self._peak if self._ended.is_set() else max(peak_bytes(), self._peak)

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY_SECONDS):
            self._peak = max(self._peak, sum(map(_resident, _family("self"))))


def reset_peak() -> bool:
    """Whether `peak_bytes` from here on counts only what follows; False where it counts from the process's start."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """The largest resident memory of this process, in bytes, since `reset_peak` or else since its start."""
    with suppress(OSError, StopIteration):  # no /proc: macOS
        return _status_bytes("self", "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere


def _family(process: str) -> list[str]:
    """The process and all that it started, and these in turn, that are alive."""
    found = [process]
    for one in found:
        for children in (_PROC / one / "task").glob("*/children"):
            with suppress(OSError):  # it has ended
                found += children.read_text(encoding="ascii").split()
    return found


def _resident(process: str) -> int:
    with suppress(OSError, StopIteration):  # it has ended
        return _status_bytes(process, "VmRSS:")
    return 0


def _status_bytes(process: str, name: str) -> int:
    text = (_PROC / process / "status").read_text(encoding="utf-8", errors="replace")
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(name))
