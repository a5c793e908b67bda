"""Relational work over tables that may outgrow memory: DuckDB with a memory limit, results streamed into Parquet."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.errors import StoreError

# Rows of a Parquet row group, everywhere: the unit that a reader must hold. A group of giant texts ends earlier.
ROW_GROUP_ROWS = 65_536
ROW_GROUP_BYTES = 128 << 20
Value = str | int | float | Sequence[str]


@contextmanager
def database(memory_limit_mib: int, spill: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in memory that spills over `memory_limit_mib` into a temporary folder below `spill`."""
    with TemporaryDirectory(prefix=".spill-", dir=spill) as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_limit_mib}MiB",
            "temp_directory": folder,
            "preserve_insertion_order": False,  # every result that is kept is ordered by a unique key anyway
            "autoinstall_known_extensions": False,  # never a download
            "autoload_known_extensions": False,
        }
        connection = duckdb.connect(config=settings)
        try:
            yield connection
        finally:
            connection.close()


def quoted(path: Path) -> str:
    """A path as a text in SQL."""
    return "'" + str(path).replace("'", "''") + "'"


def batches(
    connection: duckdb.DuckDBPyConnection,
    sql: str,
    schema: pa.Schema,
    parameters: Mapping[str, Value],
    rows: int = ROW_GROUP_ROWS,
) -> Iterator[pa.Table]:
    """The rows of a query in portions of `rows`, cast to the schema. The query orders its rows itself."""
    for batch in connection.sql(sql, params=dict(parameters)).to_arrow_reader(rows):
        yield conform(pa.Table.from_batches([batch]), schema)


def write_table(path: Path, schema: pa.Schema, portions: Iterable[pa.Table]) -> int:
    """The number of rows written to `path`, in row groups that depend on the rows alone, not on the portions."""
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for group in _row_groups(portions):
            # One chunk: Parquet ends pages where chunks end, so chunks would show in the bytes.
            writer.write_table(group.combine_chunks())
            rows += group.num_rows
    return rows


def _row_groups(portions: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in tables of ROW_GROUP_ROWS, fewer where one more row would exceed ROW_GROUP_BYTES of text."""
    held: list[pa.Table] = []
    rows = size = 0
    for portion in portions:
        ends = np.cumsum(_text_bytes(portion))
        start = 0
        while start < portion.num_rows:
            before = int(ends[start - 1]) if start else 0
            fits = int(np.searchsorted(ends, before + ROW_GROUP_BYTES - size, side="right")) - start
            take = min(portion.num_rows - start, ROW_GROUP_ROWS - rows, max(fits, 0 if rows else 1))
            if take:
                held.append(portion.slice(start, take))
                start, rows, size = start + take, rows + take, size + int(ends[start + take - 1]) - before
            if rows == ROW_GROUP_ROWS or (start < portion.num_rows and rows):
                yield pa.concat_tables(held)
                held, rows, size = [], 0, 0
    if rows:
        yield pa.concat_tables(held)


def _text_bytes(table: pa.Table) -> NDArray[np.int64]:
    """Bytes of each row's texts, (rows,)."""
    total = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        if pa.types.is_string(column.type):
            total += pc.binary_length(column).fill_null(0).to_numpy()
    return total


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns in the order and types of the schema; StoreError where one is missing or wrongly empty."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            raise StoreError(f"a table lacks its column {field.name}")
        column = table.column(field.name).cast(field.type)
        if column.null_count and not field.nullable:
            raise StoreError(f"the column {field.name} is empty in {column.null_count} rows and never may be")
        columns.append(column)
    return pa.table(columns, schema=schema)
