"""Many texts cut at once are what the functions for one text say of each."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.cutting import cut_plain, normalise_plain, words_and_speech
from refrain.segments import SegmentRules, pieces, says_something
from refrain.text import fold, normalise_folded

RULES = SegmentRules(max_words=6, window_words=4, max_segments=100)
PLAIN = "".join(map(chr, range(128)))
# What decides: ends, closing marks, every kind of white space, digits with points between, and words.
TEXTS = st.one_of(
    st.text(st.sampled_from(" .!?:;\"')]\n\r\t\v\f\x1c\x1d\x1e\x1f12,aB"), max_size=40),
    st.text(st.sampled_from(PLAIN), max_size=60),
    st.lists(st.sampled_from(["one", "Two", "3.5", "four,", "x.", "(y)!", "7:30"]), max_size=30).map(" ".join),
)


@settings(max_examples=400)
@given(st.lists(TEXTS, max_size=8))
def test_texts_cut_together_are_cut_as_each_alone(texts: list[str]) -> None:
    folded = [fold(text) for text in texts]
    alone = [list(pieces(text, RULES)) for text in texts]
    found = list(cut_plain(folded, RULES))
    assert [piece for part in found for piece in part.readable.to_pylist()] == [p for text in alone for p in text]
    assert [count for part in found for count in part.counts.tolist()] == [len(text) for text in alone]


@settings(max_examples=400)
@given(st.lists(TEXTS, max_size=8))
def test_pieces_normalised_together_are_normalised_as_each_alone(texts: list[str]) -> None:
    readable = [piece for text in texts for piece in pieces(text, RULES)]
    alone = [normalise_folded(piece) for piece in readable]
    padding = pa.array(["before", *readable], pa.string()).slice(1)  # an array that begins in the middle of its buffer
    for given_pieces in (pa.array(readable, pa.string()), padding):
        found = normalise_plain(given_pieces)
        assert found.to_pylist() == alone
        words, speaks = words_and_speech(found)
        assert words.tolist() == [len(text.split(" ")) for text in alone]
        assert speaks.tolist() == list(map(says_something, alone))


def test_what_is_cut_does_not_depend_on_how_much_is_cut_at_a_time() -> None:
    texts = [f"Line {at}. And more: {'word ' * (at % 50)}" for at in range(120_000)]
    parts = list(cut_plain(texts, RULES))
    assert len(parts) > 1
    counts = np.concatenate([part.counts for part in parts])
    assert np.array_equal(counts[:100], np.concatenate([part.counts for part in cut_plain(texts[:100], RULES)]))
    last = next(cut_plain(texts[-1:], RULES)).readable.to_pylist()
    assert parts[-1].readable.to_pylist()[-len(last) :] == last
