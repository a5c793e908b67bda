"""Groups of units against Jaccard's index by sets; no repetition and no shared line moves them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from mined import DRAWN, UNITS, Drawn

from refrain.groups import group_units
from refrain.occurrences import first_contents


def grouped(drawn: Drawn, near: int = 3, together: float = 0.5) -> list[int]:
    return list(group_units(drawn.sequence, drawn.placed, UNITS, near, together))


@settings(max_examples=300)
@given(DRAWN, st.integers(1, 3), st.sampled_from([0.0, 0.5, 0.8]))
def test_groups_are_those_of_plain_sets(drawn: Drawn, near: int, together: float) -> None:
    seen, rows = set(), []
    for row, (owner, entries) in enumerate(drawn.requests):
        if (owner, tuple(entries)) not in seen:
            seen.add((owner, tuple(entries)))
            rows.append(row)
    holds = [{row for row in rows if unit in drawn.units_of(row)} for unit in range(UNITS)]
    group = list(range(UNITS))
    for a in range(UNITS):
        for b in range(a):
            meet = {
                row
                for row in rows
                for i, one in enumerate(drawn.units_of(row))
                for other in drawn.units_of(row)[i + 1 : i + 1 + near]
                if {one, other} == {a, b}
            }
            if meet and len(meet) > together * (len(holds[a]) + len(holds[b]) - len(meet)) and group[a] != group[b]:
                group = [group[b] if some == group[a] else some for some in group]
    names = list(dict.fromkeys(group))
    assert grouped(drawn, near, together) == [names.index(some) for some in group]


@given(DRAWN, st.data())
def test_repeating_and_reordering_requests_changes_no_group(drawn: Drawn, data: st.DataObject) -> None:
    some = st.lists(st.sampled_from(drawn.requests)) if drawn.requests else st.just([])
    requests = data.draw(st.permutations([*drawn.requests, *data.draw(some)]))
    assert grouped(Drawn(requests, drawn.units)) == grouped(drawn)


def test_a_line_that_unrelated_templates_share_glues_none_together() -> None:
    units = [{0: True}, {1: True}, {2: True}, {}, {}, {}]
    # Units 0 and 1 each stand beside the line, unit 2, in half of its requests.
    requests = [(i, [(i % 2, False), (2, False)]) for i in range(8)] + [(9, [(2, False)])]
    assert grouped(Drawn(requests, units)) == [0, 1, 2, 3]
    # A line that comes with one of them alone belongs to it.
    assert grouped(Drawn(requests[::2][:4], units)) == [0, 1, 0, 2]


def test_the_first_of_equal_contents_of_an_owner_stands_for_them() -> None:
    a, b, system = [(0, False), (1, False)], [(1, False), (0, False)], [(0, True), (1, False)]
    requests = [(0, a), (1, a), (0, a), (0, b), (0, system), (0, []), (1, []), (0, a)]
    first = first_contents(Drawn(requests, [{}] * 6).placed)
    assert first.tolist()[:5] == [True, True, False, True, True]
    assert not first[7]


def test_edges() -> None:
    assert grouped(Drawn([], [{}] * 6)) == list(range(UNITS))
    assert group_units(Drawn([], []).sequence, Drawn([], []).placed, 0, 3, 0.5).dtype == np.int64
