"""The document of the export contract and the written files agree, column by column."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import export, write_small_run

from refrain import contract

README = Path(__file__).parents[1] / "outputs" / "README.md"


def documented() -> dict[str, dict[str, tuple[str, bool, str]]]:
    """Table -> column -> (type, may be null, meaning), as the README's tables have them."""
    tables: dict[str, dict[str, tuple[str, bool, str]]] = {}
    for section in README.read_text(encoding="utf-8").split("\n### ")[1:]:
        lines = section.partition("\n## ")[0].splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:2] == "| "]
        assert rows[0] == ["column", "type", "unit", "null", "meaning"]
        name = section.partition("\n")[0]
        tables[name] = {column: (kind, null != "never", meaning) for column, kind, _, null, meaning in rows[1:]}
    return tables


def described(schema: pa.Schema) -> dict[str, tuple[str, bool]]:
    """Column -> (type, may be null), with the tests' columns as the one row that stands for them."""
    return {
        ("test_*" if field.name.startswith(contract.TEST_PREFIX) else field.name): (
            re.sub(r"list<\w+: (\w+)>", r"list<\1>", str(field.type)),
            field.nullable,
        )
        for field in schema
    }


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("run")
    write_small_run(run)
    return export(run)


def test_the_document_and_the_files_have_the_same_columns_types_and_nulls(exports: Path) -> None:
    tables = documented()
    written = {path.stem: pq.read_schema(path) for path in exports.glob("*.parquet")}
    assert list(tables) == list(contract.TABLES)
    assert written.keys() == tables.keys()
    for name, schema in written.items():
        assert described(schema) == {column: row[:2] for column, row in tables[name].items()}, name
        assert list(described(schema)) == list(tables[name]), name


def test_every_column_is_explained() -> None:
    assert all(meaning for columns in documented().values() for _, _, meaning in columns.values())


def test_every_file_names_the_documented_version(exports: Path) -> None:
    [version] = re.findall(r"## Contract, version (\S+)", README.read_text(encoding="utf-8"))
    assert {pq.read_schema(path).metadata[contract.METADATA_KEY].decode() for path in exports.glob("*.parquet")} == {
        version
    }


def test_every_field_of_a_packet_is_documented(exports: Path) -> None:
    described = README.read_text(encoding="utf-8").partition("## Evidence packets")[2]
    packet = json.loads((exports / "packets.jsonl").read_text(encoding="ascii").splitlines()[0])
    fields = {*packet, *packet["messages"][0], *packet["waterfall"], *packet["templates"][0]["slots"][0]}
    fields |= set(packet["would_change"]["changes"][0]) | {"what", "outside", "columns", "explained_by", "unexplained"}
    # The packet's columns of other tables are described there.
    undocumented = {field for field in fields if not re.search(rf"`{field}`", described)}
    assert undocumented <= {"families"}
