"""Needles: what they find is what `in` finds."""

import io
import re

from hypothesis import given
from hypothesis import strategies as st

from refrain.needles import Needles, joined

TEXTS = st.text("ab\0 é-1", max_size=12)


def occurs(needle: str, data: bytes, *, whole: bool) -> bool:
    """Whether a needle occurs, by the plainest search there is."""
    raw, word = needle.encode(), rb"[0-9A-Za-z_\-]"
    before = rb"(?<!%s)" % word if re.match(word, raw[:1]) else b""
    after = rb"(?!%s)" % word if re.match(word, raw[-1:]) else b""
    return bool(re.search(before + re.escape(raw) + after, data)) if whole or len(raw) < 8 else raw in data


@given(st.lists(TEXTS), TEXTS, st.lists(TEXTS), st.booleans(), st.integers(1, 9))
def test_finds_what_a_plain_search_finds(
    needles: list[str], filler: str, parts: list[str], whole: bool, portion: int
) -> None:
    data = (filler * 3).join(parts + needles[:1]).encode()
    expected = {needle.encode() for needle in filter(None, needles) if occurs(needle, data, whole=whole)}
    for found in (
        Needles(needles, whole=whole).within(data),
        Needles(needles, whole=whole).within_file(io.BytesIO(data), portion),
    ):
        # Short ones that overlap hide one another; what is found is there, and no long one is missed.
        assert found <= expected
        assert {raw for raw in expected if len(raw) >= 8} <= found


def test_finds_across_the_portions_of_a_file() -> None:
    text = "this account alone said so"
    data = b"x " * 500 + text.encode() + b" y" * 500
    for portion in (7, 64, 1010):
        assert Needles([text, "nobody said this"]).within_file(io.BytesIO(data), portion) == {text.encode()}
    assert Needles([]).within_file(io.BytesIO(data)) == set()


def test_an_id_is_not_the_beginning_of_another() -> None:
    assert not Needles(["account-1"]).within(b"account-12 and my-account-1")
    assert Needles(["account-1"]).within(b"account-12, account-1.")
    assert Needles(["account-1"], whole=False).within(b"account-12")


def test_texts_are_not_found_across_two() -> None:
    parts = b"".join(joined(["first half", None, "", "second half"]))
    assert not Needles(["first halfsecond half"]).within(parts)
    assert Needles(["second half"]).within(parts)
