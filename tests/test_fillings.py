"""Fillings against sets of sequences."""

import numpy as np
from hypothesis import given, settings
from mined import ASSIGNED, DRAWN, Drawn

from refrain.fillings import count_fillings
from refrain.uses import Uses


@settings(max_examples=200)
@given(DRAWN, ASSIGNED)
def test_fillings_are_the_distinct_sequences_beside_whole_units(
    drawn: Drawn, assigned: np.typing.NDArray[np.int64]
) -> None:
    uses = [(row, t) for row in range(len(drawn.requests)) for t in sorted({*assigned[drawn.units_of(row)]} - {-1})]
    columns = np.array(uses, np.int64).reshape(-1, 2).T
    none = np.zeros(len(uses), bool)
    found = count_fillings(
        Uses(columns[0], columns[1], np.ones(len(uses)), none, none, ~none),
        drawn.placed,
        drawn.table,
        assigned,
        3,
    )
    beside: list[set[tuple[int, ...]]] = [set(), set(), set()]
    for row, template in uses:
        fixed = {s for s, held in enumerate(drawn.units) if any(w and assigned[u] == template for u, w in held.items())}
        entries = drawn.requests[row][1]
        beside[template].add(tuple(s for s, system in entries if not system and s not in fixed))
    assert found.tolist() == [len(some) for some in beside]


def test_history_that_is_sent_again_fills_nothing() -> None:
    # One owner's conversation: the wrapper, segment 0, is in every call, with all that was said since.
    calls = [(0, [(segment, False) for segment in range(length)]) for length in range(1, 5)]
    drawn = Drawn(calls, [{0: True}, {}, {}, {}, {}, {}])
    rows, first = np.arange(4), np.arange(4) == 0
    uses = Uses(rows, rows * 0, np.ones(4), rows < 0, rows < 0, first)
    assert count_fillings(uses, drawn.placed, drawn.table, np.array([0, -1, -1, -1]), 1).tolist() == [1]
