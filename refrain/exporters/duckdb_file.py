"""A run's tables in a DuckDB file, where several runs stand together; lists stay lists and times stay times.

One transaction a run: what stood there of it goes, and its rows are copied from the Parquet files by DuckDB itself.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from refrain.contract import TEST_PREFIX, VERSION
from refrain.errors import InputError, StoreError
from refrain.exporters.exporter import Exporter, Options
from refrain.exporters.layout import (
    KEYS,
    LAYOUT,
    MARKER,
    RUN,
    TESTS,
    chosen_tables,
    content_of,
    file_schema,
    names,
    stored_name,
    stored_schema,
    test_columns,
    views,
)
from refrain.full_disk import is_full

_MEMORY = "512MiB"
_MARKER = f"CREATE TABLE {MARKER} ({RUN} VARCHAR PRIMARY KEY, contract VARCHAR, layout INTEGER, content VARCHAR)"


def write_duckdb(exports: Path, to: str, options: Options) -> dict[str, int]:
    """The rows of the run that then stand in each table of the file."""
    tables = chosen_tables(exports, options)
    counts = {}
    with _opened(Path(to)) as connection, options.progress.task("writing to DuckDB", len(tables)) as advance:
        connection.execute("BEGIN")
        present = _names(connection)
        _check(connection, present)
        for name in KEYS:
            _make(connection, name, stored_schema(name, file_schema(exports, name)))
        for name, select in views().items():
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {select}")
        for name in tables:
            counts[name] = _copy(connection, name, exports / f"{name}.parquet", options)
            advance(1)
        _restate(connection, options)
        connection.execute(f"DELETE FROM {MARKER} WHERE {RUN} = ?", [options.run])
        row = [options.run, VERSION, LAYOUT, content_of(exports)]
        connection.execute(f"INSERT INTO {MARKER} VALUES (?, ?, ?, ?)", row)
        connection.execute("COMMIT")
    return counts


@contextmanager
def _opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file's database, private where it is made now; a transaction that does not end leaves nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    mask = os.umask(0o077)  # accounts and prompts stand in it
    try:
        connection = duckdb.connect(
            str(path),
            config={
                "memory_limit": _MEMORY,
                "preserve_insertion_order": True,
                "autoinstall_known_extensions": False,  # never a download
                "autoload_known_extensions": False,
            },
        )
    except duckdb.Error as error:
        busy = "lock" in str(error).lower()
        hint = "close the program that has it open" if busy else "give another file"
        raise StoreError(f"{path} cannot be opened as a DuckDB file ({type(error).__name__})", hint=hint) from None
    finally:
        os.umask(mask)
    try:
        yield connection
    except BaseException as error:
        connection.close()
        if new:
            path.unlink(missing_ok=True)
        if isinstance(error, duckdb.Error) and not is_full(error):  # its text may quote a row
            raise StoreError(f"{path} could not be written ({type(error).__name__}): nothing was changed") from None
        raise
    connection.close()


def _names(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'"
    ).fetchall()
    return {row[0] for row in found}


def _check(connection: duckdb.DuckDBPyConnection, present: set[str]) -> None:
    """Nothing; the marker is there. InputError for a file that holds a stranger's tables or a newer layout."""
    if MARKER not in present:
        taken = sorted(present & set(names()))
        if taken:
            raise InputError(f"the file has a {taken[0]} of another program", hint="give the labels their own file")
        connection.execute(_MARKER)
        return
    newest = connection.execute(f"SELECT max(layout) FROM {MARKER}").fetchall()[0][0]
    if newest is not None and newest > LAYOUT:
        raise InputError("the tables there were written by a newer refrain", hint="use that version")


def _make(connection: duckdb.DuckDBPyConnection, name: str, schema: pa.Schema) -> None:
    """Nothing; the table is there with every column of the schema."""
    stored = stored_name(name)
    columns = ", ".join(f'"{field.name}" {_type(field.type)}' for field in schema)
    connection.execute(f"CREATE TABLE IF NOT EXISTS {stored} ({RUN} VARCHAR NOT NULL, {columns})")
    for field in schema:
        connection.execute(f'ALTER TABLE {stored} ADD COLUMN IF NOT EXISTS "{field.name}" {_type(field.type)}')


def _copy(connection: duckdb.DuckDBPyConnection, name: str, path: Path, options: Options) -> int:
    """The number of rows of the file, which then stand in the table in the file's order."""
    stored = stored_name(name)
    connection.execute(f"DELETE FROM {stored} WHERE {RUN} = ?", [options.run])
    schema = pq.read_schema(path)
    chosen = "*"
    if name == "campaigns":
        tests = test_columns(schema)
        kept = ", ".join(f'"{column}"' for column in schema.names if column not in tests)
        entries = ", ".join(f"""('{test.removeprefix(TEST_PREFIX)}', "{test}")""" for test in tests)
        chosen = f"{kept}, map_from_entries([{entries}]::STRUCT(k VARCHAR, v DOUBLE)[]) AS {TESTS}"
    connection.execute(
        f"INSERT INTO {stored} BY NAME SELECT ? AS {RUN}, {chosen} FROM read_parquet(?)", [options.run, [str(path)]]
    )
    if name == "campaigns":
        rows = [[identity, options.run, number] for number, identity in sorted(options.identities.items())]
        if rows:
            connection.executemany("UPDATE campaigns SET identity = ? WHERE run_id = ? AND campaign_id = ?", rows)
    return int(pq.read_metadata(path).num_rows)


def _restate(connection: duckdb.DuckDBPyConnection, options: Options) -> None:
    """Nothing; campaigns of this and of earlier runs have the state and the verdict that the ledger has now."""
    known = {row[0] for row in connection.execute("SELECT DISTINCT identity FROM campaigns").fetchall()}
    rows = [
        [standing.state or None, standing.verdict or None, identity]
        for identity, standing in sorted(options.standings.items())
        if identity in known
    ]
    if rows:
        connection.executemany("UPDATE campaigns SET state = ?, verdict = ? WHERE identity = ?", rows)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_type(kind.value_type)}[]"
    if pa.types.is_map(kind):
        return f"MAP({_type(kind.key_type)}, {_type(kind.item_type)})"
    if pa.types.is_boolean(kind):
        return "BOOLEAN"
    if pa.types.is_integer(kind):
        return "BIGINT" if kind.bit_width > 32 else "INTEGER"  # noqa: PLR2004 (bits)
    if pa.types.is_floating(kind):
        return "DOUBLE"
    return "TIMESTAMPTZ" if pa.types.is_timestamp(kind) else "VARCHAR"


EXPORTER = Exporter(
    "duckdb",
    "DuckDB file",
    write_duckdb,
    settings={"tables": "some of the tables, by comma; default: all"},
    place=lambda to, table: f"{stored_name(table)} in {to}",
)
