"""The process's heap: what one step frees, the next takes over.

A stage makes and drops arrays of hundreds of megabytes, one after another. As a rule each comes fresh from the kernel,
which clears every page of it at the first touch, and goes back to it at once: up to a quarter of a stage's processor
time. Pages that were touched before cost nothing.
"""

import ctypes
import os
import sys

# mallopt(3) of the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_NEVER = -1
_STEP_BYTES = 64 << 20  # by which the heap grows


def keep_freed() -> None:
    """Nothing; from here on the process keeps what it frees, in one heap for all threads and for Arrow's buffers.
    Where the C library is another, nothing changes. Worth most before numpy starts its threads."""
    library = _library()
    if library is None:
        return
    for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER), (_TOP_PAD, _STEP_BYTES), (_ARENA_MAX, 1)):
        library.mallopt(option, value)
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"  # read when Arrow is imported
    if arrow := sys.modules.get("pyarrow"):
        arrow.set_memory_pool(arrow.system_memory_pool())


def give_back() -> None:
    """Nothing; what is free goes back to the system."""
    if library := _library():
        library.malloc_trim(0)


def _library() -> ctypes.CDLL | None:
    """The GNU C library of this process."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
