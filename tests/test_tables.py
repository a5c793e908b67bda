"""Columns of tables as arrays and back: nothing changes on the way."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.tables import NO_TIME, column, parts, read_coded, read_columns, read_table, write_columns

TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        ("at", TIME),
        ("n", pa.int64()),
        ("x", pa.float64()),
        ("b", pa.bool_()),
        ("s", pa.string()),
        ("l", pa.list_(pa.int64())),
    ]
)
NAMES = ["at", "n", "x", "b", "s"]
ROW = st.tuples(
    st.just(NO_TIME) | st.integers(-(10**15), 10**15),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.lists(st.integers(0, 9)),
)


@settings(max_examples=30)
@given(rows=st.lists(ROW))
def test_what_is_written_reads_equal(rows: list[tuple[object, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.parquet"
    columns = {field.name: [row[i] for row in rows] for i, field in enumerate(SCHEMA)}
    write_columns(path, SCHEMA, columns)
    found = read_columns(path, NAMES)
    assert {name: found[name].tolist() for name in NAMES} == {name: columns[name] for name in NAMES}
    assert [found[name].dtype for name in NAMES] == [np.int64, np.int64, np.float64, np.bool_, np.object_]
    assert read_table(path, ["l"])["l"].to_pylist() == columns["l"]


def test_nulls_by_kind(tmp_path: Path) -> None:
    kinds = [
        TIME,
        pa.int64(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.int32(),
        pa.dictionary(pa.int32(), pa.string()),
    ]
    table = pa.table([pa.nulls(1, kind) for kind in kinds[:-1]] + [pa.array([None], kinds[-1])], list("abcdefg"))
    pq.write_table(table, tmp_path / "t.parquet")
    found = {name: values.tolist()[0] for name, values in read_columns(tmp_path / "t.parquet", list("abdefg")).items()}
    assert found == {"a": NO_TIME, "b": -1, "d": False, "e": None, "f": -1, "g": None}
    assert np.isnan(column(tmp_path / "t.parquet", "c")).all()
    assert read_coded(tmp_path / "t.parquet", ["e"])["e"].codes.tolist() == [-1]


def test_times_of_any_unit_and_zone_are_microseconds_in_utc(tmp_path: Path) -> None:
    at = pa.array([1_700_000_000_000], pa.timestamp("ms", tz="Asia/Tokyo"))
    pq.write_table(pa.table({"at": at}), tmp_path / "t.parquet")
    assert column(tmp_path / "t.parquet", "at").tolist() == [1_700_000_000_000_000]


def test_partitions_are_one_table_in_the_order_of_their_days(tmp_path: Path) -> None:
    for day, values in {"02": ["b", None, "a"], "10": ["c", "a"], "01": []}.items():
        folder = tmp_path / f"day=2026-01-{day}"
        folder.mkdir()
        pq.write_table(pa.table({"s": pa.array(values, pa.string())}), folder / "part-0.parquet")
    assert [path.parent.name[-2:] for path in parts(tmp_path)] == ["01", "02", "10"]
    assert column(tmp_path, "s").tolist() == ["b", None, "a", "c", "a"]
    coded = read_coded(tmp_path, ["s"])["s"]
    assert (coded.codes.tolist(), coded.values) == ([1, -1, 0, 2, 0], ["a", "b", "c"])


def test_a_table_without_partitions_is_empty(tmp_path: Path) -> None:
    assert column(tmp_path, "n").dtype == np.int64
    coded = read_coded(tmp_path, ["s"])["s"]
    assert (coded.codes.tolist(), coded.values) == ([], [])
