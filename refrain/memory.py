"""The peak of a process's memory, over a stretch of its life where the system can tell."""

import resource
import sys
from pathlib import Path

# Linux: writing 5 here sets the peak (VmHWM) back to what is in use (man 5 proc).
_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def reset_peak() -> bool:
    """Whether `peak_bytes` from here on counts only what follows; False where it counts from the process's start."""
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_bytes() -> int:
    """The largest resident memory of this process, in bytes, since `reset_peak` or else since its start."""
    try:
        for line in _STATUS.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # no /proc: macOS
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere
