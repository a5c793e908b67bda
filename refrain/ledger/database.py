"""A connection to the ledger's database: a SQLite file beside the store, or what a URL names.

Every write is one transaction that waits its turn: SQLite's own lock, an advisory lock on PostgreSQL. What the database
says when it fails is replaced by words of ours, as drivers quote statements, values and URLs.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool

from refrain.errors import ConfigError, LedgerBusyError, LedgerError, NoLedgerError

FILE = "ledger.sqlite"
PASSWORD_VARIABLE = "REFRAIN_LEDGER_PASSWORD"  # the variable's name, no password
_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
_WAIT_SECONDS = 30  # for another writer: a night's transaction takes a second
_CONNECT_SECONDS = 10
_ADVISORY_LOCK = 0x7265667261696E  # "refrain" in ASCII: one writer to a PostgreSQL database
_FILE_MODE = 0o600  # accounts stand in it as keyed digests, analysts' words in clear


class Database:
    """An engine, and a `name` for messages that shows no password."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._engine = engine

    @property
    def dialect(self) -> str:
        """ "sqlite" or "postgresql"."""
        return self._engine.dialect.name

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one moment of the ledger and writes nothing."""
        level = {} if self.dialect == _SQLITE else {"isolation_level": "REPEATABLE READ"}
        with self._told(), self._engine.connect().execution_options(**level) as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that nobody else's write overlaps; whole when the block ends, nothing where it raises."""
        options = {"refrain_writes": True}
        with self._told(), self._engine.connect().execution_options(**options) as connection, connection.begin():
            if self.dialect == _POSTGRESQL:
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_WAIT_SECONDS}s'"))
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _ADVISORY_LOCK})
            yield connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures of the database as LedgerError."""
        try:
            yield
        except exc.IntegrityError as error:
            raise LedgerError(f"{self.name} refuses rows that contradict those it holds") from error
        except exc.DBAPIError as error:
            raise self._failure(error) from error
        except exc.SQLAlchemyError as error:
            raise LedgerError(f"{self.name} cannot be used: {type(error).__name__}") from error

    def _failure(self, error: exc.DBAPIError) -> LedgerError:
        """What a person can do about it."""
        origin = error.orig
        name = getattr(origin, "sqlite_errorname", None) or getattr(origin, "sqlstate", None) or type(origin).__name__
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "55P03")):
            return LedgerBusyError(
                f"another process has been writing to {self.name} for {_WAIT_SECONDS} seconds", hint="try again"
            )
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return LedgerError(
                f"{self.name} is damaged",
                hint="restore it from a backup; or move it away and run `refrain backfill`, which loses the decisions",
            )
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "53100")):
            return LedgerError(f"{self.name} could not be written, the disk may be full: nothing was recorded")
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN", "42501")):
            return LedgerError(f"this account may not write to {self.name}")
        if name.startswith("28"):
            return LedgerError(f"{self.name} refuses the user or the password", hint=f"set ${PASSWORD_VARIABLE}")
        if self.dialect == _POSTGRESQL and isinstance(error, exc.OperationalError):
            return LedgerBusyError(
                f"{self.name} cannot be reached ({name})", hint="is it running, and is ledger.url right?"
            )
        return LedgerError(f"{self.name} failed ({name})")

    def close(self) -> None:
        """Nothing; every connection is given back."""
        self._engine.dispose()


def connect(outputs: Path, url: str, *, create: bool = True) -> Database:
    """The database that `url` names, or for "" the file in `outputs`.

    ConfigError for a URL of another kind; LedgerError where the file is not there and `create` is False.
    """
    if not url:
        return _sqlite(outputs / FILE, create=create)
    try:
        parsed = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        # Without the cause, and without the URL: it may hold a password.
        raise ConfigError(
            "ledger.url is no database URL", hint="such as postgresql+psycopg://refrain@host/refrain"
        ) from None
    if parsed.get_backend_name() == _SQLITE and parsed.database and parsed.database != ":memory:":
        return _sqlite(Path(parsed.database), create=create)
    if parsed.get_backend_name() != _POSTGRESQL:
        raise ConfigError("ledger.url names neither a SQLite file nor a PostgreSQL database")
    return _postgresql(parsed)


def _sqlite(path: Path, *, create: bool) -> Database:
    name = f"the ledger {path}"
    if not path.exists():
        if not create:
            raise NoLedgerError(f"{name} does not exist: no night was recorded yet", hint="refrain nightly LOG...")
        path.parent.mkdir(parents=True, exist_ok=True)
        make_private(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path.resolve())),
        poolclass=NullPool,  # a connection never crosses a fork or a thread
        hide_parameters=True,
        connect_args={"timeout": _WAIT_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # the driver would begin late, and commit before a CREATE TABLE
        # FULL: a night that was said to be published stays published when the power goes.
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get("refrain_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Database(engine, name)


def _postgresql(url: sa.URL) -> Database:
    name = f"the ledger {without_secrets(url)}"
    try:
        engine = sa.create_engine(
            with_password(url, PASSWORD_VARIABLE).set(drivername="postgresql+psycopg"),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
    except ImportError as error:
        raise LedgerError("psycopg is not installed here", hint="pip install 'psycopg[binary]'") from error
    return Database(engine, name)


def shown_url(url: str) -> str:
    """A URL of the settings as it may be printed: without a password."""
    if not url:
        return url
    try:
        return without_secrets(sa.make_url(url))
    except (exc.ArgumentError, ValueError):
        return "(no database URL)"


def without_secrets(url: sa.URL) -> str:
    """The URL without its password and its query, which may hold one, too."""
    return url.set(query={})._replace(password=None).render_as_string()


def with_password(url: sa.URL, variable: str) -> sa.URL:
    """The URL with the password that stands in the environment, where it has none itself."""
    password = os.environ.get(variable)
    return url.set(password=password) if password and url.password is None else url


def make_private(path: Path) -> None:
    """Nothing; the file is there, with mode 0600 where it was made just now."""
    with suppress(FileExistsError):  # another process makes it now
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE))
