"""The formats of logs that can be read, each a module that is imported when it is first asked for.

Another package adds one by an entry point of the group `refrain.dialects`: its name is the format's, and it loads a
`Dialect` (docs/logs.md).
"""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from refrain.dialects.dialect import REASONS, Bad, Dialect, Passed, Record
from refrain.errors import ConfigError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "AUTO", "BUILT_IN", "GROUP", "OWN", "REASONS", "Bad", "Dialect", "Passed", "Record", "dialect", "dialects",
    "identity", "names",
]  # fmt: skip

AUTO, OWN = "auto", "refrain"  # values of ingest.format that are no dialect
GROUP = "refrain.dialects"
# Name -> module of this package with `DIALECT`. One line a format; the order is the order of asking.
BUILT_IN: dict[str, str] = {
    "otel": "otel",
    "openinference": "openinference",
    "langfuse": "langfuse",
    "langsmith": "langsmith",
    "openai": "openai",
    "anthropic": "anthropic",
    "wildchat": "wildchat",
    "litellm": "litellm",
    "helicone": "helicone",
    "bedrock": "bedrock",
}


def names() -> tuple[str, ...]:
    """The names of the formats, in the order of asking: those built in, then those of other packages."""
    return (*BUILT_IN, *sorted(_plugins()))


@cache
def dialect(name: str) -> Dialect:
    """The format called `name`; ConfigError where there is none, or its package does not give one."""
    if name in BUILT_IN:
        found: Dialect = import_module(f"{__name__}.{BUILT_IN[name]}").DIALECT
        return found
    if name not in _plugins():
        raise ConfigError(f"there is no format {name!r}", hint=f"there are: {', '.join(names())}")
    try:
        loaded = _plugins()[name].load()
    except Exception as error:
        raise ConfigError(f"the format {name!r} of another package cannot be loaded: {type(error).__name__}") from error
    if not isinstance(loaded, Dialect) or loaded.name != name:
        raise ConfigError(f"the entry point {name!r} of {GROUP} gives no Dialect of that name")
    return loaded


def dialects() -> Iterator[Dialect]:
    """Every format, imported one after another."""
    return (dialect(name) for name in names())


def identity(name: str) -> str:
    """What stands for a format where results are addressed: its version and its code, or its package's version."""
    found = dialect(name)
    if name in BUILT_IN:
        from refrain.code import code_digest

        return f"{name} {found.version} {code_digest(f'{__name__}.{BUILT_IN[name]}')}"
    package = _plugins()[name].dist
    return f"{name} {found.version} {package.name if package else ''} {package.version if package else ''}"


@cache
def _plugins() -> "dict[str, EntryPoint]":
    """The formats of other packages by name; ConfigError where one has a name that is taken."""
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in (AUTO, OWN, *BUILT_IN, *found):
            raise ConfigError(f"two formats are called {point.name!r}", hint=f"{GROUP}: uninstall one of the packages")
        found[point.name] = point
    return found
