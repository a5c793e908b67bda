"""Templates compared by shingles: against sets written out by hand, and laws of what may not matter."""

from itertools import permutations
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.known import read_lists
from refrain.settings import config_folder
from refrain.shingles import ShingleIndex, fixed_words, shingles
from refrain.skeletons import SLOT

WORDS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=12)
TEXT = st.lists(WORDS.map(" ".join), min_size=1, max_size=4).map(SLOT.join)


def similarity(left: str, right: str, width: int = 3) -> float:
    return ShingleIndex([left], width).similarities(right).get(0, 0.0)


def test_shingles_are_runs_of_words_inside_a_part() -> None:
    assert shingles("One two six four{slot}five ten{slot} ", 3) == {
        ("one", "two", "six"),
        ("two", "six", "four"),
        ("five", "ten"),
    }
    assert shingles(SLOT, 3) == frozenset()


def test_words_are_those_by_which_segments_are_counted() -> None:
    assert fixed_words("LET\u2019S  thiink\u200b, step-by-step:{slot}12 or 3,400?") == [
        ["let", "s", "think", "step", "by", "step"],
        ["0", "or", "0"],
    ]


@given(st.lists(TEXT, max_size=6), TEXT, st.integers(1, 4))
def test_the_index_gives_the_cosine_of_the_sets_and_leaves_out_nothing(
    texts: list[str], other: str, width: int
) -> None:
    own = shingles(other, width)
    expected = {}
    for number, text in enumerate(texts):
        theirs = shingles(text, width)
        if own & theirs:
            expected[number] = pytest.approx(len(own & theirs) / sqrt(len(own) * len(theirs)))
    assert ShingleIndex(texts, width).similarities(other) == expected


@given(TEXT)
def test_a_text_is_wholly_like_itself_in_any_order_and_dress_of_its_parts(text: str) -> None:
    parts = text.split(SLOT)
    for order in list(permutations(parts))[:6]:
        dressed = SLOT.join(f" {part.upper()}.\n" for part in order)
        assert similarity(text, f"{SLOT}{dressed}{SLOT}") == 1


def test_every_public_template_is_found_in_a_request_that_fills_it_and_is_no_other() -> None:
    entries = read_lists(config_folder("benign")).templates
    index = ShingleIndex([entry.text for entry in entries], 3)
    for number, entry in enumerate(entries):
        near = index.similarities(entry.text.replace(SLOT, f"Zanzibar {SLOT} quokkas"))
        assert max(near, key=lambda n: near[n]) == number, entry.name
        assert near[number] >= 0.5, entry.name
        assert [n for n, found in near.items() if found >= 0.5] == [number], entry.name


def test_a_quotation_finds_its_template_and_a_public_phrase_makes_no_wrapper_public() -> None:
    whole = " ".join(f"word{letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    quotation = " ".join(whole.split()[:9])
    assert similarity(quotation, whole) == pytest.approx(sqrt(7 / 24))
    wrapper = f"{whole} of our own. Let's think step by step."
    assert similarity("Let's think step by step.", wrapper) < 0.5
