"""Single values: ids stay ids, odd values stay in some form."""

import pytest

from refrain.fields import read_count, read_id, read_label, read_text

KEY = bytes(32)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"), (7.0, "7"), (7.5, "7.5"), (12345678901234567890123, "12345678901234567890123"), ("007", "007"),
        (b"abc", "abc"), (b"\xff\x00", "ff00"), (" ", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_an_id_is_text_of_one_form(value: object, text: str | None) -> None:
    found = read_id(value, 64, KEY)
    assert (found.text, found.wrong) == (text, False)


@pytest.mark.parametrize("value", [True, 1e300, float("nan"), [], {}, 2.0**53])
def test_what_is_no_id_is_wrong_but_a_label_all_the_same(value: object) -> None:
    assert read_id(value, 64, KEY).wrong
    label = read_label(value, 64, KEY)
    assert label.text is not None and label.mended and not label.wrong


def test_ids_that_are_cut_stay_different() -> None:
    first, second = (read_id("x" * 100_000 + end, 64, KEY) for end in "ab")
    assert first.text is not None and second.text is not None
    assert first.cut and len(first.text) == len(second.text) == 64
    assert first.text != second.text


def test_texts_are_repaired() -> None:
    assert read_text("a\x00b\ud800").text == "ab\ufffd"
    assert read_text("a\x00b\ud800").mended
    assert read_text(b"caf\xc3\xa9").text == "café"
    assert read_text(["a"]).wrong
    assert read_text(" \n").text is None


@pytest.mark.parametrize(
    ("value", "count", "odd"),
    [
        (3, 3, False), (3.0, 3, False), ("3", 3, False), (None, None, False), ("", None, False), (-1, None, True),
        (2.5, None, True), (float("nan"), None, True), ("many", None, True), (True, None, True), (2**63, None, True),
        ("9" * 5000, None, True), ([], None, True),
    ],
)  # fmt: skip
def test_counts(value: object, count: int | None, odd: bool) -> None:
    assert read_count(value) == (count, odd)
