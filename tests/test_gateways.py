"""The logs of LiteLLM, Helicone and Amazon Bedrock, in their true shapes, give canonical records value for value."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.artifacts import Store
from refrain.columns import COLUMNS
from refrain.dialects import Bad, Dialect, Passed, bedrock, helicone, litellm
from refrain.dialects.chat_markup import turns_of
from refrain.dialects.dialect import REASONS
from refrain.dialects.request_bodies import has_text, read_body
from refrain.progress import NoProgress
from refrain.requests import ingest_logs
from refrain.settings import load_settings

LOGS = Path(__file__).parent / "logs"
DIALECTS = {found.name: found for found in (litellm.DIALECT, helicone.DIALECT, bedrock.DIALECT)}
FIXTURES = sorted(
    path for name in DIALECTS for path in (LOGS / name).iterdir() if not path.name.endswith(".expected.jsonl")
)


def raw_records(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    text = path.read_text("utf-8")
    return [json.loads(text)] if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def expected(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.with_suffix(".expected.jsonl").read_text("utf-8").splitlines()]


def read(dialect: Dialect, *raw: dict[str, Any]) -> list[Any]:
    return [found for record in raw for found in dialect.read(record)]


def one(name: str, fixture: str) -> dict[str, Any]:
    return raw_records(LOGS / name / fixture)[0]


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_fixture_gives_its_canonical_records(path: Path) -> None:
    dialect = DIALECTS[path.parent.name]
    found = read(dialect, *raw_records(path))
    assert found == expected(path)
    # What a dialect gives stands under our names, and its table says from where.
    assert {name for record in found for name in record} <= set(COLUMNS) & set(dialect.fields)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_fixture_is_recognised_by_its_own_dialect_alone(path: Path) -> None:
    for record in raw_records(path):
        assert [name for name, dialect in DIALECTS.items() if dialect.recognises(record)] == [path.parent.name]


def test_our_own_columns_are_no_gateway_s() -> None:
    for record in (dict.fromkeys(COLUMNS, "x"), {"messages": [], "model": "m"}, {"id": "r", "startTime": 1}, {}):
        assert not any(dialect.recognises(record) for dialect in DIALECTS.values())


def test_rows_of_parquet_read_as_rows_of_json(tmp_path: Path) -> None:
    rows = raw_records(LOGS / "litellm" / "spend_logs.jsonl")
    cells = [
        {name: json.dumps(held) if isinstance(held, dict | list) else held for name, held in row.items()}
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(cells), tmp_path / "a.parquet")  # the first row has every column
    rows_of_parquet = pq.read_table(tmp_path / "a.parquet").to_pylist()
    assert read(litellm.DIALECT, *rows_of_parquet) == expected(LOGS / "litellm" / "spend_logs.jsonl")


def test_a_map_of_parquet_is_a_list_of_pairs() -> None:
    raw = one("helicone", "api.jsonl")
    for pair in (tuple, list):
        pairs = {**raw, "request_properties": [pair(item) for item in raw["request_properties"].items()]}
        assert read(helicone.DIALECT, pairs) == expected(LOGS / "helicone" / "api.jsonl")[:1]


SPEND = one("litellm", "spend_logs.jsonl")
ASKED = one("helicone", "api.jsonl")
CALL = one("bedrock", "invocations.jsonl")


@pytest.mark.parametrize(
    ("dialect", "raw", "found"),
    [
        (litellm, {**SPEND, "proxy_server_request": "{}"}, Bad("proxy_server_request", "missing field")),
        (
            litellm,
            {**SPEND, "proxy_server_request": '{"messages": [{"ro'},
            Bad("proxy_server_request", "unparsable JSON"),
        ),
        (litellm, {**SPEND, "proxy_server_request": 7}, Bad("proxy_server_request", "wrong type")),
        (litellm, {**SPEND, "proxy_server_request": None, "messages": "nothing"}, Bad("messages", "unparsable JSON")),
        (
            litellm,
            {**SPEND, "proxy_server_request": {"messages": [{"role": "user", "content": "redacted-by-litellm"}]}},
            Bad("proxy_server_request", "missing field"),
        ),
        (litellm, {**SPEND, "call_type": "aembedding"}, Passed("not a model call")),
        (helicone, {**ASKED, "request_body": ""}, Bad("request_body", "missing field")),
        (helicone, {**ASKED, "request_body": {}}, Bad("request_body", "missing field")),
        (helicone, {**ASKED, "request_body": '{"messages": ['}, Bad("request_body", "unparsable JSON")),
        (helicone, {**ASKED, "request_body": '{""messages"": ['}, Bad("request_body", "unparsable JSON")),
        (helicone, {**ASKED, "request_body": "[1]"}, Bad("request_body", "wrong type")),
        (helicone, {**ASKED, "request_path": "https://api.openai.com/v1/embeddings?a=1"}, Passed("not a model call")),
        (bedrock, {**CALL, "schemaVersion": "2.0"}, Bad("schemaVersion", "unknown version")),
        (bedrock, {**CALL, "input": {"inputBodyS3Path": "s3://b/k"}}, Bad("input.inputBodyS3Path", "kept elsewhere")),
        (bedrock, {**CALL, "input": None}, Bad("input.inputBodyJson", "missing field")),
        (bedrock, {**CALL, "input": {"inputBodyJson": '{"a'}}, Bad("input.inputBodyJson", "unparsable JSON")),
        (bedrock, {**CALL, "input": {"inputBodyJson": [1]}}, Bad("input.inputBodyJson", "wrong type")),
        (bedrock, {**CALL, "modelId": "amazon.titan-embed-text-v2:0"}, Passed("not a model call")),
        (bedrock, {"message": 'x "ModelInvocationLog"'}, Bad("message", "unparsable JSON")),
        (bedrock, {"message": '{"of": "ModelInvocationLog"}'}, Passed("not a model call")),
        (bedrock, {"logEvents": [1]}, Bad("logEvents", "wrong type")),
    ],
)
def test_what_cannot_be_used_says_which_field_and_why(dialect: Any, raw: dict[str, Any], found: object) -> None:
    assert read(dialect.DIALECT, raw) == [found]
    assert not isinstance(found, Bad) or found.reason in REASONS


def test_the_holder_of_a_key_and_the_end_user_are_never_mixed_up() -> None:
    for user, end_user, account in (
        ("ana", "customer", "ana"),
        ("", "customer", SPEND["api_key"]),
        ("default_user_id", "customer", SPEND["api_key"]),
        ("ana", None, "ana"),
    ):
        (record,) = read(litellm.DIALECT, {**SPEND, "user": user, "end_user": end_user})
        assert (record["account_id"], record.get("end_user")) == (account, end_user)
    # LiteLLM's own column goes before what the body says.
    body = {**SPEND["proxy_server_request"], "user": "in the body"}
    (record,) = read(litellm.DIALECT, {**SPEND, "proxy_server_request": body})
    assert record["end_user"] == "customer-17"


def test_organisations_go_before_teams() -> None:
    (record,) = read(litellm.DIALECT, {**SPEND, "organization_id": ""})
    assert record["org_id"] == "team-red"
    more = {"user_api_key_org_id": "org-two"}
    (record,) = read(litellm.DIALECT, {**SPEND, "organization_id": None, "metadata": more})
    assert record["org_id"] == "org-two"


@pytest.mark.parametrize(
    ("body", "record"),
    [
        ({"messages": [{"role": "user", "content": "hi"}, 3]}, {"messages": [{"role": "user", "content": "hi"}, 3]}),
        ({"messages": "no list"}, {"messages": "no list"}),
        ({"input": "hi", "model": "m"}, {"prompt": "hi", "model": "m"}),
        ({"prompt": ["one", "two"]}, {"prompt": "one\ntwo"}),
        ({"prompt": [1, 2]}, {"prompt": [1, 2]}),
        ({"text_prompts": [{"text": "a fox", "weight": 1}]}, {"prompt": "a fox"}),
        ({"taskType": "TEXT_IMAGE", "textToImageParams": {"text": "a fox"}}, {"prompt": "a fox"}),
        ({"prompt": "p", "system": 5, "user": ["x"]}, {"prompt": "p", "system_prompt": 5, "end_user": ["x"]}),
        ({"prompt": "p", "system": [{"cachePoint": {}}]}, {"prompt": "p"}),
        ({"prompt": "p", "safety_identifier": "s", "user": "u"}, {"prompt": "p", "end_user": "s"}),
        ({"metadata": "no object", "prompt": ""}, {}),
        ({"temperature": 1}, {}),
    ],
)
def test_a_body_is_read_whichever_interface_it_follows(body: dict[str, Any], record: dict[str, Any]) -> None:
    assert read_body(body) == record
    assert has_text(record) == bool({"messages", "prompt"} & record.keys())


@pytest.mark.parametrize(
    ("prompt", "turns"),
    [
        ("plain words", []),
        ("Write a play.\nUser: speaks\nBot: answers, then ends.", []),
        ("A text that quotes\n\nHuman: and stops there", []),
        (
            "<|im_start|>system\nBe good<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n",
            [("system", "Be good"), ("user", "Hello")],
        ),
        (
            "<s>[INST] <<SYS>>\nBe short\n<</SYS>>\n\nHi [/INST] Yes </s><s>[INST] Go on [/INST]",
            [("system", "Be short"), ("user", "Hi"), ("assistant", "Yes"), ("user", "Go on")],
        ),
        ("<|begin_of_text|><|header_start|>user<|header_end|>\n\nHi<|eot|>", [("user", "Hi")]),
        ("User: a\nBot: b\nUser: c\nBot:", [("user", "a"), ("assistant", "b"), ("user", "c")]),
        ("[INST]", []),
    ],
)
def test_a_models_own_markup_is_taken_apart(prompt: str, turns: list[tuple[str, str]]) -> None:
    # "Bot: answers, then ends." is a finished play: the documented form ends where the model is to go on.
    found = [(turn["role"], turn["content"]) for turn in turns_of(prompt)]
    assert found == turns


ODD: st.SearchStrategy[Any] = st.sampled_from([
    None, True, -1, 10**30, 0.5, float("nan"), "", " ", "x", "{", "[1]", '{"messages": 3}', '{"body": {"prompt": [2]}}',
    b"\xff", b"{}", [], [[]], [None], ["x"], {}, {"text": 1}, {"content": [[{}]]}, {"parts": 7}, {"arn": []},
    {"messages": [{"role": [], "content": {"text": {}}}]}, [("a", 1)], [(1, 2)], [{"type": "tool_result"}],
    {"inputBodyJson": '{"prompt": 4}'}, [{"message": "{"}], {"user_id": {}}, {"body": []},
])  # fmt: skip
# The machine may be busy: how fast examples are made says nothing.
patient = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
KEYS = sorted({key for path in FIXTURES for record in raw_records(path) for key in record})


@patient
@given(st.sampled_from(sorted(DIALECTS)), st.dictionaries(st.sampled_from(KEYS), ODD, max_size=5), st.integers(0, 99))
def test_no_value_of_any_field_makes_a_reader_raise(name: str, changes: dict[str, Any], place: int) -> None:
    dialect = DIALECTS[name]
    records = [record for path in FIXTURES if path.parent.name == name for record in raw_records(path)]
    for raw in (changes, {**records[place % len(records)], **changes}):
        dialect.recognises(raw)
        for found in dialect.read(raw):
            assert isinstance(found, Bad | Passed) or set(found) <= set(dialect.fields)
            assert not isinstance(found, Bad) or found.reason in REASONS


@patient
@given(
    ODD, st.sampled_from(["messages", "input", "contents", "prompt", "message", "chat_history", "system", "metadata"])
)
def test_no_value_in_a_body_makes_it_raise(value: Any, field: str) -> None:
    asks: Callable[[Any], dict[str, Any]] = lambda held: read_body({"message": "m", field: held})  # noqa: E731
    asks(value)
    asks([{"role": "user", "content": [{"toolResult": value}, {"guardContent": value}, value], "parts": value}, value])


def test_deep_nesting_is_no_end() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    text = "[" * 200_000
    for dialect, field in ((litellm.DIALECT, "proxy_server_request"), (helicone.DIALECT, "request_body")):
        raw = {**(SPEND if dialect is litellm.DIALECT else ASKED), field: text}
        assert read(dialect, raw) == [Bad(field, "unparsable JSON")]
        read(dialect, {**raw, field: {"messages": [{"role": "user", "content": deep}]}})


def ingested(folder: Path, name: str, text: str) -> tuple[dict[str, int], Path]:
    """The counts of a log of one file, read as it is, and the tables of it."""
    (folder / "log").mkdir(parents=True)
    (folder / "log" / name).write_text(text, "utf-8")
    out = folder / "out"
    out.mkdir()
    settings = replace(load_settings().config.ingest, max_structural_error_share=1.0)
    counts = ingest_logs([str(folder / "log")], out, settings, store=Store(folder / "store"), progress=NoProgress())
    passed = counts.get("passed", 0)
    assert counts["read"] == counts["kept"] + counts["merged"] + counts["quarantined"] + passed
    return counts, out


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_log_is_read_without_being_told_its_format(path: Path, tmp_path: Path) -> None:
    counts, out = ingested(tmp_path, path.name, path.read_text("utf-8"))
    wanted = expected(path)
    assert (counts["kept"], counts["quarantined"]) == (len(wanted), 0)
    assert counts[f"files_as_{path.parent.name}"] == 1
    parts = sorted((out / "requests").glob("day=*/*.parquet"))
    found = [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]
    accounts = pq.ParquetFile(out / "accounts.parquet").read()["account_id"].to_pylist()
    by_id = {row["request_id"]: {**row, "account_id": accounts[row["account_row"]]} for row in found}
    texts = ("messages", "prompt", "system_prompt", "timestamp")
    for record in wanted:
        for name in record.keys() - set(texts):
            value = record[name]
            shown = int(value) if name.startswith("tokens") else value
            assert by_id[record["request_id"]][name] == shown


def test_what_cannot_be_used_is_counted_and_told_by_row_and_field(tmp_path: Path) -> None:
    rows = [
        SPEND,
        {**SPEND, "request_id": "2", "proxy_server_request": '{"messages": [{"ro'},
        {**SPEND, "request_id": "3", "call_type": "aembedding"},
        {**SPEND, "request_id": "4", "startTime": "yesterday"},
        {**SPEND, "request_id": "5", "user": None, "api_key": ""},
        {**SPEND, "request_id": "6", "proxy_server_request": {"messages": 7}},
        SPEND,
    ]
    counts, out = ingested(tmp_path, "a.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows))
    kept = {name: counts.get(name) for name in ("read", "kept", "merged", "quarantined", "passed")}
    assert kept == {"read": 7, "kept": 1, "merged": 1, "quarantined": 4, "passed": 1}
    refused = pq.ParquetFile(out / "quarantine.parquet").read().to_pylist()
    assert [(row["row"], row["field"], row["reason"]) for row in refused] == [
        (2, "proxy_server_request", "unparsable JSON"),
        (4, "timestamp", "unreadable time"),
        (5, "account_id", "no account"),
        (6, "messages", "wrong type"),
    ]
