"""Texts cut into segments: where a reader would, and where an insertion far away changes nothing."""

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.segments import SegmentRules, cut, token_spans, tokens
from refrain.settings import load_settings
from refrain.text import fold, normalise_folded, repair

INGEST = load_settings().config.ingest
RULES = SegmentRules(INGEST.segment_max_words, INGEST.segment_window_words, INGEST.max_segments)
WORDS = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}x" for i in range(600)]
random.Random(0).shuffle(WORDS)


def read(text: str, rules: SegmentRules = RULES) -> list[str]:
    return [readable for _, readable in cut(text, rules)]


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("", []),
        (" \n\t\r\n", []),
        ("--- *** ???", []),
        ("One. Two! Three? Four; five", ["One.", "Two!", "Three?", "Four;", "five"]),
        ('He said "Stop." Then (he left.) So.', ['He said "Stop."', "Then (he left.)", "So."]),
        ("Question: at 12:30, v1.2 of a.b?", ["Question:", "at 12:30, v1.2 of a.b?"]),
        ("a\r\nb\vc\fd\x1ce\x85f\u2028g\u2029h", list("abcdefgh")),
        ("你好。请问：今天几号？谢谢！", ["你好。", "请问:", "今天几号?", "谢谢!"]),
        ("これは本です。あれも。", ["これは本です。", "あれも。"]),
        ("ما هذا؟ هذا كتاب؛ نعم. شكرا", ["ما هذا؟", "هذا كتاب؛", "نعم.", "شكرا"]),
        ("यह क्या है। यह किताब है॥", ["यह क्या है।", "यह किताब है॥"]),
        ("Բարեւ։ Ինչպես ես։", ["Բարեւ։", "Ինչպես ես։"]),
        ("1\x00\x01 2", ["1 2"]),
        ("x" * 10_000, ["x" * 10_000]),
    ],
)
def test_where_a_reader_would_cut(text: str, segments: list[str]) -> None:
    assert read(text) == segments


def test_a_line_stands_alone_and_equal_segments_are_equal() -> None:
    first, second = cut("Item 12:   GO\nnow", RULES), cut("now\nitem 7: go", RULES)
    assert {text for text, _ in first} == {text for text, _ in second} == {"item 0:", "go", "now"}


def test_words_of_scripts_without_spaces() -> None:
    assert tokens("ab 你好 c") == ["ab", "你", "好", "c"]
    assert tokens("กินน้ำ") == ["กิ", "น", "น้", "ำ"]  # signs and tones stay on their letters
    assert tokens("カ\u3099x") == ["カ\u3099", "x"]
    assert tokens("") == []


@given(st.text(alphabet=st.characters() | st.sampled_from("กิ่น้你か\u3099 .a")))
def test_words_are_all_that_is_not_white_space(text: str) -> None:
    text = repair(text)[0]
    pieces = token_spans(text)
    assert "".join(text[low:high] for low, high in pieces) == "".join(text.split())
    assert tokens(text) == [text[low:high] for low, high in pieces]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(WORDS),
        "".join(chr(0x4E00 + i % 977) for i in range(5000)),
        "ก่า" * 700,
        "word " * 3000,
        "the cat sat on " * 500,
        "نص " * 500,
    ],
)
def test_long_runs_lose_nothing_and_are_neither_long_nor_short(text: str) -> None:
    found = read(text)
    assert "".join("".join(found).split()) == "".join(fold(text).split())
    lengths = [len(tokens(piece)) for piece in found]
    assert max(lengths) <= RULES.max_words
    assert min(lengths) > RULES.window_words // 2


@given(
    st.integers(0, len(WORDS)),
    st.lists(st.sampled_from(["alpha", "beta", "gamma delta", "12", "hello", "zz"]), min_size=1, max_size=100),
    st.integers(0, 1000),
)
def test_an_inserted_span_moves_only_boundaries_close_by(at: int, inserted: list[str], seed: int) -> None:
    words = random.Random(seed).sample(WORDS, len(WORDS))
    before = set(accumulate(len(piece.split()) for piece in read(" ".join(words))))
    after = set(accumulate(len(piece.split()) for piece in read(" ".join([*words[:at], *inserted, *words[at:]]))))
    shift = sum(len(span.split()) for span in inserted)
    near = 2 * RULES.max_words
    assert {cut for cut in before if cut <= at - near} == {cut for cut in after if cut <= at - near}
    assert {cut + shift for cut in before if cut >= at + near} == {cut for cut in after if cut >= at + shift + near}


def test_digits_and_doubled_letters_move_no_boundary() -> None:
    words = [word if i % 5 else str(i) for i, word in enumerate(WORDS)]
    other = [word.replace("w", "WW", i % 2) if i % 5 else str(i * 7 + 1) for i, word in enumerate(WORDS)]
    assert [len(piece.split()) for piece in read(" ".join(words))] == [len(p.split()) for p in read(" ".join(other))]


@given(st.text(alphabet=st.characters() | st.sampled_from(".。:?! \n\"'กa你")))
def test_segments_are_normalised_and_in_order(text: str) -> None:
    text = repair(text)[0]
    at = 0
    seen = fold(text)
    for normalised, readable in cut(text, RULES):
        assert normalised == normalise_folded(readable)
        assert any(map(str.isalnum, normalised))
        assert "\n" not in readable
        at = seen.index(readable, at) + len(readable)


def test_segments_are_capped() -> None:
    few = SegmentRules(RULES.max_words, RULES.window_words, 3)
    assert read("a. b. c. d. e.", few) == ["a.", "b.", "c."]


@pytest.mark.parametrize("rules", [SegmentRules(2, 1, 100), SegmentRules(1, 1, 100), SegmentRules(5, 9, 100)])
def test_small_rules_hold(rules: SegmentRules) -> None:
    found = read(" ".join(WORDS[:23]), rules)
    assert " ".join(found).split() == WORDS[:23]
    assert max(len(piece.split()) for piece in found) <= rules.max_words
