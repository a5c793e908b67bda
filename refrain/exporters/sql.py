"""A run's tables upserted into a SQL database: SQLite, PostgreSQL, or whatever SQLAlchemy has a driver for.

One transaction a run: its rows are loaded into a temporary table, those that are no longer there go, those that are new
or other than before are written (INSERT ... ON CONFLICT on SQLite and PostgreSQL), and what is the same is not touched.
PostgreSQL is loaded by COPY. Elsewhere a run's rows are deleted and inserted again.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from refrain.contract import VERSION
from refrain.errors import InputError
from refrain.exporters.exporter import BATCH_ROWS, URL, Exporter, Options
from refrain.exporters.layout import (
    KEYS,
    LAYOUT,
    MARKER,
    RUN,
    chosen_tables,
    content_of,
    file_schema,
    names,
    stored_name,
    stored_schema,
    views,
)
from refrain.exporters.sql_database import POSTGRESQL, SQLITE, Database, connect, shown_url
from refrain.exporters.sql_rows import rows_of
from refrain.exporters.sql_tables import marker_table, table_of, temporary_copy

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
_SCHEMA = "refrain"  # of PostgreSQL, where --option schema names no other


def write_sql(exports: Path, to: str, options: Options) -> dict[str, int]:
    """The rows of the run that then stand in each table; nothing is changed where they stood there already."""
    tables = chosen_tables(exports, options)
    total = sum(pq.read_metadata(exports / f"{table}.parquet").num_rows for table in tables)
    with connect(to) as database, options.progress.task("writing to the database", total) as advance:
        schema = options.more.get("schema", _SCHEMA) if database.dialect == POSTGRESQL else None
        if schema is not None and not _NAME.match(schema):
            raise InputError("--option schema must be a plain name", hint="lower-case letters, digits and _")
        with database.writing() as connection:
            stored = {
                name: table_of(name, stored_schema(name, file_schema(exports, name)), database.dialect, schema)
                for name in KEYS
            }
            _prepare(connection, list(stored.values()), schema)
            counts = {}
            for name in tables:
                counts[name] = _upsert(database, connection, stored[name], name, exports, options, advance)
            _restate(connection, stored["campaigns"], options)
            _mark(connection, marker_table(schema), exports, options)
    return counts


def _prepare(connection: sa.Connection, tables: Sequence[sa.Table], schema: str | None) -> None:
    """Nothing; schema, tables, columns and views are there. InputError for a database that holds a stranger's."""
    inspector = sa.inspect(connection)
    if schema is not None and schema not in inspector.get_schema_names():
        connection.execute(sa.schema.CreateSchema(schema))
    present = {*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)}
    marker = marker_table(schema)
    if MARKER not in present:
        taken = sorted(present & set(names()))
        if taken:
            raise InputError(
                f"the database has a {taken[0]} of another program",
                hint="give the labels a database of their own, or on PostgreSQL another --option schema=NAME",
            )
        connection.execute(sa.schema.CreateTable(marker))
        layout = LAYOUT
    else:
        layout = connection.execute(sa.select(sa.func.max(marker.c.layout))).scalar() or LAYOUT
    if layout > LAYOUT:
        raise InputError("the tables there were written by a newer refrain", hint="use that version")
    for table in tables:
        if table.name not in present:
            connection.execute(sa.schema.CreateTable(table))
            for index in sorted(table.indexes, key=lambda index: str(index.name)):
                connection.execute(sa.schema.CreateIndex(index))
            continue
        here = {column["name"] for column in inspector.get_columns(table.name, schema=schema)}
        for column in table.columns:
            if column.name not in here:
                kind = column.type.compile(connection.dialect)
                name = connection.dialect.identifier_preparer.quote(column.name)
                where = connection.dialect.identifier_preparer.format_table(table)
                connection.exec_driver_sql(f"ALTER TABLE {where} ADD COLUMN {name} {kind}")
    quoted = f'"{schema}"' if schema else ""
    lead = f"{quoted}." if quoted else ""
    for name, select in views(quoted).items():
        if name in present and layout < LAYOUT:
            connection.exec_driver_sql(f"DROP VIEW {lead}{name}")
        if name not in present or layout < LAYOUT:
            connection.exec_driver_sql(f"CREATE VIEW {lead}{name} AS {select}")


def _upsert(
    database: Database,
    connection: sa.Connection,
    table: sa.Table,
    name: str,
    exports: Path,
    options: Options,
    advance: Any,
) -> int:
    """The rows that the file has; the table then has these of the run, and no others of it."""
    loaded = temporary_copy(table)
    connection.execute(sa.schema.CreateTable(loaded))
    columns = [column.name for column in table.columns]
    count = 0
    file = pq.ParquetFile(exports / f"{name}.parquet")

    def portions() -> Any:
        nonlocal count
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield rows_of(name, batch, columns, options, database.dialect)
            count += batch.num_rows
            advance(batch.num_rows)

    database.load(connection, loaded, portions())
    keys = [RUN, *KEYS[name]]
    database.prepare_joins(connection, loaded, keys)
    same = sa.and_(*(loaded.c[key] == table.c[key] for key in keys))
    gone = sa.delete(table).where(table.c[RUN] == options.run)
    rows = sa.select(*(loaded.c[column] for column in columns)).where(sa.true())
    insert: Any
    if database.dialect in (SQLITE, POSTGRESQL):
        connection.execute(gone.where(~sa.exists(sa.select(sa.literal(1)).where(same).correlate(table))))
        insert = (sqlite if database.dialect == SQLITE else postgresql).insert(table).from_select(columns, rows)
        others = [column for column in columns if column not in keys]
        insert = insert.on_conflict_do_update(
            index_elements=keys,
            set_={column: insert.excluded[column] for column in others},
            where=sa.or_(*(table.c[column].is_distinct_from(insert.excluded[column]) for column in others)),
        )
    else:
        connection.execute(gone)
        insert = sa.insert(table).from_select(columns, rows)
    connection.execute(insert)
    connection.execute(sa.schema.DropTable(loaded))
    return count


def _restate(connection: sa.Connection, campaigns: sa.Table, options: Options) -> None:
    """Nothing; campaigns of earlier runs have the state and the verdict that the ledger has now."""
    known = connection.execute(sa.select(campaigns.c.identity).where(campaigns.c.identity.is_not(None)).distinct())
    for identity in sorted(row[0] for row in known):
        standing = options.standings.get(identity)
        if standing is None:
            continue
        state, verdict = standing.state or None, standing.verdict or None
        other = sa.or_(campaigns.c.state.is_distinct_from(state), campaigns.c.verdict.is_distinct_from(verdict))
        connection.execute(
            sa.update(campaigns).where(campaigns.c.identity == identity, other).values(state=state, verdict=verdict)
        )


def _mark(connection: sa.Connection, marker: sa.Table, exports: Path, options: Options) -> None:
    """Nothing; the run stands in the table of runs, with the digest of what was exported."""
    row = {RUN: options.run, "contract": VERSION, "layout": LAYOUT, "content": content_of(exports)}
    here = connection.execute(sa.select(marker).where(marker.c[RUN] == options.run)).one_or_none()
    if here is None:
        connection.execute(sa.insert(marker).values(row))
    elif dict(here._mapping) != row:
        connection.execute(sa.update(marker).where(marker.c[RUN] == options.run).values(row))


EXPORTER = Exporter(
    "sql",
    "SQL database: SQLite, PostgreSQL, any SQLAlchemy URL",
    write_sql,
    kind=URL,
    settings={
        "tables": "some of the tables, by comma; default: all",
        "schema": f"PostgreSQL's schema; default: {_SCHEMA}",
    },
    place=lambda to, table: f"{stored_name(table)} in {to}",
    shown=shown_url,
)
