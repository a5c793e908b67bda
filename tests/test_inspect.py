"""A log inspected: what was understood, what was not, and not a word of it."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from refrain.cli import app
from refrain.column_hints import HINTS, propose
from refrain.columns import COLUMNS
from refrain.errors import InputError
from refrain.inspection import inspect_log, settings_for
from refrain.settings import load_settings
from refrain.shapes import shape

CONFIG = load_settings().config.ingest
LOGS = Path(__file__).parent / "logs"
CANARY = "zanzibarquokka"
Row = dict[str, Any]


def call(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def write(path: Path, records: list[Any]) -> Path:
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))
    return path


def bodies(count: int) -> list[Row]:
    said = [{"role": "user", "content": f"{CANARY} {CANARY}"}]
    return [
        {"account_id": f"{CANARY}-{at % 5}", "time": f"2026-01-0{1 + at % 9}", "body": {"model": "m", "messages": said}}
        for at in range(count)
    ]


def test_a_known_format_is_described_without_a_word_of_the_log(tmp_path: Path) -> None:
    records = [*bodies(30), {**bodies(1)[0], "body": CANARY}, "{", {**bodies(1)[0], "account_id": None, "odd": 1}]
    log = write(tmp_path / "log.jsonl", records)
    (sample,) = inspect_log([str(log)], CONFIG).samples
    assert (sample.format, sample.files, sample.records, sample.requests) == ("openai", ["log.jsonl"], 33, 30)
    assert sample.refused == {"account_id: no account": 1, "body: unparsable JSON": 1, "unparsable record": 1}
    assert (sample.earliest, sample.latest) == ("2026-01-01T00:00:00+00:00", "2026-01-09T00:00:00+00:00")
    assert (sample.zone, sample.naive_times, sample.accounts, sample.unused) == ("UTC", 30, 5, ["odd"])
    assert sample.columns["timestamp"] == ["time"] and sample.columns["messages"] == ["body.messages"]
    assert sample.missing["ip"] == 1.0 and "messages" not in sample.missing
    assert sample.rows[0]["messages"] == "1 messages: user 29"
    printed = call("inspect", log).stdout
    assert "openai: OpenAI request bodies" in printed and "1 x body: unparsable JSON" in printed
    told = json.loads(call("inspect", log, "--json").stdout)
    assert told["samples"][0]["requests"] == 30
    assert CANARY not in printed + json.dumps(told)


def test_a_plain_table_gets_a_proposal_that_counts_only_once_confirmed(tmp_path: Path) -> None:
    lines = ["userId,Created At,query,clientIP,end_user", f"{CANARY},2026-01-01 10:00,hello there,10.0.0.1,eu"]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    log, saved = tmp_path / "log.csv", tmp_path / "mapping.toml"
    printed = call("inspect", log, code=1).stdout
    assert "NOT applied" in printed and CANARY not in printed
    refused = call("ingest", log, "--outputs", tmp_path / "out", code=2).output
    assert "log.csv" in refused and "refrain inspect" in refused
    call("inspect", log, "--write", saved)
    assert saved.read_text().splitlines() == [
        "[ingest]",
        'format = "refrain"',
        "",
        "[ingest.columns]",
        'account_id = "userId"',
        'timestamp = "Created At"',
        'prompt = "query"',
        'ip = "clientIP"',
        'end_user = "end_user"',
    ]
    call("ingest", log, "--config", saved, "--outputs", tmp_path / "out")
    assert "refrain: a log with refrain's own columns" in call("inspect", log, "--config", saved).stdout


def test_a_format_that_was_found_is_saved_by_its_name(tmp_path: Path) -> None:
    found = inspect_log([str(LOGS / "wildchat" / "conversations.jsonl")], CONFIG)
    assert settings_for(found) == {"ingest": {"format": "wildchat"}}
    write(tmp_path / "a.jsonl", bodies(3))
    (tmp_path / "b.jsonl").write_bytes((LOGS / "wildchat" / "conversations.jsonl").read_bytes())
    both = inspect_log([str(tmp_path)], CONFIG)
    assert [sample.format for sample in both.samples] == ["openai", "wildchat"]
    with pytest.raises(InputError, match="several formats"):
        settings_for(both)


def test_nothing_understood_is_code_1_and_nothing_to_save(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [{"zzz": 1, "yyy": CANARY}])
    assert "unused     yyy, zzz" in call("inspect", log, code=1).stdout
    assert "no column" in call("inspect", log, "--write", tmp_path / "m.toml", code=2).output


def test_only_the_head_of_a_giant_file_is_read(tmp_path: Path) -> None:
    def bytes_read() -> int:
        found = re.search(r"rchar: (\d+)", Path("/proc/self/io").read_text())
        assert found is not None
        return int(found[1])

    many = write(tmp_path / "a.jsonl", bodies(1000))
    few = write(tmp_path / "b.jsonl", bodies(3))  # one endless line after them
    array = tmp_path / "c.json"
    array.write_text(json.dumps(bodies(1000)))
    for log, seen in ((many, 200), (few, 3), (array, 200)):
        with log.open("ab") as file:
            file.truncate(1 << 30)
        before = bytes_read()
        (sample,) = inspect_log([str(log)], CONFIG).samples
        assert bytes_read() - before < 128 << 20
        assert (sample.format, sample.records) == ("openai", seen)


def test_of_many_files_twenty_are_looked_into(tmp_path: Path) -> None:
    for at in range(50):
        write(tmp_path / f"{at:02d}.jsonl", bodies(1))
    found = inspect_log([str(tmp_path)], CONFIG)
    assert (found.files, found.looked_at) == (50, 17)


def test_parquet_with_our_own_columns_is_described(tmp_path: Path) -> None:
    rows = [{"account_id": "a", "timestamp": 1_700_000_000, "prompt": CANARY, "shoe": 1, "ip": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (sample,) = inspect_log([str(tmp_path)], CONFIG).samples
    assert (sample.format, sample.requests, sample.unused) == ("refrain", 1, ["shoe"])
    assert sample.columns == {name: [name] for name in ("account_id", "timestamp", "prompt", "ip")}
    assert sample.missing["ip"] == 1.0


def test_hostile_names_are_harmless_where_they_are_shown(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [{"\x1b[31mred": 1, "a\nb": 2, "x" * 5000: 3}])
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", call("inspect", log, code=1).stdout)


def test_user_and_end_user_are_two() -> None:
    assert propose(["user", "end_user"]) == {"account_id": "user", "end_user": "end_user"}
    assert propose(["endUser", "text"]) == {"prompt": "text", "end_user": "endUser"}
    assert propose(["user_id", "account_id"]) == {"account_id": "account_id"}
    assert set(HINTS) >= set(COLUMNS)


@given(st.lists(st.text(max_size=12) | st.sampled_from(sorted({hint for hints in HINTS.values() for hint in hints}))))
def test_a_proposal_names_each_column_at_most_once(names: list[str]) -> None:
    found = propose(names)
    assert len(set(found.values())) == len(found)
    assert set(found.values()) <= set(names) and list(found) == [name for name in COLUMNS if name in found]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(VALUES)
def test_a_mask_holds_none_of_what_it_stands_for(value: Any) -> None:
    mark = "\u2603" * 3
    held = [{"role": mark, "content": mark, mark: value}]
    assert "\u2603" not in shape(held) + shape(mark) + shape({mark: mark}) + shape([mark])
    assert len(shape(value)) < 200


def test_ingest_says_as_what_it_reads(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", bodies(3))
    told = call("ingest", log, "--outputs", tmp_path / "a").stdout
    assert told.startswith("reading 1 file as OpenAI request bodies\n") and "1 files as openai" in told
    assert "reading" not in call("ingest", log, "--outputs", tmp_path / "b", "--quiet").stdout


def test_what_could_be_two_formats_is_said_to_be(tmp_path: Path) -> None:
    said = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    log = write(tmp_path / "log.jsonl", [{"custom_id": "1", "params": said}, {"body": said}])
    assert "log.jsonl could be of the format anthropic or openai" in call("inspect", log, code=1).stdout
