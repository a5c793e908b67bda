"""Finds distillation campaigns in prompt logs: texts that recur over accounts that seem to have nothing in common.

Tables and arrays in, tables and arrays out. Nothing here imports torch or prefect.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refrain.analysis import open_run

__all__ = ["__version__", "open_run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`open_run`, imported when it is asked for: the command line must not wait for Arrow."""
    if name == "open_run":
        from refrain.analysis import open_run

        return open_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
