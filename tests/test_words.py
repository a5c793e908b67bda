"""Words as numbers, and squeezed words found again in what a person reads."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.segments import tokens
from refrain.text import normalise, normalise_folded, squeezed
from refrain.words import excerpt, excerpts, split_words

TEXTS = st.lists(st.text(alphabet="ab 你กิé").map(lambda text: " ".join(text.split())).filter(bool))


@given(TEXTS)
def test_numbers_stand_for_words(texts: list[str]) -> None:
    words = split_words(pa.array(texts, pa.large_string()))
    split = [tokens(text) for text in texts]
    assert words.lengths.tolist() == [len(some) for some in split]
    flat = [word for some in split for word in some]
    assert words.ids.tolist() == [list(dict.fromkeys(flat)).index(word) for word in flat]


def test_no_texts() -> None:
    words = split_words(pa.array([], pa.large_string()))
    assert (words.ids.tolist(), words.bounds.tolist()) == ([], [0])
    assert words.ids.dtype == np.int64


@pytest.mark.parametrize(
    ("readable", "start", "end", "found"),
    [
        ("Don't stop: see Annex 3.5, letter C!", 0, 2, "Don't"),
        ("Don't stop: see Annex 3.5, letter C!", 2, 6, "stop: see Annex 3.5,"),
        ("Don't stop: see Annex 3.5, letter C!", 1, 8, "Don't stop: see Annex 3.5, letter C!"),
        ("请 - 逐步推理 now", 1, 4, "逐步推"),
        ("--- Hello --- World ---", 1, 2, "World"),
        ("看看书", 0, 1, "看"),  # squeezed to two words from three characters: these themselves
    ],
)
def test_excerpts_read_as_the_text_does(readable: str, start: int, end: int, found: str) -> None:
    count = len(tokens(squeezed(normalise_folded(readable))))
    assert excerpt(readable, start, end, count) == found


@given(st.lists(st.text(alphabet="aBb'-1. ", min_size=1), min_size=1).map(" ".join), st.data())
def test_an_excerpt_holds_the_words_and_no_more_than_their_neighbours(readable: str, data: st.DataObject) -> None:
    words = squeezed(normalise(readable)).split()
    if words:
        start = data.draw(st.integers(0, len(words) - 1))
        end = data.draw(st.integers(start + 1, len(words)))
        found = squeezed(normalise_folded(excerpt(readable, start, end, len(words)))).split()
        assert " ".join(words[start:end]) in " ".join(found)
        assert " ".join(found) in " ".join(words)


@given(st.lists(st.text(alphabet="aabB01.,_- \t\n\x1fé你"), max_size=5), st.data())
def test_many_excerpts_are_each_as_one(readable: list[str], data: st.DataObject) -> None:
    counts = [len(squeezed(normalise_folded(text)).split()) for text in readable]
    counts = [
        count + data.draw(st.sampled_from([0, 0, 0, 1])) if text.split() else 0
        for text, count in zip(readable, counts, strict=True)
    ]
    starts = [data.draw(st.integers(0, max(count - 1, 0))) for count in counts]
    ends = [
        data.draw(st.integers(start + 1, max(count, start + 1))) for start, count in zip(starts, counts, strict=True)
    ]
    found = excerpts(pa.array(readable, pa.string()), *(np.array(some, np.int64) for some in (starts, ends, counts)))
    assert found == [excerpt(*one) for one in zip(readable, starts, ends, counts, strict=True)]
