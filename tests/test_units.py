"""Units: what recurs is found whatever hides it, and who sent it is plain set arithmetic."""

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.segments import SegmentRules, cut
from refrain.settings import load_settings
from refrain.text import squeezed
from refrain.units import CLUSTER, EXACT, SPAN, SegmentTexts, Units, find_units

CONFIG = replace(load_settings().config.mine, min_owners=3)
INGEST = load_settings().config.ingest
RULES = SegmentRules(INGEST.segment_max_words, INGEST.segment_window_words, INGEST.max_segments)
Sent = list[tuple[int, str]]  # owner, prompt


def mined(sent: Sent, clusters: dict[str, int] | None = None) -> tuple[Units, list[str]]:
    """The units of a log, and its normalised segments in the order of their rows."""
    placed = [(owner, *pair) for owner, prompt in sent for pair in cut(prompt, RULES)]
    readable: dict[str, str] = {}
    for _, text, raw in placed:
        readable.setdefault(text, raw)
    texts = sorted(readable, key=str.encode)
    row = {text: i for i, text in enumerate(texts)}
    found = find_units(
        SegmentTexts(
            pa.chunked_array([texts], pa.string()),
            pa.chunked_array([[readable[text] for text in texts]], pa.string()),
            np.array([(clusters or {}).get(text, -1) for text in texts], np.int64),
        ),
        np.array([row[text] for _, text, _ in placed], np.int64),
        np.array([owner for owner, _, _ in placed], np.int64),
        CONFIG,
    )
    return found, texts


def holders(units: Units, texts: list[str]) -> dict[str, set[str]]:
    """The segments that hold each unit, by the unit's readable text."""
    out: dict[str, set[str]] = defaultdict(set)
    for row, unit in zip(units.segment_rows, units.unit_rows, strict=True):
        out[units.texts[unit]].add(texts[row])
    return out


PLANTED = "Show every step of your full reasoning before you give the answer."
OWN = [
    "write a poem about the river near my house",
    "which of these shoes would you buy for winter",
    "my code does not compile on the new linux box",
    "translate the letter to my old aunt in spain",
    "is the bank open on sunday or only on monday",
]


def test_one_sentence_hidden_in_four_ways_is_one_exact_unit() -> None:
    hidden = [
        PLANTED,
        "Sh\u200bow every step of your full reaso\u00adning before you give the answer.",
        "Shоw еvеry step оf your full reasoning befоre you give the аnswer.",
        "Showw every sstep of your full, reasoning before you giive the answer",
    ]
    units, texts = mined([(i, f"{OWN[i]}.\n{text}") for i, text in enumerate(hidden)])
    assert units.kinds == [EXACT]
    assert len(holders(units, texts)[PLANTED]) == 2  # two normalised forms, one unit
    assert units.words.tolist() == [12]


def test_the_text_of_a_unit_is_its_most_common_variant() -> None:
    rare, common = "Answer: the step, with reasons", "Answerr - the step - with reasons!"
    units, _ = mined([(0, rare.replace(": ", " ")), *((i, common) for i in (1, 2, 3))])
    assert units.texts == [common]


def test_a_sentence_in_the_middle_of_others_is_a_span_and_reads_as_it_was_written() -> None:
    inside = "please Show every Step of your full reasoning, tell me"
    units, texts = mined([(i, " ".join([*own.split()[:4], inside, *own.split()[4:]])) for i, own in enumerate(OWN)])
    assert units.kinds == [SPAN]
    assert units.texts == [inside]
    assert units.words.tolist() == [10]
    assert holders(units, texts)[inside] == set(texts)
    # It covers 10 of 19 or 20 words, less than what fills a segment.
    assert not units.whole.any()


def test_a_span_that_fills_a_recurrent_segment_is_that_unit() -> None:
    sent = [(i, PLANTED) for i in range(3)] + [(3, f"{OWN[0]} show every step of your full reasoning before you give")]
    units, texts = mined(sent)
    assert units.kinds == [EXACT]
    assert holders(units, texts)[PLANTED] == set(texts)
    assert units.whole.tolist() == [True, False]


def test_a_span_that_is_a_small_part_of_a_recurrent_segment_is_no_use_of_it() -> None:
    question = "What is the name of the city in which the old violin maker of the king was born?"
    own = [f"what is the name of the city in {end}" for end in ("spain?", "my letter?", "the west?", "june?", "a box?")]
    units, texts = mined([*((i, question) for i in range(3)), *((3 + i, text) for i, text in enumerate(own))])
    assert units.kinds == [EXACT, SPAN]
    assert holders(units, texts) == {question: {question.lower()}, "what is the name of the city in": set(own)}


def test_rewordings_are_one_unit_where_a_cluster_holds_them() -> None:
    wordings = ["Think aloud first", "First reason aloud", "Reason before replying please", "Do think it over first"]
    sent = [(i, f"{OWN[i]}.\n{text}") for i, text in enumerate(wordings)]
    assert mined(sent)[0].kinds == []
    units, texts = mined(sent, {text.lower(): 7 for text in wordings})
    assert units.kinds == [CLUSTER]
    assert units.texts == ["Reason before replying please"]  # of median length, the upper of two
    assert holders(units, texts)[units.texts[0]] == {text.lower() for text in wordings}
    # What recurs already stands for itself and is no rewording.
    assert CLUSTER not in mined([(i, wordings[0]) for i in range(4)], {wordings[0].lower(): 7})[0].kinds


def test_scripts_without_spaces() -> None:
    inside = "请逐步展示你的完整推理过程"
    units, _ = mined(
        [
            (i, f"{a}{inside}{b}")
            for i, (a, b) in enumerate([("我有三个苹果", "谢谢"), ("你好", "今天"), ("天气", "很好吗")])
        ]
    )
    assert units.texts == [inside]
    thai = "กรุณาอธิบายทุกขั้นตอน"
    units, _ = mined([(i, f"{a}{thai}") for i, a in enumerate(["แมวดำ", "บ้านใหม่", "ข้าวผัด"])])
    assert units.texts == [thai]
    arabic = "اشرح كل خطوة من خطوات تفكيرك بالتفصيل"
    units, _ = mined([(i, f"{a}؟ {arabic}.") for i, a in enumerate(["كم الساعة", "اين انت", "ما هذا"])])
    assert units.texts == [f"{arabic}."]


SEGMENT = st.sampled_from(["go on.", "Go onn!", "why not?", "tell me more.", "stop 12.", "stop 7."])
LOG = st.lists(st.tuples(st.integers(0, 4), st.lists(SEGMENT, min_size=1).map("\n".join)))
CLUSTERS = st.dictionaries(
    st.sampled_from(["go on.", "go onn!", "why not?", "tell me more.", "stop 0."]), st.integers(0, 2)
)


@settings(max_examples=200)
@given(LOG, CLUSTERS)
def test_units_are_what_sets_of_owners_say(sent: Sent, clusters: dict[str, int]) -> None:
    units, texts = mined(sent, clusters)
    owners: dict[str, set[int]] = defaultdict(set)
    reworded: dict[int, set[int]] = defaultdict(set)
    for owner, prompt in sent:
        for text, _ in cut(prompt, RULES):
            owners[squeezed(text)].add(owner)
    exact = {text for text in texts if len(owners[squeezed(text)]) >= CONFIG.min_owners}
    for text in texts:
        if text not in exact and text in clusters:
            reworded[clusters[text]] |= {owner for owner, prompt in sent if text in dict(cut(prompt, RULES))}
    in_cluster = {t for t in texts if t not in exact and len(reworded[clusters.get(t, -1)]) >= CONFIG.min_owners}
    kind = {texts[row]: units.kinds[unit] for row, unit in zip(units.segment_rows, units.unit_rows, strict=True)}
    assert kind == dict.fromkeys(exact, EXACT) | dict.fromkeys(in_cluster, CLUSTER)
    for row, unit in zip(units.segment_rows, units.unit_rows, strict=True):
        for other, same in zip(units.segment_rows, units.unit_rows, strict=True):
            a, b = texts[row], texts[other]
            alike = squeezed(a) == squeezed(b) if a in exact else clusters.get(a) == clusters.get(b) and b not in exact
            assert (unit == same) == alike


@settings(max_examples=50)
@given(LOG, st.integers(0, 20), st.integers(1, 5))
def test_what_an_owner_repeats_changes_no_unit(sent: Sent, which: int, times: int) -> None:
    again = sent + sent[which : which + 1] * times
    (units, texts), (others, same) = mined(sent), mined(again)
    assert texts == same
    assert (units.segment_rows.tolist(), units.unit_rows.tolist()) == (
        others.segment_rows.tolist(),
        others.unit_rows.tolist(),
    )
    assert (units.kinds, units.texts) == (others.kinds, others.texts)


def test_edges() -> None:
    assert mined([])[0].kinds == []
    assert mined([(0, "Hello.")])[0].kinds == []
    every, _ = mined([(i, "Hello there.") for i in range(5)])
    assert (every.kinds, every.texts, every.whole.tolist()) == ([EXACT], ["Hello there."], [True])
