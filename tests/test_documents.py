"""The records of JSON documents: where each begins and ends, whatever stands inside it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.documents import is_document, split_document
from refrain.lines import Overlong

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def split(text: str, size: int = 1 << 20, limit: int = 1 << 20) -> list[Any]:
    data = text.encode("utf-8", "surrogatepass")
    chunks: Iterator[bytes] = (data[at : at + size] for at in range(0, len(data), size))
    return [record if isinstance(record, Overlong) else json.loads(record) for record in split_document(chunks, limit)]


@given(st.lists(OBJECTS, max_size=5), st.integers(1, 9), st.sampled_from([None, 1]), st.booleans())
def test_an_array_gives_its_items_however_it_is_cut_and_written(
    records: list[Any], size: int, indent: int | None, escaped: bool
) -> None:
    text = json.dumps(records, indent=indent, ensure_ascii=escaped)
    assert split(text, size) == records


@given(st.lists(OBJECTS, max_size=4), OBJECTS, OBJECTS, st.integers(1, 9))
def test_an_envelope_gives_what_it_holds_and_nothing_else(
    records: list[Any], before: dict[str, Any], after: dict[str, Any], size: int
) -> None:
    text = json.dumps({"meta": before, "data": records, "page": after}, indent=1)
    assert split(text, size) == records


@given(st.lists(OBJECTS, max_size=4), st.integers(1, 9), st.sampled_from(["", "\n", " ", "\n\n"]))
def test_objects_one_after_another_are_records(records: list[Any], size: int, between: str) -> None:
    assert split(between.join(json.dumps(record, indent=1) for record in records), size) == records


def test_a_document_that_is_no_envelope_is_one_record() -> None:
    record = {"resourceSpans": [{"data": [{"a": 1}]}], "n": {"items": [1, 2]}}
    assert split(json.dumps(record, indent=2)) == [record]


@pytest.mark.parametrize(
    "text", ['[{"a": 1}, {"b": "x', '[{"a": 1}, ', '[{"a": 1}', '{"data": [{"a": 1}]', '[{"a": 1}, {']
)
def test_a_document_that_is_cut_short_ends_in_one_broken_record(text: str) -> None:
    first, last = split_document([text.encode()], 100)
    assert isinstance(first, bytes) and json.loads(first) == {"a": 1}
    assert isinstance(last, bytes)
    with pytest.raises(ValueError):
        json.loads(last)


def test_a_broken_item_costs_itself() -> None:
    found = list(split_document([b'[{"a": 1}, {"b" 2}, nonsense, {"c": "]"}]\n{"d": 4} x\n'], 100))
    assert found == [b'{"a": 1}', b'{"b" 2}', b"nonsense", b'{"c": "]"}', b'{"d": 4}', b"x"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_item_beyond_the_limit_is_left_out_and_the_next_one_is_there(size: int) -> None:
    first, second = split(json.dumps([{"a": "x" * 5000}, {"b": 1}]), size, limit=100)
    assert isinstance(first, Overlong) and first.head.startswith(b'{"a": "xxx') and len(first.head) < 2000
    assert second == {"b": 1}


@given(st.binary(max_size=200), st.integers(1, 9))
def test_no_bytes_break_it_and_none_are_lost_outside_envelopes(data: bytes, size: int) -> None:
    data = data.replace(b'"', b"'")  # strings hide what separates
    found = list(split_document((data[at : at + size] for at in range(0, len(data), size)), 10_000))
    assert all(isinstance(record, bytes) and record.strip() == record for record in found)
    assert list(split_document([data], 10_000)) == found


@pytest.mark.parametrize(
    ("head", "document"),
    [
        (b'[\n{"a": 1}\n]', True),
        (b'{\n "a": 1\n}', True),
        (b'{"data": [{"a": 1}]}', True),
        (b'{"data": [\n{"a": 1}\n]}', True),
        (b'{"a": 1}\n{"a": 2}', False),
        (b'{"a": \n{"a": 2}\n{"a": 3}\n', False),
        (b"", False),
        (b"nothing", False),
    ],
)
def test_lines_and_documents_are_told_apart_by_their_head(head: bytes, document: bool) -> None:
    assert is_document(head) == document
