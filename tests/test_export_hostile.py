"""Accounts and prompts full of HTML, escapes, NUL, direction marks and formulas come back whole from every format."""

import csv
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import networkx as nx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import stix2
from exported import KEY, make_run, options_for
from hypothesis import given
from hypothesis import strategies as st
from tables import HOSTILE

from refrain.exporters.escapes import MARK, for_xml, unescaped, without_nul
from refrain.exporters.registry import export_run
from refrain.share_key import shared_id

if TYPE_CHECKING:
    from postgres import Server

TEXTS = (
    f"{HOSTILE} x" * 3,
    "=HYPERLINK(\"http://x\",\"y\")",
    "\t=1+1",
    "'quoted'",
    "</data></node>]]><script>",
    f"a\0b{MARK}0000c\r\nd\x0be\x1b]0;t\x07",
    "\u202eevil\u2066\ufeff\ufffe\uffff\U0010ffff",
    "'; DROP TABLE labels; --",
    "{\"a\": [1]}\\N\\.",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run whose accounts are called so, and whose templates say so."""
    made = make_run(tmp_path_factory.mktemp("run"))
    members = sorted(set(pq.read_table(made / "exports" / "accounts.parquet")["account_id"].to_pylist()))
    names = dict(zip(members, TEXTS, strict=False))
    assert len(names) == len(TEXTS)
    for table, column in (("accounts", "account_id"), ("labels", "account_id"), ("templates", "skeleton")):
        path = made / "exports" / f"{table}.parquet"
        rows = pq.read_table(path)
        values = rows[column].to_pylist()
        new = [names.get(value, value) for value in values] if column == "account_id" else list(TEXTS[: len(values)])
        position = rows.column_names.index(column)
        pq.write_table(rows.set_column(position, rows.schema.field(column), pa.array(new, pa.string())), path)
    return made


def accounts_of(run: Path) -> set[str]:
    return set(pq.read_table(run / "exports" / "accounts.parquet")["account_id"].to_pylist())


def _jsonl(to: Path) -> Iterator[dict[str, Any]]:
    for line in to.read_text(encoding="ascii").splitlines():
        yield json.loads(line)


def _of_csv(to: Path) -> set[str]:
    with (to / "accounts.csv").open(encoding="utf-8", newline="") as file:
        return {row["account_id"].removeprefix("'") for row in csv.DictReader(file)}


def _of_sqlite(to: Path) -> set[str]:
    connection = sqlite3.connect(to)
    try:
        return {row[0] for row in connection.execute("SELECT account_id FROM accounts")}
    finally:
        connection.close()


def _of_duckdb(to: Path) -> set[str]:
    connection = duckdb.connect(str(to), read_only=True)
    try:
        return {row[0] for row in connection.execute("SELECT account_id FROM accounts").fetchall()}
    finally:
        connection.close()


def _of_graph(graph: Any) -> set[str]:
    return {unescaped(data["name"]) for _, data in graph.nodes(data=True) if data["kind"] == "account"}


READ: dict[str, Callable[[Path], set[str]]] = {
    "parquet": lambda to: set(pq.read_table(to / "accounts.parquet")["account_id"].to_pylist()),
    "csv": _of_csv,
    "jsonl": lambda to: {row["account_id"] for row in _jsonl(to / "accounts.jsonl")},
    "sql": _of_sqlite,
    "duckdb": _of_duckdb,
    "graphml": lambda to: _of_graph(nx.read_graphml(to)),
    "gexf": lambda to: _of_graph(nx.read_gexf(to)),
    "siem": lambda to: {row["user"]["id"] for row in _jsonl(to) if "user" in row},
}


@pytest.mark.parametrize("form", READ)
def test_every_account_comes_back_as_it_was(run: Path, tmp_path: Path, form: str) -> None:
    export_run(run, tmp_path / "to", form, options_for(run))
    assert READ[form](tmp_path / "to") == accounts_of(run)


def test_postgresql_gives_every_account_and_skeleton_back(run: Path, server: "Server") -> None:
    url = server.url(server.make_database())
    for _ in range(2):
        export_run(run, url, "sql", options_for(run))
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        found = connection.execute("SELECT account_id FROM refrain.accounts").fetchall()
        skeletons = connection.execute("SELECT skeleton FROM refrain.templates ORDER BY template_id").fetchall()
    assert {unescaped(row[0]) for row in found} == accounts_of(run)
    assert [unescaped(row[0]) for row in skeletons] == list(TEXTS[:3])


def test_stix_has_each_account_hashed_and_each_skeleton_whole(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "to", "stix", options_for(run, with_text=True, more={"findings": "all"}))
    parsed = stix2.parse((tmp_path / "to").read_text(encoding="ascii"), allow_custom=False)
    wanted = {shared_id(KEY, "account", one) for one in accounts_of(run)}
    assert {one.user_id for one in parsed.objects if one.type == "user-account"} == wanted
    notes = [json.loads(one.content) for one in parsed.objects if one.type == "note"]
    assert {note["skeleton"] for note in notes if "skeleton" in note} == {TEXTS[1], TEXTS[2]}


@pytest.mark.parametrize("form", ["jsonl", "siem", "stix"])
def test_what_a_terminal_shows_of_lines_is_ascii_without_a_control(run: Path, tmp_path: Path, form: str) -> None:
    export_run(run, tmp_path / "to", form, options_for(run, **({} if form == "jsonl" else {"with_text": True})))
    to = tmp_path / "to"
    for path in sorted(to.iterdir()) if to.is_dir() else [to]:
        assert all(byte in b"\n" or 32 <= byte < 127 for byte in path.read_bytes()), path.name


def test_no_cell_of_a_csv_is_a_formula(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path, "csv", options_for(run))
    for path in sorted(tmp_path.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        for cell in cells:
            if cell.startswith("-"):
                float(cell)  # a number of ours
            else:
                assert not cell.startswith(("=", "+", "@", "\t", "\r"))


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_what_is_escaped_can_be_had_back(text: str) -> None:
    assert "\0" not in without_nul(text)
    assert unescaped(without_nul(text)) == text
    element = ET.Element("a", {"b": "c"})
    element.text = for_xml(text)
    read = ET.fromstring(ET.tostring(element, encoding="utf-8")).text or ""
    assert unescaped(read) == text


@given(st.text(st.characters(blacklist_categories=["Cc", "Cs", "Cn"], blacklist_characters=MARK)))
def test_plain_text_is_not_touched(text: str) -> None:
    assert without_nul(text) == for_xml(text) == text
