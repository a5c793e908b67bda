"""What is shown holds nothing unseen, whatever the text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.printable import printable

ANY = st.text(st.characters(exclude_categories=[]))  # with surrogates


@given(ANY, st.integers(0, 60))
def test_nothing_unseen_is_left_and_the_limit_holds(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert printable(shown, limit) == shown
    shown.encode("utf-8")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_plain_text_comes_back_whole(text: str) -> None:
    assert printable(text, len(text)) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\u202egnp.exe\u2066", "\\u202egnp.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("tag\U000e0041 variation\ufe0f filler\u3164", "tag\\U000e0041 variation\\ufe0f filler\\u3164"),
        ("nul\x00 csi\x9b31m", "nul\\x00 csi\\x9b31m"),
        ("two\nlines\r\tand tab", "two\\nlines\\r\\tand tab"),
        ("lone \ud800", "lone \\ud800"),
        ("naïve 日本語 مرحبا 🎉", "naïve 日本語 مرحبا 🎉"),
        ("e\u0301\u0301\u0301\u0301\u0301", "e\u0301\u0301\u0301\u0301\\u0301"),
    ],
)
def test_each_kind_of_hidden_character_is_named(text: str, shown: str) -> None:
    assert printable(text, 200) == shown


def test_lines_may_stay_and_nothing_else_does() -> None:
    assert printable("a\nb\rc", 20, lines=True) == "a\nb\\rc"


def test_an_escape_is_never_cut_in_two() -> None:
    assert [printable("ab\x1bcd", limit) for limit in range(8)] == [
        "", "…", "a…", "ab…", "ab…", "ab…", "ab…", "ab\\x1b…",
    ]  # fmt: skip
