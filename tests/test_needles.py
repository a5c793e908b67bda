"""Needles: what they find is what `in` finds."""

import io
import re

from hypothesis import given
from hypothesis import strategies as st

from refrain.needles import Needles, joined

TEXTS = st.text("ab\0 é-1", max_size=12)


@given(st.lists(TEXTS), TEXTS, st.lists(TEXTS))
def test_finds_what_in_finds(needles: list[str], filler: str, parts: list[str]) -> None:
    data = (filler * 3).join(parts + needles[:1]).encode()
    expected = set()
    for needle in filter(None, needles):
        raw = needle.encode()
        edge = rb"[0-9A-Za-z_\-]"
        whole = re.search(rb"(?<!%s)%s(?!%s)" % (edge, re.escape(raw), edge), data)
        if raw in data if len(raw) >= 8 else whole:
            expected.add(raw)
    found = Needles(needles).within(data)
    # Short ones that overlap hide one another; what is found is there, and no long one is missed.
    assert found <= expected
    assert {raw for raw in expected if len(raw) >= 8} <= found
    assert bool(found) == bool(expected)


def test_finds_across_the_portions_of_a_file() -> None:
    text = "this account alone said so"
    data = b"x" * 1000 + text.encode() + b"y" * 1000
    for portion in (7, 64, 1010):
        assert Needles([text, "nobody said this"]).within_file(io.BytesIO(data), portion) == {text.encode()}
    assert Needles([]).within_file(io.BytesIO(data)) == set()


def test_texts_are_not_found_across_two() -> None:
    parts = b"".join(joined(["first half", None, "", "second half"]))
    assert not Needles(["first halfsecond half"]).within(parts)
    assert Needles(["second half"]).within(parts)
