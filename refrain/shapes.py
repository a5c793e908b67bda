"""Values of a log as their shape: what kind, how long, how many, and not a character of them."""

from collections.abc import Mapping
from typing import Any

from refrain.batches import MISSING

_ITEMS = 4
_ROLES = frozenset({"system", "developer", "user", "human", "assistant", "ai", "model", "tool", "function"})


def shape(value: Any) -> str:
    """One line that says what a value looks like."""
    if value is None or value is MISSING:
        return "nothing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return f"number of {len(str(abs(value)))} characters"
    if isinstance(value, str):
        lines = value.count("\n") + 1
        return f"text of {len(value):,} characters" + (f" in {lines:,} lines" if lines > 1 else "")
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list):
        if value and all(isinstance(item, Mapping) for item in value):
            said = ", ".join(_message(item) for item in value[-_ITEMS:])
            return f"{len(value):,} messages: {'..., ' if len(value) > _ITEMS else ''}{said}"
        return f"list of {len(value):,}"
    return f"object of {len(value):,}" if isinstance(value, Mapping) else "other"


def _message(item: Mapping[str, Any]) -> str:
    """The role of a message, where it is one that everybody knows, and how long it is."""
    role, content = item.get("role"), item.get("content")
    named = role if isinstance(role, str) and role in _ROLES else "other"
    if isinstance(content, str):
        return f"{named} {len(content):,}"
    return f"{named} {len(content):,} parts" if isinstance(content, list) else f"{named} -"
