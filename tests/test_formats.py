"""CSV and JSON lines give back every value; no cell of a CSV is a formula."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import FORMULA_ACCOUNT, export, write_small_run

from refrain.errors import InputError
from refrain.exporters.registry import export_run
from refrain.formats import guarded, plain


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    write_small_run(folder)
    export(folder)
    return folder


def originals(run: Path) -> dict[str, list[dict[str, Any]]]:
    return {path.stem: plain(pq.read_table(path).to_pylist()) for path in sorted((run / "exports").glob("*.parquet"))}


def test_json_lines_give_back_every_value_in_ascii(run: Path, tmp_path: Path) -> None:
    counts = export_run(run, tmp_path, "jsonl")
    for table, rows in originals(run).items():
        text = (tmp_path / f"{table}.jsonl").read_bytes().decode("ascii")
        assert [json.loads(line) for line in text.splitlines()] == rows
        assert "\x1b" not in text
        assert counts[table] == len(rows)


def test_csv_gives_back_every_value(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path, "csv")
    for table, rows in originals(run).items():
        with (tmp_path / f"{table}.csv").open(encoding="utf-8", newline="") as file:
            header, *cells = list(csv.reader(file))
        assert header == pq.read_schema(run / "exports" / f"{table}.parquet").names
        assert len(cells) == len(rows)
        for line, row in zip(cells, rows, strict=True):
            for cell, value in zip(line, row.values(), strict=True):
                if isinstance(value, str):
                    assert cell.removeprefix("'") == value
                else:
                    assert (json.loads(cell) if cell else None) == value


def test_an_account_that_is_a_formula_is_text_in_a_csv(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path, "csv")
    with (tmp_path / "accounts.csv").open(encoding="utf-8", newline="") as file:
        accounts = [row["account_id"] for row in csv.DictReader(file)]
    assert f"'{FORMULA_ACCOUNT}" in accounts
    assert FORMULA_ACCOUNT not in accounts


def test_parquet_is_copied_byte_for_byte(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path, "parquet")
    exports = run / "exports"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {p.name: p.read_bytes() for p in exports.iterdir()}


@given(st.text())
def test_one_apostrophe_off_gives_the_text_back(text: str) -> None:
    cell = guarded(text)
    assert cell.removeprefix("'") == text
    assert not cell.strip().startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    "text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", "\n1", " =1", "\u200b=1", "\ufeff=1", "＝1", "'=1"]
)
def test_what_could_be_a_formula_gets_an_apostrophe(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "plain", "a=b", "3-1", " plain", "[1, 2]", "\u0645"])
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert guarded(text) == text


def test_foreign_formats_missing_exports_and_the_runs_own_folder_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no export format 'xls'"):
        export_run(run, tmp_path, "xls")
    with pytest.raises(InputError, match="has no exports"):
        export_run(tmp_path / "nothing", tmp_path, "csv")
    with pytest.raises(InputError, match="not written over"):
        export_run(run, run / "exports", "parquet")
