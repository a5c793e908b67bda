"""How many cores this process may use."""

import os


def core_count() -> int:
    """The cores that the process is allowed, where the system says so; else those that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
