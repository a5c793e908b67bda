"""What one record of a log says of another: collected in a first pass, looked up in the second.

The table is a small SQLite file in the folder of the work, so that memory stays flat; processes that read open it
read-only. What several records say of one key adds up, the later one in the order of the log before the earlier.
"""

import json
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from refrain.dialects.dialect import Facts

_ROWS = 10_000  # of a transaction


def nothing_known(key: str) -> Facts | None:
    """None: for a record that is read alone."""
    return None


def added(held: dict[str, Facts], key: str, facts: Facts) -> None:
    """Nothing; `held` then knows these facts of the key too, and they come before what it knew. A null says nothing."""
    held[key] = {**held.get(key, {}), **{name: value for name, value in facts.items() if value is not None}}


def write_facts(path: Path, told: Iterable[tuple[str, Facts]]) -> int:
    """The number of keys; the table then lies at `path`, which must not exist yet."""
    with closing(sqlite3.connect(path, isolation_level=None)) as table:
        path.chmod(0o600)
        table.execute("PRAGMA journal_mode = OFF")  # a file that a crash leaves is of no use anyway
        table.execute("PRAGMA synchronous = OFF")
        table.execute("CREATE TABLE facts (key TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID")
        held: dict[str, Facts] = {}
        for key, facts in told:
            added(held, key, facts)
            if len(held) >= _ROWS:
                _store(table, held)
                held = {}
        _store(table, held)
        return int(table.execute("SELECT count(*) FROM facts").fetchone()[0])


def _store(table: sqlite3.Connection, held: Mapping[str, Facts]) -> None:
    table.execute("BEGIN")
    for key, facts in held.items():
        row = table.execute("SELECT facts FROM facts WHERE key = ?", (_text(key),)).fetchone()
        known = {**(json.loads(row[0]) if row else {}), **facts}
        table.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (_text(key), json.dumps(known, sort_keys=True)))
    table.execute("COMMIT")


def _text(key: str) -> str:
    """The key as SQLite takes it: half a surrogate pair is no text there."""
    return key.encode("utf-8", "backslashreplace").decode()


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


class KnownFacts:
    """A table that is read: a Lookup."""

    def __init__(self, path: Path) -> None:
        self._table = _open(path)

    def __call__(self, key: str) -> Facts | None:
        row = self._table.execute("SELECT facts FROM facts WHERE key = ?", (_text(key),)).fetchone()
        found: Facts | None = json.loads(row[0]) if row else None
        return found

    def close(self) -> None:
        """Nothing; the table can be removed then."""
        self._table.close()
