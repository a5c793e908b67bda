"""Columns of a stage's tables as numpy arrays, and arrays as tables.

A table is one Parquet file or a folder of partitions `day=.../part-0.parquet`, which are read in the order of their
names and in which row numbers go on. Only the named columns are read; texts come as dictionary codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.queries import write_table


@dataclass(frozen=True)
class Coded:
    """A text column: `codes` (n,) int64 positions in the sorted distinct `values`, -1 for null."""

    codes: NDArray[np.int64]
    values: list[str]


def parts(table: Path) -> list[Path]:
    """The Parquet files of a table in row order."""
    return sorted(table.glob("day=*/part-*.parquet")) if table.is_dir() else [table]


def read_table(table: Path, columns: Sequence[str]) -> pa.Table:
    """The named columns of a table."""
    return pa.concat_tables([pq.ParquetFile(path).read(columns=list(columns)) for path in parts(table)])


def read_columns(table: Path, columns: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The named columns as arrays: integers as int64 with -1 for null, times as int64 microseconds since 1970 in UTC
    (the smallest int64 for null), numbers as float64, booleans as bool, texts as objects."""
    data = read_table(table, columns)
    return {name: _array(data[name]) for name in columns}


def column(table: Path, name: str) -> NDArray[Any]:
    """One column, as `read_columns` gives it."""
    return read_columns(table, [name])[name]


def read_coded(table: Path, columns: Sequence[str]) -> dict[str, Coded]:
    """Text columns as codes into their sorted distinct values."""
    data = read_table(table, columns)
    out = {}
    for name in columns:
        encoded = pc.dictionary_encode(data[name]).combine_chunks() if data.num_rows else pa.chunked_array([[]], pa.string())
        if not data.num_rows:
            out[name] = Coded(np.zeros(0, np.int64), [])
            continue
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0)
        values = encoded.dictionary.to_pylist()
        order = sorted(range(len(values)), key=values.__getitem__)
        rank = np.empty(len(values) + 1, np.int64)
        rank[order] = np.arange(len(values))
        rank[-1] = -1
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        out[name] = Coded(rank[codes], [values[i] for i in order])
    return out


def _array(values: pa.ChunkedArray) -> NDArray[Any]:
    kind = values.type
    if pa.types.is_timestamp(kind):
        return np.asarray(values.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).fill_null(np.iinfo(np.int64).min).to_numpy())
    if pa.types.is_integer(kind):
        return np.asarray(values.cast(pa.int64()).fill_null(-1).to_numpy())
    if pa.types.is_floating(kind):
        return np.asarray(values.cast(pa.float64()).to_numpy())
    if pa.types.is_boolean(kind):
        return np.asarray(values.to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_dictionary(kind):
        values = values.cast(kind.value_type)
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=object)


def write_columns(path: Path, schema: pa.Schema, columns: Mapping[str, Any]) -> None:
    """Nothing; `path` then holds the columns in the order and types of the schema. Times are int64 microseconds."""
    arrays = []
    for field in schema:
        values = columns[field.name]
        if pa.types.is_timestamp(field.type):
            arrays.append(pa.array(np.asarray(values, np.int64)).cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    write_table(path, schema, [pa.table(arrays, schema=schema)])
