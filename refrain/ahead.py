"""Items made in a thread of their own while those before them are used."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The items, in order; while one is used the next is made. An error in making one is raised in its place.

    Worth it where both sides leave the interpreter to others: a query that runs, a table that is compressed.
    """
    source = iter(items)
    with ThreadPoolExecutor(1) as maker:  # leaving it waits for what is being made
        coming = maker.submit(_next, source)
        while made := coming.result():
            coming = maker.submit(_next, source)
            yield made[0]


def _next(source: Iterator[Item]) -> tuple[Item] | None:
    """The next item, if there is one."""
    for item in source:
        return (item,)
    return None
