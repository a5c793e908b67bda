"""A connection to the database that labels go to; what it says when it fails is replaced by words of ours.

Drivers quote statements, values and URLs in theirs. The password is the URL's or $REFRAIN_SQL_PASSWORD.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool

from refrain.errors import InputError, StoreError
from refrain.ledger.database import make_private, with_password, without_secrets

PASSWORD_VARIABLE = "REFRAIN_SQL_PASSWORD"  # the variable's name, no password
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_WAIT_SECONDS = 30
_CONNECT_SECONDS = 10
_ADVISORY_LOCK = 0x6578706F727473  # "exports" in ASCII: one export at a time into a PostgreSQL database
Rows = Sequence[tuple[Any, ...]]


class Database:
    """An engine, and a `name` for messages that shows no password."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._engine = engine

    @property
    def dialect(self) -> str:
        """SQLAlchemy's name of the kind of database."""
        return self._engine.dialect.name

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction: whole when the block ends, nothing where it raises."""
        with self._told(), self._engine.connect() as connection, connection.begin():
            if self.dialect == POSTGRESQL:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_WAIT_SECONDS}s'"))
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
            yield connection

    def load(self, connection: sa.Connection, table: sa.Table, portions: Iterable[Rows]) -> None:
        """Nothing; the rows stand in the table, by COPY on PostgreSQL."""
        name = connection.dialect.identifier_preparer.format_table(table)
        if self.dialect == POSTGRESQL:
            cursor: Any = connection.connection.cursor()
            with cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
                for rows in portions:
                    for row in rows:
                        copy.write_row(row)
            return
        columns = [column.name for column in table.columns]
        marks = ", ".join("?" for _ in columns)
        for rows in filter(None, portions):
            if self.dialect == SQLITE:  # past SQLAlchemy's work on each value: ours are SQLite's own already
                connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({marks})", rows)
            else:
                connection.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in rows])

    def prepare_joins(self, connection: sa.Connection, table: sa.Table, keys: Sequence[str]) -> None:
        """Nothing; a loaded temporary table can be joined by its keys in one pass. It refuses a key that is twice."""
        index = sa.Index(f"{table.name}_keys", *(table.c[key] for key in keys), unique=True)
        connection.execute(sa.schema.CreateIndex(index))
        if self.dialect == POSTGRESQL:
            connection.exec_driver_sql(f"ANALYZE {connection.dialect.identifier_preparer.format_table(table)}")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures of the database as errors of ours."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._failure(error.orig) from None
        except exc.SQLAlchemyError as error:
            raise StoreError(f"{self.name} cannot be used: {type(error).__name__}") from None
        except Exception as error:
            if not hasattr(error, "sqlstate"):  # psycopg's, from a COPY
                raise
            raise self._failure(error) from None

    def _failure(self, origin: BaseException | None) -> StoreError:
        """What a person can do about it; nothing was written."""
        code = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None)
        name = str(code or type(origin).__name__)
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "55P03")):
            return StoreError(f"another process is writing to {self.name}", hint="try again")
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "53100")):
            return StoreError(f"{self.name} could not be written, its disk may be full: nothing was changed")
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return StoreError(f"{self.name} is no SQLite database, or damaged", hint="give another file")
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "42501")):
            return StoreError(f"this account may not write to {self.name}", hint="it creates tables, views, a schema")
        if name.startswith("28"):
            return StoreError(f"{self.name} refuses the user or the password", hint=f"set ${PASSWORD_VARIABLE}")
        if name in ("OperationalError", "ConnectionTimeout") or name.startswith("08"):
            return StoreError(f"{self.name} cannot be reached", hint="is it running, and is the URL right?")
        return StoreError(f"{self.name} failed ({name}): nothing was changed")


@contextmanager
def connect(to: str) -> Iterator[Database]:
    """The database that `to` names: a SQLAlchemy URL, or the path of a SQLite file, which is made with mode 0600.

    InputError for a text that is neither, and where the driver is not installed.
    """
    try:
        url = sa.make_url(to) if "://" in to else sa.URL.create(SQLITE, database=to)
        dialect = url.get_backend_name()
        if dialect == POSTGRESQL and url.drivername == POSTGRESQL:
            url = url.set(drivername="postgresql+psycopg")
        url = url.set(database=_made(url)) if dialect == SQLITE else with_password(url, PASSWORD_VARIABLE)
        timeout = {SQLITE: {"timeout": _WAIT_SECONDS}, POSTGRESQL: {"connect_timeout": _CONNECT_SECONDS}}
        engine = sa.create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=timeout.get(dialect, {}))
    except ImportError:
        hint = "pip install it beside refrain"
        raise InputError("the driver that this URL needs is not installed", hint=hint) from None
    except (exc.ArgumentError, ValueError):  # without the cause, and without the URL: it may hold a password
        raise InputError(
            "--to is no database URL and no file", hint="such as postgresql://refrain@host/trust or labels.sqlite"
        ) from None
    if engine.dialect.name == SQLITE:
        _begin_at_once(engine)
    try:
        yield Database(engine, f"the database {shown_url(to)}")
    finally:
        engine.dispose()


def shown_url(to: str) -> str:
    """A destination as it may be printed: without a password, and without a query, which may hold one."""
    if "://" not in to:
        return to
    try:
        return without_secrets(sa.make_url(to))
    except (exc.ArgumentError, ValueError):
        return "(no database URL)"


def _made(url: sa.URL) -> str:
    """The absolute path of a SQLite file that is there, private where it was made just now."""
    if not url.database or url.database == ":memory:":
        raise ValueError("no file")
    path = Path(url.database).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    make_private(path)
    return str(path)


def _begin_at_once(engine: sa.Engine) -> None:
    """Nothing; a transaction takes SQLite's lock when it begins, and holds the statements that make tables, too."""

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
