"""Recurrent spans: planted ones are found whole, and every answer is that of plain sets."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.spans import SpanRules, Spans, find_spans, shingle
from refrain.words import split_words

RULES = SpanRules(min_owners=3, min_ratio=0.5, min_part=0.5)
Shingle = tuple[str, ...]


def found_in(texts: list[str], owners: list[set[int]], size: int, rules: SpanRules = RULES) -> Spans:
    pairs = sorted((text, owner) for text, some in enumerate(owners) for owner in some)
    columns = np.array(pairs, np.int64).reshape(-1, 2).T
    return find_spans(shingle(split_words(pa.array(texts, pa.large_string())), size), columns[0], columns[1], rules)


def by_sets(texts: list[str], owners: list[set[int]], size: int, rules: SpanRules) -> list[tuple[int, ...]]:
    """(text, span, start, end, covered, held) as the definition says, spans by the place of their first text."""
    words = [text.split() for text in texts]
    places = [[tuple(some[i : i + size]) for i in range(len(some) - size + 1)] for some in words]
    sent: dict[Shingle, set[int]] = defaultdict(set)
    for some, who in zip(places, owners, strict=True):
        for one in some:
            sent[one] |= who
    root = {one: one for one, who in sent.items() if len(who) >= rules.min_owners}

    def top(one: Shingle) -> Shingle:
        while root[one] != one:
            one = root[one]
        return one

    for some in places:
        for a, b in pairwise(some):
            if a in root and b in root:
                low, high = sorted((len(sent[a]), len(sent[b])))
                if low >= rules.min_ratio * high:
                    root[top(a)] = top(b)
    sizes: dict[Shingle, int] = defaultdict(int)
    for one in root:
        sizes[top(one)] += 1
    out = []
    for text, some in enumerate(places):
        for span in {top(one) for one in some if one in root}:
            at = [i for i, one in enumerate(some) if one in root and top(one) == span]
            held = len({some[i] for i in at})
            if held >= rules.min_part * sizes[span]:
                covered = len({i + k for i in at for k in range(size)})
                out.append((text, span, at[0], at[-1] + size, covered, held))
    return out  # type: ignore[return-value]


WORD = st.sampled_from("abc")
TEXT = st.lists(WORD, min_size=1, max_size=9).map(" ".join)
LOG = st.lists(st.tuples(TEXT, st.sets(st.integers(0, 4))), max_size=8, unique_by=lambda row: row[0])


@settings(max_examples=300)
@given(LOG, st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.3, 0.5, 1.0]))
def test_spans_are_those_of_plain_sets(
    log: list[tuple[str, set[int]]], size: int, min_ratio: float, min_part: float
) -> None:
    texts, owners = [text for text, _ in log], [some for _, some in log]
    rules = SpanRules(2, min_ratio, min_part)
    found = found_in(texts, owners, size, rules)
    rows = zip(found.texts, found.starts, found.ends, found.covered, found.held, found.ids, strict=True)
    got = [tuple(int(value) for value in row) for row in rows]
    expected = by_sets(texts, owners, size, rules)
    assert sorted(row[:5] for row in got) == sorted((text, *rest) for text, _, *rest in expected)
    # The same entries share a span, and spans are numbered as they come up.
    groups: dict[object, set[tuple[int, ...]]] = defaultdict(set)
    for text, span, *rest in expected:
        groups[span].add((text, *rest))
    numbered: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    for row in got:
        numbered[row[5]].add(row[:5])
    assert sorted(map(sorted, numbered.values())) == sorted(map(sorted, groups.values()))
    assert list(dict.fromkeys(row[5] for row in got)) == list(range(found.count))


PLANTED = "show every step of your reasoning before you answer"
OWN = [
    "write a poem about the river near my house",
    "which of these shoes would you buy",
    "my code does not compile on linux",
    "translate the letter to my aunt in spain",
]


def test_a_sentence_injected_before_behind_and_inside_is_one_span() -> None:
    texts = [
        f"{PLANTED} {OWN[0]}",
        f"{OWN[1]} {PLANTED}",
        f"my code does {PLANTED} not compile on linux",
        OWN[3],
    ]
    found = found_in(texts, [{0}, {1}, {2}, {3}], 6)
    assert found.count == 1
    words = [text.split() for text in texts]
    quoted = [" ".join(words[t][a:b]) for t, a, b in zip(found.texts, found.starts, found.ends, strict=True)]
    assert quoted == [PLANTED] * 3
    assert found.covered.tolist() == [9, 9, 9]


def test_a_span_that_comes_twice_covers_only_its_own_words() -> None:
    texts = [f"{PLANTED} {OWN[0]} {PLANTED}", f"{OWN[1]} {PLANTED}", f"{PLANTED} {OWN[2]}"]
    found = found_in(texts, [{0}, {1}, {2}], 6)
    assert found.covered.tolist() == [18, 9, 9]
    assert found.held.tolist() == [4, 4, 4]


def test_one_owner_makes_nothing_recur() -> None:
    texts = [f"{own} {PLANTED}" for own in OWN]
    assert found_in(texts, [{0}, {0}, {1}, {0, 1}], 6).count == 0
    assert found_in([], [], 6).count == 0
    assert found_in(["too short"] * 1, [{0, 1, 2}], 6).count == 0
