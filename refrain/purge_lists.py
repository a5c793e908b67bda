"""What people and other programs keep beside the store, without what is purged: slices, dismissals, databases, logs."""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from refrain.artifacts import Store
from refrain.config import LedgerConfig
from refrain.dismissals import change_dismissed
from refrain.known import Suppression
from refrain.needles import Needles
from refrain.purge_cells import MARK
from refrain.purge_search import text_columns
from refrain.slices import list_slices, load_slice, save_slice
from refrain.tombstones import text_digest

PREFECT = ".prefect"
_WAIT_SECONDS = 5.0  # for another program to let go of its database


def purge_slices(outputs: Path, accounts: Iterable[str], bad: Needles) -> int:
    """How many slices changed. An account is taken out of the others; a slice of these accounts alone, or one that
    looks for a purged text, goes: with a condition less it would be of other requests."""
    gone = frozenset(accounts)
    changed = 0
    for name in list_slices(outputs):
        part = load_slice(outputs, name)
        left = tuple(account for account in part.accounts if account not in gone)
        if left == part.accounts and not bad.within(part.matching.encode()):
            continue
        changed += 1
        if not left or bad.within(part.matching.encode()):
            (outputs / "slices" / f"{name}.json").unlink()
        else:
            save_slice(outputs, name, replace(part, accounts=left))
    return changed


def purge_dismissals(store: Store, ledger: LedgerConfig, accounts: Iterable[str], bad: Needles) -> int:
    """How many dismissed findings changed: without the accounts' digests, without texts that
    only they had. One that is left without members or texts goes."""
    gone = {text_digest(store.key, account) for account in accounts}

    def change(entry: Suppression) -> Suppression | None:
        members = tuple(member for member in entry.members if member not in gone)
        texts = tuple(text for text in entry.texts if not bad.within(text.encode()))
        if not (members and texts):
            return None
        reason, by = _without(entry.reason, bad), _without(entry.by, bad)
        return replace(entry, members=members, texts=texts, reason=reason, by=by)

    return change_dismissed(store.root.parent, ledger, change)


def scrub_database(path: Path, bad: Needles) -> bool:
    """Whether a SQLite database was rewritten without the texts, free pages and write-ahead log included; False where
    another program has it open for writing, or it cannot be read."""
    try:
        with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)) as connection:
            connection.create_function("refrain_clean", 1, lambda value: _cleaned(value, bad))
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute("BEGIN IMMEDIATE")
            for table, column in text_columns(connection):
                where = f'typeof("{column}") = \'text\' AND refrain_clean("{column}") <> "{column}"'
                connection.execute(f'UPDATE "{table}" SET "{column}" = refrain_clean("{column}") WHERE {where}')
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error:
        return False
    return True


def scrub_log(path: Path, bad: Needles) -> None:
    """Nothing; the file's texts are overwritten where they stand, so that a program that has it open goes on."""
    data = path.read_bytes()
    with path.open("r+b") as file:
        for text in bad.within(data):
            at = data.find(text)
            while at >= 0:
                file.seek(at)
                file.write(b"#" * len(text))
                at = data.find(text, at + 1)


def _cleaned(value: Any, bad: Needles) -> Any:
    if not isinstance(value, str):
        return value
    data = value.encode("utf-8", "surrogatepass")
    for text in sorted(bad.within(data), key=len, reverse=True):
        data = data.replace(text, MARK.encode())
    return data.decode("utf-8", "surrogatepass")


def _without(text: str, bad: Needles) -> str:
    return MARK if bad.within(text.encode("utf-8", "surrogatepass")) else text
