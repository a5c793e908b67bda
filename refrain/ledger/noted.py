"""The runs of a store that were whole once, as they stand in the ledger. Each method is one transaction."""

from collections.abc import Iterable

import sqlalchemy as sa

from refrain.ledger.database import Database
from refrain.ledger.rows import RunRow
from refrain.ledger.tables import runs


class Noted:
    """The rows of a ledger's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> list[RunRow]:
        """All of them, the last finished first."""
        with self._database.reading() as connection:
            found = [RunRow(**row._mapping) for row in connection.execute(sa.select(runs))]
        return sorted(found, key=lambda row: (row.finished, row.run_id), reverse=True)

    def row(self, run_id: str) -> RunRow | None:
        """That of one run, None where it has none."""
        with self._database.reading() as connection:
            found = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).one_or_none()
        return None if found is None else RunRow(**found._mapping)

    def note(self, *rows: RunRow) -> None:
        """Nothing; each row then stands for its run, whatever stood there."""
        with self._database.writing() as connection:
            for row in rows:
                connection.execute(runs.delete().where(runs.c.run_id == row.run_id))
                connection.execute(runs.insert().values(**{**vars(row), "counts": dict(sorted(row.counts.items()))}))

    def forget(self, run_ids: Iterable[str]) -> int:
        """How many rows went."""
        with self._database.writing() as connection:
            gone = [connection.execute(runs.delete().where(runs.c.run_id == name)).rowcount for name in run_ids]
        return sum(gone)
