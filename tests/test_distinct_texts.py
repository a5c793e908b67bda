"""Equal texts as equal numbers: as one dictionary of them all numbers them."""

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from refrain.distinct_texts import number_texts


@given(st.lists(st.lists(st.sampled_from(["", "a", "b", "ab", "é", "abc", "ABC", "a b c d e"])), min_size=1))
def test_texts_are_numbered_as_they_come_up(chunks: list[list[str]]) -> None:
    texts = pa.chunked_array(chunks, pa.large_string())
    numbers, keys = number_texts(texts)
    flat = texts.to_pylist()
    assert keys.to_pylist() == list(dict.fromkeys(flat))
    assert [keys[number].as_py() for number in numbers.tolist()] == flat
