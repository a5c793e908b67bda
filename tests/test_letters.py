"""The scripts of many texts: each as it is alone."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain import letters
from refrain.letters import scripts_of
from refrain.scripts import script_of

WORDS = [
    "Spell it out",
    "naïve café – it’s",
    "переведи",
    "ترجم هذا",
    "翻译成",
    "かな カナ",
    "번역해",
    "अनुवाद",
    "แปล",
    "1 2 3",
    "…",
    "",
]


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=4).map(" ".join) | st.text(max_size=12), max_size=40),
    st.integers(1, 50),
)
def test_many_texts_have_the_scripts_that_each_has(texts: list[str], together: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(letters, "_TOGETHER", together)
        cut = len(texts) // 2
        columns = pa.chunked_array([pa.array(texts[:cut], pa.string()), pa.array(texts[cut:], pa.string())])
        assert scripts_of(columns).tolist() == [script_of(text) for text in texts]
