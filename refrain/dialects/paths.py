"""Values at dotted paths, whether a log writes them flat ("a.b.c"), nested, or half and half.

Attributes of OpenTelemetry are flat; exports of them are often nested (a column `attributes` with objects), and lists
are written as `a.0.b`, `a.1.b` (OpenInference, "Attribute flattening"; OpenLLMetry). What these functions walk is
bounded by the path that is asked for, never by the depth of the record.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

_DEEPEST_NAME = 4  # objects in objects whose names are told
_PLACE = re.compile(r"\.\d+(?:\.|$)")
_INDEX_DIGITS = 6  # of a position in a list; no request has a million messages


def find(tree: object, path: str) -> Any:
    """The value at `path`; None where there is none or a null."""
    if not isinstance(tree, dict):
        return None
    value = tree.get(path)
    if value is None:
        for head, rest in _cuts(path):
            inner = tree.get(head)
            if inner is not None and (value := find(inner, rest)) is not None:
                break
    return value


@lru_cache(maxsize=4096)
def _cuts(path: str) -> tuple[tuple[str, str], ...]:
    """A path cut in two at each of its dots."""
    return tuple((path[:at], path[at + 1 :]) for at, mark in enumerate(path) if mark == "." and at)


def first(trees: Iterable[object], *paths: str) -> Any:
    """The first value that there is: all paths in the first tree, then in the next."""
    for tree in trees:
        if tree:
            for path in paths:
                value = find(tree, path)
                if value is not None:
                    return value
    return None


def below(tree: object, path: str) -> dict[str, Any]:
    """What lies below `path`, under the rest of its path: flat keys stay flat, nested values stay nested."""
    found: dict[str, Any] = {}
    if not isinstance(tree, dict):
        return found
    prefix = f"{path}."
    for key, value in tree.items():
        if value is None or not isinstance(key, str):
            continue
        if key.startswith(prefix):
            found[key[len(prefix) :]] = value
        elif isinstance(value, dict):
            if key == path:
                found.update({name: item for name, item in value.items() if isinstance(name, str)})
            elif prefix.startswith(f"{key}."):
                found.update(below(value, path[len(key) + 1 :]))
    return found


def indexed(tree: object, path: str) -> list[Any]:
    """The items of the list at `path`, written as a list or as `path.0`, `path.1`; these are objects where there is
    more below them. Gaps are closed."""
    whole = find(tree, path)
    if isinstance(whole, list | tuple):
        return list(whole)
    whole_items: dict[int, Any] = {}
    parts: dict[int, dict[str, Any]] = {}
    for key, value in below(tree, path).items():
        number, dot, rest = key.partition(".")
        if not (number.isascii() and number.isdigit() and len(number) <= _INDEX_DIGITS):
            continue
        if dot:
            parts.setdefault(int(number), {})[rest] = value
        elif isinstance(value, dict):
            parts.setdefault(int(number), {}).update(value)
        else:
            whole_items[int(number)] = value
    items = {**whole_items, **parts}
    return [items[at] for at in sorted(items)]


def names(tree: object, before: str = "") -> Iterator[str]:
    """The paths of a tree's values, dotted; a list that is written with its positions is `path.N`."""
    if not isinstance(tree, dict):
        return
    for key, value in tree.items():
        if not isinstance(key, str) or value is None:
            continue
        path = f"{before}{key}"
        place = _PLACE.search(path)
        if place:
            yield f"{path[: place.start()]}.N"
        elif isinstance(value, dict) and before.count(".") < _DEEPEST_NAME:
            yield from names(value, f"{path}.")
        else:
            yield path
