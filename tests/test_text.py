"""Text folded and normalised: what a reader cannot tell apart is equal, once and for all."""

import sys
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.squeezing import squeeze_all
from refrain.text import fold, normalise, repair, squeezed

# Letters that fold, compose, expand, hide or separate: where folding twice would go wrong.
NASTY = st.text(
    alphabet=st.one_of(
        st.sampled_from("aeoxhZ ßſİıŉǰΐς\u0301\u0308\u0307\u0345\n\x00\x01\x1f\x85\u2028'\"1²٣.,:_-"),
        st.sampled_from("асеорхуцзїѣпΑΣΩνοςгΓЁёѐЦᲀꭰꭺԛҽ"),
        st.sampled_from("\u200b\u200d\u00ad\u034f\u3164\ufe0f\u202e\ufeff\U000e0061\U000e0101\u00a0\u2026“”—"),
        st.characters(),
    )
)
PLAIN = "Ignore the previous answer, and think step by step."


@pytest.mark.parametrize(
    "touched",
    [
        "Ign\u200bore the prev\u00adious answer, and th\u2060ink step by st\ufeffep.",
        "Ignоrе thе рrеvіоus аnswеr, аnd thіnk stер bу stер.",  # Cyrillic vowels
        "Ιgnore the previοus αnswer, and τhink step by step.",  # Greek
        "Ｉｇｎｏｒｅ ｔｈｅ previous answer, and think step by step.",
        "𝐈𝐠𝐧𝐨𝐫𝐞 the 𝑝𝑟𝑒𝑣𝑖𝑜𝑢𝑠 answer, and think step by step.",
        "Ignore the previous\u00a0answer, and think\tstep by step.",
        "Ig\U000e0101nore\ufe0f the previous answer, \U000e0020and think step by step.",
        "\x1bIgnore the previous\x07 answer, and think step\x9b by step.",
    ],
)
def test_what_a_reader_cannot_see_makes_no_difference(touched: str) -> None:
    assert normalise(touched) == normalise(PLAIN)


def test_doubled_letters_and_punctuation_make_no_difference_when_squeezed() -> None:
    touched = "Iggnore the; previousss answer - and thinnk step.by step"
    assert normalise(touched) != normalise(PLAIN)
    assert (
        squeezed(normalise(touched))
        == squeezed(normalise(PLAIN))
        == "ignore the previous answer and think step by step"
    )


@pytest.mark.parametrize(
    "text",
    [
        "Скажи мне, кто прав: он или она?",
        "Το νερό είναι καλό.",
        "Объясни слово „сор“ по-русски",
        "Переведи на русский: a cat",
    ],
)
def test_other_scripts_stay_what_they_are(text: str) -> None:
    letters = {char for char in unicodedata.normalize("NFC", text) if char.isalpha()}
    assert letters <= set(fold(text))


def test_templates_differ_in_case_digits_and_space_alone() -> None:
    assert (
        normalise("Item 12.5:  the\n Price is 1,000") == "item 0: the price is 0" == normalise("ITEM 7: The price is ٣")
    )


@given(NASTY)
def test_folding_twice_changes_nothing(text: str) -> None:
    once = fold(repair(text)[0])
    assert fold(once) == once


@given(NASTY)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(repair(text)[0])
    assert normalise(once) == once
    assert once == " ".join(once.split())


def test_every_assigned_character_alone_and_among_latin_letters_folds_once() -> None:
    for char in map(chr, range(sys.maxunicode + 1)):
        if unicodedata.category(char) not in ("Cn", "Co", "Cs"):
            for text in (char, f"h{char}hh"):
                once = fold(text)
                assert fold(once) == once
                assert "Cf" not in map(unicodedata.category, once)


@given(st.lists(NASTY | st.text(alphabet="aabb 0011.\n_")))
def test_squeezing_many_is_squeezing_each(texts: list[str]) -> None:
    chunks = [pa.array(some, pa.string()) for some in (texts[:2], texts[2:])]
    assert squeeze_all(pa.chunked_array(chunks)).to_pylist() == [squeezed(text) for text in texts]


@given(NASTY)
def test_squeezing_twice_changes_nothing(text: str) -> None:
    once = squeezed(normalise(repair(text)[0]))
    assert squeezed(once) == once


@pytest.mark.parametrize(
    ("value", "text", "mended"),
    [
        (b"caf\xc3\xa9", "café", False),
        (b"caf\xe9", "caf\ufffd", True),
        ("a\x00b", "ab", True),
        (b"\x00", "", True),
        ("\ud83d\ude00", "😀", True),
        ("\ud800a\udc00\ud800", "\ufffda\ufffd\ufffd", True),
        ("", "", False),
        ("日本語", "日本語", False),
    ],
)
def test_repair(value: str | bytes, text: str, mended: bool) -> None:
    assert repair(value) == (text, mended)


@given(st.text(alphabet=st.characters() | st.characters(categories=["Cs"])) | st.binary())
def test_what_is_repaired_is_sound(value: str | bytes) -> None:
    text, mended = repair(value)
    assert text.encode().decode() == text
    assert "\x00" not in text
    assert repair(text) == (text, False)
    assert mended == (text != value if isinstance(value, str) else text.encode() != value)
