"""Tables are written in the same bytes however they arrive, and a database stays within its memory."""

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refrain.queries
from refrain.errors import StoreError
from refrain.queries import ROW_GROUP_ROWS, batches, conform, database, write_table

SCHEMA = pa.schema([pa.field("row", pa.int64(), nullable=False), pa.field("text", pa.string())])


def table(rows: int) -> pa.Table:
    return pa.table({"row": range(rows), "text": [f"text {row % 97}" for row in range(rows)]}, schema=SCHEMA)


@pytest.mark.parametrize("portion", [1_000, ROW_GROUP_ROWS, 10**6])
def test_the_size_of_the_portions_leaves_no_trace(tmp_path: Path, portion: int) -> None:
    whole = table(2 * ROW_GROUP_ROWS + 5)
    rows = write_table(tmp_path / "whole", SCHEMA, [whole])
    portions = [whole.slice(start, portion) for start in range(0, whole.num_rows, portion)]
    assert write_table(tmp_path / "portions", SCHEMA, portions) == rows == whole.num_rows
    assert (tmp_path / "portions").read_bytes() == (tmp_path / "whole").read_bytes()
    assert pq.read_table(tmp_path / "portions").equals(whole)
    metadata = pq.read_metadata(tmp_path / "portions")
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [
        ROW_GROUP_ROWS,
        ROW_GROUP_ROWS,
        5,
    ]


def test_an_empty_table_has_its_schema(tmp_path: Path) -> None:
    assert write_table(tmp_path / "empty", SCHEMA, []) == 0
    assert pq.read_schema(tmp_path / "empty") == SCHEMA


def test_a_query_over_more_than_the_memory_comes_back_whole_ordered_and_leaves_no_spill(tmp_path: Path) -> None:
    rows = 1_000_000
    sql = "SELECT i AS row, md5(i::VARCHAR) AS text FROM range($rows) t(i) ORDER BY md5((-i)::VARCHAR), i"
    expected = 0
    with database(64, tmp_path) as connection:
        for part in batches(connection, sql, SCHEMA, {"rows": rows}):
            expected += pa.compute.sum(part["row"]).as_py()
    assert expected == rows * (rows - 1) // 2
    assert not list(tmp_path.iterdir())


def test_paths_with_characters_of_a_pattern_are_paths(tmp_path: Path) -> None:
    folder = tmp_path / "day=[a]*?"
    folder.mkdir()
    write_table(folder / "part-0.parquet", SCHEMA, [table(3)])
    with database(64) as connection:
        files = {"files": [str(folder / "part-0.parquet")]}
        [part] = batches(connection, "SELECT * FROM read_parquet($files) ORDER BY row", SCHEMA, files)
    assert part.equals(table(3))


def test_a_missing_column_and_a_forbidden_null_are_named() -> None:
    with pytest.raises(StoreError, match="lacks its column text"):
        conform(table(1).drop_columns("text"), SCHEMA)
    with pytest.raises(StoreError, match="the column row is empty in 2 rows"):
        conform(pa.table({"row": pa.array([1, None, None], pa.int64()), "text": ["a", "b", "c"]}), SCHEMA)


@given(
    st.lists(st.text(max_size=4) | st.none(), max_size=30),
    st.lists(st.integers(0, 30), max_size=5),
    st.integers(1, 6),
    st.integers(1, 12),
)
def test_row_groups_end_by_rows_or_bytes_and_hold_every_row(
    texts: list[str | None], cuts: list[int], rows: int, size: int
) -> None:
    whole = pa.table({"row": range(len(texts)), "text": texts}, schema=SCHEMA)
    ends = [0, *sorted(min(cut, len(texts)) for cut in cuts), len(texts)]
    portions = [whole.slice(a, b - a) for a, b in itertools.pairwise(ends)]
    expected: list[list[str | None]] = []
    for text in texts:  # one by one: a group takes a row while it has room, and its first row always
        held = sum(len((t or "").encode()) for t in expected[-1]) if expected else 0
        if expected and len(expected[-1]) < rows and held + len((text or "").encode()) <= size:
            expected[-1].append(text)
        else:
            expected.append([text])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refrain.queries, "ROW_GROUP_ROWS", rows)
        patch.setattr(refrain.queries, "ROW_GROUP_BYTES", size)
        groups = [group["text"].to_pylist() for group in refrain.queries._row_groups(portions)]
    assert groups == expected
