"""What one record of a log says of another: collected in a first reading, looked up in the second.

The table is a small SQLite file in the folder of the work, so that memory stays flat; processes that read open it
read-only. Users stand in it, who may be hashed only later (at the door): so nothing of it can be read from the disk.
Keys are keyed digests, facts are enciphered with the output of SHAKE256 (FIPS 202) over a key that one ingest draws and
keeps in memory, and a nonce of each row.
"""

import json
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b, shake_256
from pathlib import Path

from refrain.dialects.dialect import Facts

_ROWS = 10_000  # of a transaction
_KEY_BYTES, _NONCE_BYTES, _DIGEST_BYTES = 32, 16, 16


@dataclass(frozen=True)
class Table:
    """Where a table lies, and the key without which it says nothing."""

    path: Path
    key: bytes = field(repr=False)

    def place(self, key: str) -> bytes:
        """What stands for a key in the table."""
        return blake2b(key.encode("utf-8", "surrogatepass"), key=self.key, digest_size=_DIGEST_BYTES).digest()

    def seal(self, facts: Facts) -> bytes:
        """Facts as the table has them."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._enciphered(nonce, json.dumps(facts, sort_keys=True).encode())

    def open(self, sealed: bytes) -> Facts:
        """The facts that were sealed."""
        found: Facts = json.loads(self._enciphered(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]))
        return found

    def _enciphered(self, nonce: bytes, data: bytes) -> bytes:
        stream = shake_256(self.key + nonce).digest(len(data))
        return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(len(data))


def nothing_known(key: str) -> Facts | None:
    """None: for a record that is read alone."""
    return None


def added(held: dict[str, Facts], key: str, facts: Facts) -> None:
    """Nothing; `held` then knows these facts of the key too, and they come before what it knew. A null says nothing."""
    held[key] = {**held.get(key, {}), **{name: value for name, value in facts.items() if value is not None}}


def write_facts(path: Path, told: Iterable[tuple[str, Facts]]) -> Table:
    """The table of what is told, at `path`, which must not exist yet: what is told later of a key comes first."""
    table = Table(path, secrets.token_bytes(_KEY_BYTES))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = OFF")  # a file that a crash leaves is of no use anyway
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("CREATE TABLE facts (place BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID")
        held: dict[str, Facts] = {}
        for key, facts in told:
            added(held, key, facts)
            if len(held) >= _ROWS:
                _store(connection, table, held)
                held = {}
        _store(connection, table, held)
    return table


def _store(connection: sqlite3.Connection, table: Table, held: Mapping[str, Facts]) -> None:
    connection.execute("BEGIN")
    for key, facts in held.items():
        known = _known(connection, table, key) or {}
        row = table.place(key), table.seal({**known, **facts})
        connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", row)
    connection.execute("COMMIT")


def _known(connection: sqlite3.Connection, table: Table, key: str) -> Facts | None:
    row = connection.execute("SELECT sealed FROM facts WHERE place = ?", (table.place(key),)).fetchone()
    return table.open(row[0]) if row else None


class KnownFacts:
    """A table that is read: a Lookup."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._connection = sqlite3.connect(f"{table.path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)

    def __call__(self, key: str) -> Facts | None:
        return _known(self._connection, self._table, key)

    def close(self) -> None:
        """Nothing; the table can be removed then."""
        self._connection.close()
