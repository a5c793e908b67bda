"""Records of every format under our names, and faults of single records."""

import json
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.batches import MISSING, Batch, Reading
from refrain.errors import InputError
from refrain.lines import TornFileError
from refrain.logs import discover
from refrain.records import read_batches
from refrain.times import clock

READING = Reading(
    names={"account_id": "who"},
    clock=clock("UTC", 2000, 2100),
    batch_rows=3,
    batch_bytes=1 << 20,
    record_bytes=1 << 10,
    csv_delimiter=",",
)


def read(path: Path, reading: Reading = READING) -> list[Batch]:
    (log,) = discover([str(path)])
    return list(read_batches(log, reading, lambda _: None))


def values(batches: Iterable[Batch], name: str) -> list[Any]:
    return [value for batch in batches for value in batch.columns.get(name, [MISSING] * len(batch.rows))]


def faults(batches: Iterable[Batch]) -> list[tuple[int, str]]:
    return [(fault.row, fault.reason) for batch in batches for fault in batch.faults]


def test_the_same_records_come_from_every_format(tmp_path: Path) -> None:
    rows = [{"who": f"a{at}", "prompt": f'say "{at}",\nthen stop', "tokens_in": str(at)} for at in range(8)]
    (tmp_path / "a.jsonl").write_text("\n\n".join(map(json.dumps, rows)))
    lines = ["who,prompt,tokens_in"]
    lines += [",".join('"' + value.replace('"', '""') + '"' for value in row.values()) for row in rows]
    (tmp_path / "a.csv").write_text("\r\n".join(lines))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", row_group_size=5)
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        batches = read(tmp_path / name)
        assert max(len(batch.rows) for batch in batches) <= 3
        assert [row for batch in batches for row in batch.rows] == list(range(1, 9)), name
        assert values(batches, "account_id") == [row["who"] for row in rows], name
        assert values(batches, "prompt") == [row["prompt"] for row in rows], name
        assert set(values(batches, "model")) == {MISSING}, name


def test_a_broken_line_is_a_fault_of_that_line(tmp_path: Path) -> None:
    lines = [b'{"who": 1}', b'{"who": ', b"[1]", b"9" * 5000, b'{"who": NaN}', b"[" * 1000, b'{"who": "\xff"}', b"\x00"]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    batches = read(tmp_path / "a.jsonl")
    assert values(batches, "account_id") == [1, None, "\udcff"]
    assert faults(batches) == [
        (2, "unparsable record"),
        (3, "no object"),
        (4, "over-long record"),
        (6, "unparsable record"),
        (8, "unparsable record"),
    ]


def test_a_csv_row_with_other_fields_is_a_fault_of_that_row(tmp_path: Path) -> None:
    lines = ["who,prompt", "a,one", "b", "c,three,more", "", "d," + "x" * 2000, "e,five", 'f,"open', "g,seven"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    batches = read(tmp_path / "a.csv")
    assert values(batches, "prompt") == ["one", "five", "open\ng,seven\n"]
    assert faults(batches) == [(2, "wrong number of fields"), (3, "wrong number of fields"), (4, "over-long record")]


def test_an_unclosed_quote_swallows_no_more_than_a_record_may_hold(tmp_path: Path) -> None:
    lines = ["who,prompt", 'a,"open', *["b,two"] * 500, "c,three"]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    batches = read(tmp_path / "a.csv")
    assert faults(batches)[0] == (1, "unparsable record")
    assert values(batches, "prompt")[-1] == "three"


def test_an_unreadable_csv_header_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x" * 5000 + "\n")
    with pytest.raises(InputError, match=r"header of a\.csv"):
        read(tmp_path / "a.csv")


def test_a_partition_stands_in_for_a_column_that_the_file_lacks(tmp_path: Path) -> None:
    place = tmp_path / "model=big" / "a.jsonl"
    place.parent.mkdir()
    place.write_text('{"who": 1}\n{"who": 2, "model": "small"}\n{"who": 3, "model": null}')
    assert values(read(tmp_path), "model") == ["big", "small", None]


def test_texts_that_are_no_utf8_come_as_bytes_and_other_columns_are_not_read(tmp_path: Path) -> None:
    texts = pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": texts, "secret": ["x", "y"]}), tmp_path / "a.parquet")
    (batch,) = read(tmp_path / "a.parquet")
    assert batch.columns == {"prompt": [b"fine", b"caf\xe9"]}
    pq.write_table(pa.table({"secret": ["x", "y"]}), tmp_path / "b.parquet")
    (batch,) = read(tmp_path / "b.parquet")
    assert (batch.rows, batch.columns) == ([1, 2], {})


def test_large_records_make_small_batches(tmp_path: Path) -> None:
    prompts = [secrets.token_hex(50_000) for _ in range(9)]
    pq.write_table(pa.table({"prompt": prompts}), tmp_path / "a.parquet")
    batches = read(tmp_path / "a.parquet", replace(READING, batch_bytes=250_000))
    assert [len(batch.rows) for batch in batches] == [2, 2, 2, 2, 1]
    assert values(batches, "prompt") == prompts


@pytest.mark.parametrize("keep", [0, 4, 100, -5])
def test_a_torn_parquet_file_is_an_error(tmp_path: Path, keep: int) -> None:
    pq.write_table(pa.table({"prompt": ["x" * at for at in range(100)]}), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:keep])
    with pytest.raises(TornFileError):
        read(tmp_path / "a.parquet")
