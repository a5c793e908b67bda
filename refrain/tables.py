"""Columns of a stage's tables as numpy arrays, and arrays as tables.

A table is one Parquet file or a folder of partitions `day=.../part-0.parquet`, which are read in the order of their
names and in which row numbers go on. Only the named columns are read; texts come as dictionary codes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.queries import write_table

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Coded:
    """A text column: `codes` (n,) int64 positions in the sorted distinct `values`, -1 for null."""

    codes: NDArray[np.int64]
    values: list[str]


def parts(table: Path) -> list[Path]:
    """The Parquet files of a table in row order; none where all its partitions are empty and therefore not there."""
    return [table] if table.suffix == ".parquet" else sorted(table.glob("day=*/part-*.parquet"))


def read_table(table: Path, columns: Sequence[str]) -> pa.Table:
    """The named columns of a table; without rows and types where it has no partition."""
    found = [pq.ParquetFile(path).read(columns=list(columns)) for path in parts(table)]
    return pa.concat_tables(found) if found else pa.table({name: pa.nulls(0) for name in columns})


def read_columns(table: Path, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The named columns as arrays: integers as int64 with -1 for null, times as int64 microseconds since 1970 in UTC
    (the smallest int64 for null), numbers as float64 (nan), booleans as bool (False), texts as objects (None)."""
    data = read_table(table, columns)
    return {name: _array(data[name]) for name in columns}


def column(table: Path, name: str) -> NDArray[Any]:
    """One column, as `read_columns` gives it."""
    return read_columns(table, [name])[name]


def read_coded(table: Path, columns: Sequence[str]) -> dict[str, Coded]:
    """Text columns as codes into their sorted distinct values."""
    data = read_table(table, columns)
    return {name: _coded(data[name]) for name in columns}


def _coded(texts: pa.ChunkedArray) -> Coded:
    encoded = texts.cast(pa.string()).dictionary_encode().combine_chunks()
    values = encoded.dictionary.to_pylist()
    order = sorted(range(len(values)), key=values.__getitem__)
    rank = np.full(len(values) + 1, -1)  # the last is null's
    rank[order] = np.arange(len(values))
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Coded(rank[codes], [values[i] for i in order])


def _array(values: pa.ChunkedArray) -> NDArray[Any]:
    kind = values.type
    if pa.types.is_timestamp(kind):
        times = values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        return np.asarray(times.fill_null(NO_TIME).to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_null(kind):
        return np.asarray(values.cast(pa.int64()).fill_null(-1).to_numpy())
    if pa.types.is_floating(kind):
        return np.asarray(values.cast(pa.float64()).to_numpy())
    if pa.types.is_boolean(kind):
        return np.asarray(values.fill_null(False).to_numpy(), dtype=bool)
    return np.asarray(values.cast(pa.string()).to_numpy(), dtype=object)


def write_columns(path: Path, schema: pa.Schema, columns: Mapping[str, Any]) -> None:
    """Nothing; `path` then holds the columns in the order and types of the schema. Times are int64 microseconds, as
    `read_columns` gives them."""
    arrays = [_typed(columns[field.name], field.type) for field in schema]
    write_table(path, schema, [pa.table(arrays, schema=schema)])


def _typed(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values.cast(kind)
    if pa.types.is_timestamp(kind):
        times = np.asarray(values, np.int64)
        return pa.array(times, mask=times == NO_TIME).cast(kind)
    return pa.array(values, kind)
