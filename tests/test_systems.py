"""The number of an autonomous system, in every spelling and none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.batches import MISSING
from refrain.fields import Field
from refrain.systems import read_system, system_name, system_number

SAME = (
    13335, "13335", "AS13335", "as13335", "AS13335 Some Name, Inc.", "AS13335\tX", " 13335 ", "0.13335", "AS0.13335",
    "00013335", 13335.0, b"13335", b"AS13335",
)  # fmt: skip


@pytest.mark.parametrize("value", SAME)
def test_every_spelling_is_one_text(value: Any) -> None:
    assert read_system(value, 512, b"k") == Field("AS13335")


@pytest.mark.parametrize(
    ("value", "number"),
    [("1.10", 65546), ("AS65535.65535", 2**32 - 1), (2**32 - 1, 2**32 - 1), ("1.0", 65536), ("0", 0), ("AS0", 0)],
)
def test_both_notations_of_the_standard_and_the_ends(value: str | int, number: int) -> None:
    assert system_number(str(value)) == number
    assert read_system(value, 512, b"k") == Field(f"AS{number}" if number else None)


@pytest.mark.parametrize("value", [None, MISSING, "", "  ", 0, "0", "AS0", "AS0 Not routed", 0.0])
def test_none_and_the_number_that_stands_for_none(value: object) -> None:
    assert read_system(value, 512, b"k") == Field(None)


@pytest.mark.parametrize(
    "value", ["h1:0123456789abcdef", "Some Provider", "None", "13335 Some Name", "AS", "ASX13335", "1.2.3", "AS٣", "½"]
)
def test_what_says_no_number_stands_for_itself(value: str) -> None:
    assert read_system(value, 512, b"k") == Field(value)
    assert system_number(value) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2**32, "4294967296"), (-1, "-1"), ("4294967296", "4294967296"), ("AS" + "9" * 90, "AS" + "9" * 90),
        ("65536.0", "65536.0"), ("1.65536", "1.65536"), (1.1, "1.1"), (True, "true"), ([13335], "[13335]"),
        ({"number": 13335}, '{"number": 13335}'),
    ],
)  # fmt: skip
def test_what_no_system_can_have_is_kept_and_flagged(value: Any, text: str) -> None:
    assert read_system(value, 512, b"k") == Field(text, mended=True)


def test_a_text_of_any_length_and_content_ends_as_a_label() -> None:
    assert read_system("9" * 100_000, 512, b"k").cut
    assert read_system("9" * 100_000, 1 << 62, b"").text == "9" * 100_000
    assert read_system("AS13335\x00", 512, b"k").mended
    for text in ("0" * 3_000_000 + "x", "AS" + "0" * 3_000_000 + ".", "AS1" + " " * 3_000_000):  # in one go
        assert len(read_system(text, 1 << 62, b"").text or "") <= len(text)


@given(st.integers(0, 2**32 - 1), st.text(st.characters(exclude_categories=["Cs"]), max_size=5))
def test_spellings_agree(number: int, name: str) -> None:
    spelled = (f"{number}", f"AS{number}", f"{number >> 16}.{number & 65535}", f"AS{number} {name}")
    assert {system_number(text) for text in spelled} == {number}
    assert system_name(number) == (f"AS{number}" if number else None)
    once = read_system(number, 512, b"k").text
    assert read_system(once, 512, b"k").text == once  # what was read is read as itself
