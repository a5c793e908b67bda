"""Every format's fixtures: each is recognised by its own format alone, and gives its requests value for value."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.batches import Batch
from refrain.code import ROOT
from refrain.columns import COLUMNS
from refrain.detection import find_formats, head, reading_of
from refrain.dialects import BUILT_IN, REASONS, Bad, Passed, dialect, dialects
from refrain.dialects.table import with_table
from refrain.errors import ConfigError, InputError
from refrain.logs import discover
from refrain.records import read_portions
from refrain.settings import load_settings
from refrain.times import read_time

LOGS = Path(__file__).parent / "logs"
CONFIG = load_settings().config.ingest
READING = reading_of(CONFIG)
FIXTURES = [path for path in sorted(LOGS.glob("*/*")) if path.is_file() and ".expected." not in path.name]
IDS = [f"{path.parent.name}/{path.name}" for path in FIXTURES]
OURS = ("openai", "anthropic", "wildchat")
PASSED = {"openai/batch.jsonl": 1, "openai/logged.jsonl": 1, "wildchat/conversations.jsonl": 1}
Row = dict[str, Any]


def expected(path: Path) -> list[Row]:
    lines = path.with_name(f"{path.stem}.expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def raw_records(path: Path) -> list[Row]:
    (log,) = discover([str(path)])
    return list(head(log, READING, records=1000))


def read(path: Path, form: str) -> list[Batch]:
    (log,) = discover([str(path)])
    return [portion.batch(READING) for portion in read_portions(log, READING, lambda _: None, form)]


def rows(batch: Batch) -> Iterator[Row]:
    for at in range(len(batch.rows)):
        yield {name: column[at] for name, column in batch.columns.items() if column[at] is not None}


def placed(row: Row, zone: str) -> Row:
    """A row whose time has the zone that its format's documentation names."""
    if not zone or not isinstance(row.get("timestamp"), str):
        return row
    moment = read_time(row["timestamp"], READING.clock)
    assert moment is not None
    return {**row, "timestamp": moment.micros} if moment.naive else row


@pytest.mark.parametrize("path", FIXTURES, ids=IDS)
def test_a_fixture_gives_its_requests_value_for_value(path: Path) -> None:
    form = dialect(path.parent.name)
    told = [one for raw in raw_records(path) for one in form.read(raw)]
    assert [one for one in told if not isinstance(one, Passed)] == expected(path)
    (batch,) = read(path, form.name)
    given = [{name: value for name, value in row.items() if value is not None} for row in expected(path)]
    assert list(rows(batch)) == [placed(row, form.naive_times) for row in given]
    assert (batch.faults, batch.passed) == ([], sum(isinstance(one, Passed) for one in told))
    if form.name in OURS:
        assert batch.passed == PASSED.get(f"{form.name}/{path.name}", 0)


@pytest.mark.parametrize("path", FIXTURES, ids=IDS)
def test_a_fixture_is_recognised_by_its_own_format_alone(path: Path) -> None:
    for raw in raw_records(path):
        assert {form.name for form in dialects() if form.recognises(raw)} <= {path.parent.name}
    found = find_formats(discover([str(path)]), CONFIG)
    assert found.of == {path.name: path.parent.name}


def test_every_format_says_where_its_columns_come_from() -> None:
    for name in BUILT_IN:
        form = dialect(name)
        assert form.name == name
        given = {column for path in FIXTURES if path.parent.name == name for row in expected(path) for column in row}
        assert given <= set(form.fields) <= set(COLUMNS)


BODY = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize(
    ("name", "record", "field", "reason"),
    [
        ("openai", {"body": "{"}, "body", "unparsable JSON"),
        ("openai", {"body": "[" * 100_000}, "body", "unparsable JSON"),
        ("openai", {"body": [BODY]}, "body", "wrong type"),
        ("openai", {"body": {"model": "m"}}, "body.messages", "missing field"),
        ("openai", {"model": "m"}, "messages", "missing field"),
        ("openai", {"request": {"model": "m", "messages": "hello"}}, "request.messages", "wrong type"),
        ("openai", {"body": {"model": "m", "input": 7}}, "body.input", "wrong type"),
        ("openai", {"body": {"model": "m", "prompt": [[1, 2]]}}, "body.prompt", "wrong type"),
        ("anthropic", {"params": "{"}, "params", "unparsable JSON"),
        ("anthropic", {"params": {"model": "m"}}, "params.messages", "missing field"),
        ("anthropic", {"params": {**BODY, "system": 7}}, "params.system", "wrong type"),
        ("anthropic", {"requests": [7]}, "requests.0", "wrong type"),
        ("wildchat", {"conversation": "hello"}, "conversation", "wrong type"),
        ("wildchat", {}, "conversation", "missing field"),
        ("wildchat", {"conversation": [{"role": "user"}]}, "conversation.0.content", "missing field"),
    ],
)
def test_what_is_malformed_says_where_and_why(name: str, record: Row, field: str, reason: str) -> None:
    assert Bad(field, reason) in list(dialect(name).read(record))
    assert reason in REASONS


def test_a_claude_in_the_form_of_openai_is_openai_s() -> None:
    claude = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    gateway = {**claude, "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]}
    assert [form.name for form in dialects() if form.recognises(claude)] == ["anthropic"]
    assert [form.name for form in dialects() if form.recognises(gateway)] == ["openai"]


def write(path: Path, records: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_a_file_with_our_own_columns_is_read_as_such(tmp_path: Path) -> None:
    own = {"account_id": "a", "timestamp": 1_700_000_000, "model": "m", "messages": BODY["messages"]}
    log = write(tmp_path / "a.jsonl", [own])
    assert find_formats(discover([str(log)]), CONFIG).of == {}
    # What a folder says counts as a column.
    day = write(tmp_path / "account_id=a" / "b.jsonl", [{"timestamp": 1, "prompt": "x"}])
    assert find_formats(discover([str(day.parent.parent)]), CONFIG).of == {}


def test_a_file_of_no_known_format_is_an_error_that_names_it(tmp_path: Path) -> None:
    log = write(tmp_path / "odd.jsonl", [{"who": "xyzzy", "what": "xyzzy"}] * 3)
    with pytest.raises(InputError, match=r"odd\.jsonl") as raised:
        find_formats(discover([str(log)]), CONFIG)
    assert "xyzzy" not in raised.value.message + raised.value.hint and "inspect" in raised.value.hint
    mapped = replace(CONFIG, columns={"account_id": "who", "prompt": "what"})
    assert find_formats(discover([str(log)]), mapped).of == {}
    assert find_formats(discover([str(log)]), replace(CONFIG, format="refrain")).of == {}
    assert find_formats(discover([str(log)]), replace(CONFIG, format="openai")).of == {"odd.jsonl": "openai"}


def test_a_file_that_could_be_two_formats_is_an_error(tmp_path: Path) -> None:
    claude = {"custom_id": "1", "params": BODY}
    log = write(tmp_path / "both.jsonl", [claude, {"body": BODY}])
    with pytest.raises(InputError, match="anthropic or openai"):
        find_formats(discover([str(log)]), CONFIG)


def test_a_file_without_a_record_is_left_to_the_intake(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("{\n[1]\nnothing\n")
    (tmp_path / "b.csv").write_text("who,what\n")
    (tmp_path / "c.json").write_text("")
    assert find_formats(discover([str(tmp_path)]), CONFIG).of == {}


def test_formats_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="format"):
        load_settings(overrides=["ingest.format=nonsense"])
    with pytest.raises(ConfigError, match="columns"):
        load_settings(overrides=["ingest.format=openai", 'ingest.columns={account_id = "who"}'])


def test_rows_of_parquet_and_csv_read_as_lines_of_json(tmp_path: Path) -> None:
    records = [{"account_id": "a", "timestamp": "2026-01-01T00:00:00Z", "body": json.dumps(BODY)}] * 2
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "a.parquet")
    nested = [{**record, "body": BODY} for record in records]
    pq.write_table(pa.Table.from_pylist(nested), tmp_path / "b.parquet")
    write(tmp_path / "c.jsonl", records)
    cells = ",".join('"' + str(value).replace('"', '""') + '"' for value in records[0].values())
    (tmp_path / "d.csv").write_text(f"account_id,timestamp,body\n{cells}\n\n{cells}\n")
    (tmp_path / "e.json").write_text(json.dumps({"data": nested}, indent=1))
    found = find_formats(discover([str(tmp_path)]), CONFIG)
    assert found.of == {f"{name}": "openai" for name in ("a.parquet", "b.parquet", "c.jsonl", "d.csv", "e.json")}
    want = {"account_id": "a", "timestamp": "2026-01-01T00:00:00Z", "model": "m", "messages": BODY["messages"]}
    for name in found.of:
        (batch,) = read(tmp_path / name, "openai")
        assert (list(rows(batch)), batch.rows) == ([want, want], [1, 2]), name


def test_times_of_parquet_have_the_zone_that_they_have(tmp_path: Path) -> None:
    when = pa.array([1_700_000_000_123_456_789], pa.int64())
    for kind, text in (
        (pa.timestamp("ns"), "2023-11-14T22:13:20.123456"),
        (pa.timestamp("ns", "UTC"), "2023-11-14T22:13:20.123456+00:00"),
    ):
        table = pa.table({"time": when.cast(kind), "account_id": ["a"], "body": [json.dumps(BODY)]})
        pq.write_table(table, tmp_path / "a.parquet")
        (batch,) = read(tmp_path / "a.parquet", "openai")
        assert [row["timestamp"] for row in rows(batch)] == [text]


def test_texts_that_are_no_utf8_come_as_bytes(tmp_path: Path) -> None:
    broken = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\x04\0\0\0"), pa.py_buffer(b"caf\xe9"))
    table = pa.table({"account_id": broken, "timestamp": [1], "body": [json.dumps(BODY)]})
    pq.write_table(table, tmp_path / "a.parquet")
    (batch,) = read(tmp_path / "a.parquet", "openai")
    assert [row["account_id"] for row in rows(batch)] == [b"caf\xe9"]


def test_the_documentation_has_the_table_of_all_formats() -> None:
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    assert with_table(page) == page, "python -m refrain.dialects.table docs/logs.md"
