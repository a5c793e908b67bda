"""The rows of a query at any database that SQLAlchemy reaches, streamed; nothing is written there.

What a driver says when it fails is replaced by words of ours, as drivers quote statements, values and URLs; only what
is about the query's own words is handed on.

Source: https://docs.sqlalchemy.org/en/20/core/connections.html (stream_results, yield_per)
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.pool import NullPool

from refrain.config import PlacesConfig
from refrain.errors import InputError, PlaceError
from refrain.ledger.database import with_password, without_secrets
from refrain.printable import printable

PASSWORD_VARIABLE = "REFRAIN_SQL_PASSWORD"  # the variable's name, no password
URL_VARIABLE = "REFRAIN_SQL_URL"
BOUNDS = frozenset({"start", "end"})
_SQLITE, _POSTGRESQL = "sqlite", "postgresql"
_DAY = timedelta(days=1)
_SAID_CHARACTERS = 200
# What SQLite says of a query's own words; anything else might quote a value.
_SQLITE_SAYS = re.compile(r'no such (?:table|column|function): [\w. ]+|near "[^"]*": syntax error|incomplete input')
_QUERY_STATES = "42"  # PostgreSQL's class of errors in the query itself: syntax, unknown names, wrong types, no right
_LOGIN_STATES = "28"

Rows = Sequence[Sequence[Any]]


class Source:
    """A query at a database. `name` is for messages and shows no secret; `identity` is the same for equal ones."""

    def __init__(self, engine: sa.Engine, name: str, query: str, config: PlacesConfig) -> None:
        self.name, self._engine, self._config = name, engine, config
        self._text = sa.text(query)
        known = set(self._text.compile().params)
        if not known <= BOUNDS or len(known) == 1:
            raise InputError(
                f"the query has the parameters {', '.join(sorted(known))}",
                hint=r"it may have :start and :end, both or none; a colon that is none is written \:",
            )
        self.by_day = bool(known)
        self.identity = [name, query]

    def read(self, day: date | None) -> Iterator[tuple[list[str], Rows]]:
        """The columns' names and some rows, again and again; with `day`, of that day of UTC.

        PlaceError where the database fails, InputError where the query is at fault.
        """
        bounds = {} if day is None else {"start": self._moment(day), "end": self._moment(day + _DAY)}
        with self._told():
            options = {"postgresql_readonly": True} if self._engine.dialect.name == _POSTGRESQL else {}
            with self._engine.connect().execution_options(**options) as connection:
                size = self._config.fetch_rows
                streamed = {"stream_results": True, "yield_per": size}
                result = connection.execute(self._text, bounds, execution_options=streamed)
                if not result.returns_rows:
                    raise InputError("the query gives no rows", hint="a SELECT is needed")
                names = list(result.keys())
                twice = sorted({name for name in names if names.count(name) > 1})
                if twice:
                    raise InputError(f"the query gives two columns of the name {twice[0]}", hint="name one with AS")
                yield names, []
                for rows in result.partitions(size):
                    yield names, rows

    def _moment(self, day: date) -> Any:
        """The first moment of a day as the database compares it with its times."""
        if self._engine.dialect.name == _SQLITE:
            return day.isoformat()  # times are text there, and a day sorts before all times of that day
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return moment if self._engine.dialect.name == _POSTGRESQL else moment.replace(tzinfo=None)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures of the database in words of ours."""
        try:
            yield
        except exc.DBAPIError as error:
            raise self._failure(error) from None
        except exc.SQLAlchemyError as error:
            raise PlaceError(f"{self.name} cannot be used: {type(error).__name__}") from None
        except (ValueError, ArithmeticError) as error:
            # A driver that makes Python values of what it reads, and cannot: a year 20000, say.
            raise PlaceError(
                f"{self.name} holds a value that its driver cannot read ({type(error).__name__})",
                hint="cast that column to text in the query",
            ) from None

    def _failure(self, error: exc.DBAPIError) -> Exception:
        origin = error.orig
        state = getattr(origin, "sqlstate", None) or ""
        kind = getattr(origin, "sqlite_errorname", None) or state or type(origin).__name__
        said = ""
        if isinstance(origin, sqlite3.Error):
            found = _SQLITE_SAYS.search(str(origin))
            said = found[0] if found else ""
        elif state.startswith(_QUERY_STATES):
            said = getattr(getattr(origin, "diag", None), "message_primary", None) or ""
        if said or state.startswith(_QUERY_STATES) or isinstance(error, exc.ProgrammingError):
            told = printable(said, _SAID_CHARACTERS) or kind
            return InputError(f"{self.name} does not understand the query: {told}")
        if state.startswith(_LOGIN_STATES):
            return PlaceError(f"{self.name} refuses the user or the password", hint=f"set ${PASSWORD_VARIABLE}")
        if isinstance(error, exc.DataError):
            hint = "cast that column to text in the query"
            return PlaceError(f"{self.name} holds a value that its driver cannot read ({kind})", hint=hint)
        if isinstance(error, exc.OperationalError):
            return PlaceError(f"{self.name} cannot be reached or broke off ({kind})", hint="is it running? try again")
        return PlaceError(f"{self.name} failed ({kind})", hint="try again")


@contextmanager
def open_source(url: str, query: str, config: PlacesConfig) -> Iterator[Source]:
    """A query at the database that `url` names; its password from $REFRAIN_SQL_PASSWORD where the URL has none."""
    try:
        parsed = sa.make_url(url)
        backend = parsed.get_backend_name()
    except (exc.ArgumentError, ValueError):
        # Without the cause, and without the URL: it may hold a password.
        raise InputError(
            "that is no database URL", hint="such as postgresql+psycopg://reader@host/gateway or sqlite:///log.db"
        ) from None
    query = query.strip().rstrip("; \n")
    if not query:
        raise InputError("the query is blank")
    name = without_secrets(parsed)
    if backend != _SQLITE:
        parsed = with_password(parsed, PASSWORD_VARIABLE)
    try:
        engine = _sqlite(parsed) if backend == _SQLITE else _server(parsed, backend, config)
    except ImportError as error:
        driver = error.name or "its driver"
        raise InputError(f"{driver} is not installed here", hint=f"pip install the driver for {backend}") from None
    except (exc.SQLAlchemyError, TypeError, ValueError) as error:
        raise InputError(f"{name} is no database that can be opened ({type(error).__name__})") from None
    try:
        yield Source(engine, name, query, config)
    finally:
        engine.dispose()


def _server(url: sa.URL, backend: str, config: PlacesConfig) -> sa.Engine:
    given: dict[str, Any] = {}
    if backend == _POSTGRESQL:
        if url.drivername == _POSTGRESQL:
            url = url.set(drivername="postgresql+psycopg")
        # JSON stays text: the reader of the log parses it, within its limits.
        given = {"connect_args": {"connect_timeout": int(config.connect_seconds) or 1}, "json_deserializer": _as_text}
    engine = sa.create_engine(url, poolclass=NullPool, hide_parameters=True, **given)
    if backend == _POSTGRESQL:

        @event.listens_for(engine, "connect")
        def prepare(connection: Any, _: object) -> None:
            connection.execute("SET TIME ZONE 'UTC'")  # what a time without a zone is compared in
            connection.commit()

    return engine


def _as_text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise InputError("a SQLite URL must name a file", hint="sqlite:///relative.db or sqlite:////absolute.db")
    path = Path(url.database)
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    opened = partial(sqlite3.connect, f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    engine = sa.create_engine("sqlite://", creator=opened, poolclass=NullPool, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA query_only = ON")
        connection.text_factory = _text_of  # the driver's own raises, and quotes the value

    return engine


def _text_of(value: bytes) -> str:
    return value.decode("utf-8", "replace")
