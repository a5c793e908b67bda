"""The formats of logs that can be read, each a module that is imported when it is first asked for."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module

from refrain.dialects.dialect import Bad, Dialect, Passed, Record

__all__ = ["BUILT_IN", "Bad", "Dialect", "Passed", "Record", "dialect", "dialects", "names"]

# Name -> module of this package with `DIALECT`. One line a format; the order is the order of asking.
BUILT_IN: dict[str, str] = {
    "litellm": "litellm",
    "helicone": "helicone",
    "bedrock": "bedrock",
}


def names() -> tuple[str, ...]:
    """The names of the formats, in the order of asking."""
    return tuple(BUILT_IN)


@cache
def dialect(name: str) -> Dialect:
    """The format called `name`; KeyError where there is none."""
    found: Dialect = import_module(f"{__name__}.{BUILT_IN[name]}").DIALECT
    return found


def dialects() -> Iterator[Dialect]:
    """Every format, imported one after another."""
    return (dialect(name) for name in names())
