"""The findings that people dismissed, as they stand in the ledger. Each method is one transaction."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from refrain.known import Suppression
from refrain.ledger.database import Database
from refrain.ledger.tables import marks, suppressions
from refrain.suppressed_list import is_news, no_such

_LISTS = ("texts", "members", "families", "tests", "benign")
_WORDS = ("reason", "by", "when")


class Dismissed:
    """The suppressions of a ledger whose store's key is called `key`."""

    def __init__(self, database: Database, key: str) -> None:
        self._database = database
        self._key = key

    def entries(self) -> list[Suppression]:
        """All of them, in the order of their names."""
        with self._database.reading() as connection:
            return _read(connection)

    def add(self, entry: Suppression) -> bool:
        """Whether the ledger changed: it then has the entry. One of the same name is replaced where it is of the same
        templates; where but the moment is the same it stays. InputError where the name is another finding's."""
        with self._database.writing() as connection:
            old = next((old for old in _read(connection) if old.name == entry.name), None)
            news = is_news(old, entry)
            if news:
                self._replace(connection, entry.name, entry)
        return news

    def add_missing(self, entries: Iterable[Suppression]) -> int:
        """How many of the entries were not there and are now, all or none; InputError where a name is another
        finding's."""
        with self._database.writing() as connection:
            there = {old.name: old for old in _read(connection)}
            news = [entry for entry in entries if is_news(there.get(entry.name), entry) and entry.name not in there]
            for entry in news:
                self._replace(connection, entry.name, entry)
        return len(news)

    def remove(self, name: str) -> Suppression:
        """The entry of this name, which is gone then; InputError where there is none."""
        with self._database.writing() as connection:
            there = _read(connection)
            gone = next((entry for entry in there if entry.name == name), None)
            if gone is None:
                raise no_such(name, self._database.name, there)
            self._replace(connection, name, None)
        return gone

    def change(self, change: Callable[[Suppression], Suppression | None]) -> int:
        """How many entries are then as `change` has them, or gone where it has none."""
        changed = 0
        with self._database.writing() as connection:
            for old in _read(connection):
                new = change(old)
                if new != old:
                    changed += 1
                    self._replace(connection, old.name, new)
        return changed

    def _replace(self, connection: sa.Connection, name: str, entry: Suppression | None) -> None:
        connection.execute(suppressions.delete().where(suppressions.c.name == name))
        if entry is not None:
            connection.execute(suppressions.insert().values(**_values(entry)))
        # Members are digests under this store's key: no other store may read them as its own.
        connection.execute(marks.update().where(marks.c.key.is_(None)).values(key=self._key))


def _read(connection: sa.Connection) -> list[Suppression]:
    entries = []
    for row in connection.execute(sa.select(suppressions)):
        values: dict[str, Any] = dict(row._mapping)
        entries.append(Suppression(**values | {name: tuple(values[name]) for name in _LISTS}))
    return sorted(entries, key=lambda entry: entry.name)  # not by the database, whose collation may be any


def _values(entry: Suppression) -> dict[str, object]:
    """An entry's columns; PostgreSQL takes no NUL in a text."""
    values = asdict(entry)
    return {name: value.replace("\x00", "\\x00") if name in _WORDS else value for name, value in values.items()}
