"""Logs of spans and runs: fixtures in each true shape, value for value, and what is wrong with malformed ones."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.dialects import dialect, dialects
from refrain.dialects.dialect import REASONS, Bad, Passed
from refrain.dialects.otlp import Span, spans_of
from refrain.inspection import inspect_log
from refrain.settings import load_settings

LOGS = Path(__file__).parent / "logs"
OURS = ("otel", "openinference", "langfuse", "langsmith")
FIXTURES = [
    (name, path)
    for name in OURS
    for path in sorted((LOGS / name).glob("*.json*"))
    if not path.name.endswith(".expected.jsonl")
]
# What of each fixture is no request.
PASSED = {
    "otel/batch.json": ["not a model call"] * 4,
    "otel/events.jsonl": ["not a model call", "no message of a user"],
    "otel/flattened.jsonl": ["not a model call"],
    "openinference/api.jsonl": ["not a model call"],
    "openinference/batch.json": ["not a model call"],
    "openinference/dataframe.jsonl": ["not a model call"],
    "langfuse/observations_v2.jsonl": ["not a model call"],
    "langfuse/trace_download.json": ["a trace whose generations are read", "not a model call"],
    "langsmith/runs.jsonl": ["not a model call"],
}


def raw_records(path: Path) -> list[dict[str, Any]]:
    """The records of a fixture."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in text.splitlines()]
    value = json.loads(text)
    return value if isinstance(value, list) else [value]


def expected(path: Path) -> list[dict[str, Any]]:
    """What a fixture's requests are."""
    lines = path.with_name(f"{path.stem}.expected.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def named(name: str, path: Path) -> str:
    return f"{name}/{path.name}"


@pytest.mark.parametrize(("name", "path"), FIXTURES, ids=[named(*fixture) for fixture in FIXTURES])
def test_a_fixture_is_read_value_for_value(name: str, path: Path) -> None:
    got = [found for raw in raw_records(path) for found in dialect(name).read(raw)]
    assert [found for found in got if isinstance(found, dict)] == expected(path)
    assert [found for found in got if not isinstance(found, dict)] == [
        Passed(reason) for reason in PASSED.get(named(name, path), [])
    ]


@pytest.mark.parametrize(("name", "path"), FIXTURES, ids=[named(*fixture) for fixture in FIXTURES])
def test_one_format_alone_recognises_a_record(name: str, path: Path) -> None:
    for raw in raw_records(path):
        assert [known.name for known in dialects() if known.recognises(raw)] == [name]


def test_other_records_are_not_recognised() -> None:
    others: list[dict[str, Any]] = [
        {},
        {"request_id": "r", "account_id": "a", "timestamp": "2026-01-01", "prompt": "hello"},
        {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": []}},
        {"trace_id": "t", "span_id": "s", "start_time": "2026-01-01", "attributes": {"http.method": "GET"}},
        {"id": "x", "type": "message", "role": "user", "content": []},
        {"resourceMetrics": []},
    ]
    assert [known.name for raw in others for name in OURS if (known := dialect(name)).recognises(raw)] == []


def span_of(raw: dict[str, Any], at: int = 0) -> dict[str, Any]:
    """A span inside a batch: the chat span of otel/batch.json."""
    spans: list[dict[str, Any]] = raw["resourceSpans"][0]["scopeSpans"][1]["spans"]
    return spans[at]


def with_attribute(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change of one attribute of the chat span in otel/batch.json; None takes it out."""

    def change(raw: dict[str, Any]) -> None:
        span = span_of(raw)
        span["attributes"] = [pair for pair in span["attributes"] if pair["key"] != key]
        if value is not None:
            span["attributes"].append({"key": key, "value": value})

    return change


def put(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change that puts the last of `path` where the others lead."""

    def change(raw: dict[str, Any]) -> None:
        holder: Any = raw
        for step in path[:-2]:
            holder = holder[step]
        holder[path[-2]] = path[-1]

    return change


def drop(*path: Any) -> Callable[[dict[str, Any]], None]:
    """A change that takes out what `path` leads to."""

    def change(raw: dict[str, Any]) -> None:
        holder: Any = raw
        for step in path[:-1]:
            holder = holder[step]
        del holder[path[-1]]

    return change


BATCH, API = "otel/batch.json", "openinference/api.jsonl"
OBSERVATIONS, RUNS = "langfuse/observations_v2.jsonl", "langsmith/runs.jsonl"
SPANS = "resourceSpans.scopeSpans.spans"
CHAT = ("resourceSpans", 0, "scopeSpans", 1, "spans", 0)
IN, SYSTEM, MESSAGES = "gen_ai.input.messages", "gen_ai.system_instructions", "llm.input_messages"
MISSING, WRONG, CUT, UNKNOWN = "missing field", "wrong type", "unparsable JSON", "unknown version"
MALFORMED = [
    (BATCH, 0, with_attribute(IN, None), f"{SPANS}.{IN}", MISSING),
    (BATCH, 0, with_attribute(IN, {"stringValue": '[{"role": "us'}), f"{SPANS}.{IN}", CUT),
    (BATCH, 0, with_attribute(IN, {"intValue": "7"}), f"{SPANS}.{IN}", WRONG),
    (BATCH, 0, with_attribute(SYSTEM, {"stringValue": '[{"content": "be'}), f"{SPANS}.{SYSTEM}", CUT),
    (BATCH, 0, with_attribute(SYSTEM, {"boolValue": True}), f"{SPANS}.{SYSTEM}", WRONG),
    (BATCH, 0, put(*CHAT, "attributes", "none"), f"{SPANS}.attributes", CUT),
    (BATCH, 0, put(*CHAT, "attributes", [7]), f"{SPANS}.attributes", WRONG),
    (BATCH, 0, put(*CHAT, "a span"), SPANS, WRONG),
    (BATCH, 0, put("resourceSpans", 0, "scopeSpans", {}), "resourceSpans.scopeSpans", WRONG),
    (BATCH, 0, put("resourceSpans", "many"), "resourceSpans", WRONG),
    ("otel/flattened.jsonl", 1, put("attributes", 5), "attributes", WRONG),
    (API, 0, put("attributes", MESSAGES, "[{"), f"attributes.{MESSAGES}", CUT),
    (API, 0, put("attributes", MESSAGES, 5), f"attributes.{MESSAGES}", WRONG),
    (API, 4, drop("attributes", "input.value"), "attributes.input.value", MISSING),
    (API, 4, put("attributes", "input.value", '{"messages": [{"role"'), "attributes.input.value", CUT),
    (OBSERVATIONS, 0, put("input", '[{"role": "user", "content": "cut'), "input", CUT),
    (OBSERVATIONS, 0, put("input", None), "input", MISSING),
    (OBSERVATIONS, 0, put("input", 5), "input", WRONG),
    (OBSERVATIONS, 0, put("type", "SOMETHING"), "type", UNKNOWN),
    (OBSERVATIONS, 0, drop("type"), "type", MISSING),
    (OBSERVATIONS, 0, drop("user_id"), "traceId", "no trace"),
    (RUNS, 1, put("inputs", '{"messages": ['), "inputs", CUT),
    (RUNS, 1, put("inputs", 5), "inputs", WRONG),
    (RUNS, 1, drop("inputs"), "inputs", MISSING),
    (RUNS, 1, put("extra", "{"), "extra", CUT),
    (RUNS, 1, put("run_type", "guess"), "run_type", UNKNOWN),
    (RUNS, 1, put("run_type", 1), "run_type", WRONG),
]


@pytest.mark.parametrize(("fixture", "row", "change", "field", "reason"), MALFORMED)
def test_a_malformed_record_is_bad_and_says_why(
    fixture: str, row: int, change: Callable[[dict[str, Any]], None], field: str, reason: str
) -> None:
    name, _, file = fixture.partition("/")
    raw = copy.deepcopy(raw_records(LOGS / name / file)[row])
    whole = list(dialect(name).read(raw))
    change(raw)
    got = list(dialect(name).read(raw))
    assert [found for found in got if isinstance(found, Bad)] == [Bad(field, reason)]
    # Its neighbours in the batch are read as before.
    assert [found for found in got if isinstance(found, dict) and found not in whole] == []
    assert reason in REASONS


def test_a_wrong_user_is_left_to_the_intake() -> None:
    raw = raw_records(LOGS / "otel" / "batch.json")[0]
    with_attribute("user.id", {"arrayValue": {"values": [{"stringValue": "acct_1"}]}})(raw)
    first = next(found for found in dialect("otel").read(raw) if isinstance(found, dict))
    assert first["account_id"] == ["acct_1"]


def test_times_in_nanoseconds_are_read_by_the_schema_and_not_by_their_size() -> None:
    raw = raw_records(LOGS / "otel" / "batch.json")[0]
    for nanoseconds, time in (("1764151201", 1764151), (1764151201123456789, 1764151201123456), ("soon", "soon")):
        span_of(raw)["startTimeUnixNano"] = nanoseconds
        first = next(found for found in dialect("otel").read(raw) if isinstance(found, dict))
        assert first["timestamp"] == time


def test_a_map_column_of_parquet_is_read_as_attributes() -> None:
    kind = pa.map_(pa.string(), pa.string())
    pairs = [[("gen_ai.request.model", "m"), ("user.id", "acct"), ("gen_ai.prompt.0.content", "words")]]
    table = pa.table(
        {"SpanAttributes": pa.array(pairs, kind), "SpanId": ["s"], "TraceId": ["t"], "Timestamp": ["2026"]}
    )
    (raw,) = table.to_pylist()
    assert dialect("otel").recognises(raw)
    assert list(dialect("otel").read(raw)) == [
        {
            "request_id": "t-s",
            "timestamp": "2026",
            "account_id": "acct",
            "model": "m",
            "messages": [{"role": None, "content": "words"}],
        }
    ]


def test_a_prompt_that_is_json_of_no_known_shape_is_read_as_its_text() -> None:
    (raw, *_) = raw_records(LOGS / "langfuse" / "observations_v2.jsonl")
    for value, prompt in (
        ('{"odd": "list every fact"}', '{"odd": "list every fact"}'),
        ({"odd": "list every fact", "a": 1}, '{"a": 1, "odd": "list every fact"}'),
        ("[INST] list every fact [/INST]", "[INST] list every fact [/INST]"),
        ("{{name}}, list every fact", "{{name}}, list every fact"),
    ):
        (found,) = dialect("langfuse").read({**raw, "input": value})
        assert isinstance(found, dict)
        assert found["prompt"] == prompt


def test_pictures_and_calls_of_tools_hold_no_words() -> None:
    raw = raw_records(LOGS / "otel" / "batch.json")[0]
    first = next(found for found in dialect("otel").read(raw) if isinstance(found, dict))
    assert "aGVsbG8=" not in json.dumps(first)


WORDS = st.sampled_from(
    [
        "resourceSpans", "scopeSpans", "spans", "resourceLogs", "scopeLogs", "logRecords", "attributes", "key", "value",
        "stringValue", "arrayValue", "kvlistValue", "values", "gen_ai.input.messages", "gen_ai.prompt", "role",
        "content",
        "gen_ai.prompt.0.content", "gen_ai", "parts", "type", "text", "events", "name", "gen_ai.user.message", "body",
        "openinference.span.kind", "span_kind", "llm.input_messages", "message.role", "input.value", "id", "traceId",
        "parentObservationId", "startTime", "input", "userId", "observations", "timestamp", "public", "release",
        "run_type", "inputs", "extra", "metadata", "start_time", "trace_id", "messages", "kwargs", "lc", "usageDetails",
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["LLM", "llm", "GENERATION", "chat", "gen_ai.user.message", "[{", '{"role": 1}', "9" * 5000])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # a processor that gives others way draws slowly
@given(st.dictionaries(WORDS, VALUES, max_size=8))
def test_nothing_that_json_can_hold_raises(raw: dict[str, Any]) -> None:
    before = copy.deepcopy(raw)
    for name in OURS:
        format_ = dialect(name)
        assert format_.recognises(raw) in (True, False)
        for found in format_.read(raw):
            assert isinstance(found, dict | Bad | Passed)
            assert not isinstance(found, Bad) or found.reason in REASONS
    assert repr(raw) == repr(before)  # nan is not equal to itself


def deep(levels: int) -> Iterator[Any]:
    """Values that are nested as deep as `levels`."""
    for make in (lambda inner: [inner], lambda inner: {"content": inner}, lambda inner: {"kwargs": inner}):
        value: Any = "x"
        for _ in range(levels):
            value = make(value)
        yield value


def test_what_is_nested_deep_is_read_without_harm() -> None:
    for value in deep(50_000):
        for raw in (
            {"resourceSpans": [{"scopeSpans": [{"spans": [{"attributes": value}]}]}]},
            {"attributes": {"gen_ai.request.model": "m", "gen_ai.input.messages": value}, "span_id": "s"},
            {"attributes": {"openinference.span.kind": "LLM", "llm.input_messages": value}, "span_id": "s"},
            {"id": "o", "type": "GENERATION", "traceId": "t", "userId": "u", "input": value},
            {"id": "r", "run_type": "llm", "inputs": {"messages": value}},
        ):
            for name in OURS:
                assert all(isinstance(found, dict | Bad | Passed) for found in dialect(name).read(raw))


def test_inspect_tells_which_attribute_became_which_column() -> None:
    (sample,) = inspect_log([str(LOGS / "otel" / "batch.json")], load_settings().config.ingest).samples
    given = {name: sample.columns[name] for name in ("account_id", "timestamp", "messages", "model", "ip")}
    assert given == {
        "account_id": ["user.id", "traceloop.association.properties.user_id"],
        "timestamp": ["startTimeUnixNano"],
        "messages": [
            "gen_ai.input.messages",
            "gen_ai.prompt.N",
            "event gen_ai.content.prompt",
            "event gen_ai.user.message",
        ],
        "model": ["gen_ai.request.model", "gen_ai.response.model"],
        "ip": ["client.address"],
    }
    assert {"gen_ai.completion.N", "service.name", "event gen_ai.choice"} <= set(sample.unused)
    assert not {"user.id", "resourceSpans"} & set(sample.unused)
    (sample,) = inspect_log([str(LOGS / "openinference" / "dataframe.jsonl")], load_settings().config.ingest).samples
    assert sample.columns["messages"] == ["llm.input_messages", "input.value"]
    assert sample.columns["timestamp"] == ["start_time"]


def test_a_batch_says_where_its_spans_stand() -> None:
    (raw,) = raw_records(LOGS / "otel" / "batch.json")
    spans = [span for span in spans_of(raw) if isinstance(span, Span)]
    assert [span.span_id for span in spans] == [f"eee19b7ec3c1b17{at}" for at in range(8)]
    assert spans[4].resource["user.id"] == "acct_2"


def test_what_an_instrumentation_hid_is_no_prompt() -> None:
    """A log with hidden inputs would else be one text over all accounts."""
    span = {
        "name": "chat",
        "context": {"trace_id": "a", "span_id": "b"},
        "start_time": "2025-11-26T10:00:00+00:00",
        "attributes": {
            "openinference.span.kind": "LLM",
            "user.id": "acct",
            "input.value": "__REDACTED__",
            "llm.input_messages.0.message.role": "user",
            "llm.input_messages.0.message.content": "__REDACTED__",
        },
    }
    read = dialect("openinference").read
    [hidden] = read(span)
    assert "__REDACTED__" not in json.dumps(hidden, default=vars)
    del span["attributes"]["llm.input_messages.0.message.role"]  # type: ignore[attr-defined]
    del span["attributes"]["llm.input_messages.0.message.content"]  # type: ignore[attr-defined]
    [missing] = read(span)
    assert isinstance(missing, Bad)
    assert missing.reason == "missing field"
