"""Uses and numbers of templates against plain sets."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mined import DRAWN, SEGMENTS, UNITS, Drawn

from refrain.uses import Uses, final_ids, find_uses, frame_worth, renumbered

WORDS = np.arange(2, 2 + SEGMENTS)
GROUPS = st.lists(st.integers(0, 2), min_size=UNITS, max_size=UNITS).map(
    lambda ids: np.array([sorted(set(ids)).index(i) for i in ids], np.int64)
)


@settings(max_examples=200)
@given(DRAWN, GROUPS, st.sampled_from([0.3, 0.5, 1.0]))
def test_uses_are_those_of_plain_sets(drawn: Drawn, groups: np.typing.NDArray[np.int64], held_part: float) -> None:
    table = drawn.table
    sizes = np.bincount(groups, table.words).astype(np.int64)
    found = find_uses(drawn.sequence, drawn.placed, WORDS, table.words, groups, sizes, held_part)
    expected = []
    for row, (_, entries) in enumerate(drawn.requests):
        for group in sorted(set(groups.tolist())):
            size = sum(table.words[unit] for unit in range(UNITS) if groups[unit] == group)
            held = {unit for unit in drawn.units_of(row) if groups[unit] == group}
            words = sum(table.words[unit] for unit in held)
            if held and words >= held_part * size:
                total = sum(WORDS[segment] for segment, _ in entries)
                system = any(held & set(drawn.units[segment]) for segment, in_system in entries if in_system)
                expected.append((row, group, min(words / total, 1), system))
    columns = (found.requests, found.templates, found.shares, found.system)
    assert [tuple(row) for row in zip(*(c.tolist() for c in columns), strict=True)] == expected


def test_a_frame_is_worth_its_fillings_times_its_words_up_to_a_sentence() -> None:
    # "Options:" in many requests, a wrapper around fewer, an article under five prompts.
    worth = frame_worth(np.array([300, 60, 5]), np.array([1, 25, 400]), 20)
    assert worth.tolist() == [0, 1140, 95]


def test_numbers_go_by_worth_then_owners_then_requests_then_smallest_unit() -> None:
    uses = [(0, 3), (0, 4), (1, 3), (1, 0), (2, 2), (2, 1), (3, 2), (3, 1), (4, 0), (5, 2)]
    requests, templates = (np.array(column) for column in zip(*uses, strict=True))
    flags = np.arange(len(uses)) % 2 == 0
    found = Uses(requests, templates, np.linspace(0, 1, len(uses)), flags, ~flags, np.ones(len(uses), bool))
    owners = np.array([0, 1, 0, 1, 2, 0])
    # Group 0 has two owners in two requests, 1 and 3 two in two, 2 two in three, 4 one.
    assert final_ids(found, owners, np.array([0, 0, 0, 9, 9]), min_owners=2).tolist() == [2, 3, 1, 0, -1]
    ids = final_ids(found, owners, np.zeros(5, np.int64), min_owners=2)
    assert ids.tolist() == [1, 2, 0, 3, -1]
    left = renumbered(found, ids)
    order = [(0, 3), (1, 1), (1, 3), (2, 0), (2, 2), (3, 0), (3, 2), (4, 1), (5, 0)]
    assert list(zip(left.requests.tolist(), left.templates.tolist(), strict=True)) == order
    assert left.shares.tolist() == [found.shares[uses.index((r, ids.tolist().index(t)))] for r, t in order]
