"""The schema of a ledger, brought up to date when it is opened, under the writers' lock."""

from pathlib import Path

import sqlalchemy as sa

from refrain.errors import LedgerError, NoLedgerError
from refrain.ledger.database import Database

HEAD = "0005"
"""The schema that this code reads and writes: the revision of the last file in `migrations`."""

_TABLE = "alembic_version"


def bring_up_to_date(database: Database, *, create: bool = True) -> None:
    """Nothing; the database then has the schema `HEAD`. Whoever comes second finds it done.

    LedgerError where it is of a newer refrain, is somebody else's, or is empty and `create` is False.
    """
    with database.reading() as connection:
        current = _revision(connection, database.name)
    if current == HEAD:
        return
    if current is None and not create:
        raise NoLedgerError(f"{database.name} is empty: no night was recorded yet", hint="refrain nightly LOG...")
    with database.writing() as connection:
        if _revision(connection, database.name) != HEAD:
            upgrade(connection, HEAD, database.name)


def upgrade(connection: sa.Connection, target: str, name: str) -> None:
    """Nothing; migrates to the revision `target` inside the connection's transaction."""
    # Half a second to import, and needed once in the life of a schema.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parent / "migrations"
    script = ScriptDirectory(str(folder), version_locations=[str(folder)])
    current = _revision(connection, name)
    known = {revision.revision for revision in script.walk_revisions()}
    if current is not None and current not in known:
        raise LedgerError(
            f"{name} was written by a newer refrain (schema {current}, known here up to {HEAD})",
            hint="use that version; no ledger is ever migrated back",
        )
    with EnvironmentContext(
        Config(), script, fn=lambda revision, _: script._upgrade_revs(target, revision), destination_rev=target
    ) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


def _revision(connection: sa.Connection, name: str) -> str | None:
    """The schema's revision, None for an empty database; LedgerError where the database is somebody else's."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(_TABLE):
        if set(inspector.get_table_names()) & {"nights", "identities", "states", "events"}:
            raise LedgerError(f"{name} holds tables of another program", hint="give the ledger a database of its own")
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {_TABLE}")).scalars().all()
    return found[0] if found else None
