"""Skeletons from readings, and readings from requests."""

from collections import Counter, defaultdict
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from mined import ASSIGNED, DRAWN, UNITS, Drawn

from refrain.readings import read_templates
from refrain.skeletons import SLOT_PART, Reading, skeleton
from refrain.uses import Uses

TEXTS = {0: "Rate this.", 1: "Be strict.", 2: "Answer:"}
_ = SLOT_PART


@pytest.mark.parametrize(
    ("readings", "shown"),
    [
        ([], ""),
        ([((_,), 3)], "{slot}"),
        ([((0,), 1)], "Rate this."),
        ([((0, _), 1), ((0,), 1)], "Rate this.\n{slot}"),
        ([((0, _), 1), ((0,), 2)], "Rate this."),
        ([((0, _, 2, _), 5), ((_, 0, 2), 4), ((0, 2), 1)], "Rate this.\n{slot}\nAnswer:\n{slot}"),
        # The order that most requests have; a longer one counts for more.
        ([((0, 1, _, 2), 3), ((1, 0, 2), 1), ((2,), 5)], "Rate this.\nBe strict.\n{slot}\nAnswer:"),
        ([((0, _), 9), ((0, 1), 4)], "Rate this.\n{slot}"),
        ([((0, 1), 2), ((1, 0), 2)], "Rate this.\nBe strict."),
        ([((0, _, 0), 2)], "Rate this.\n{slot}\nRate this."),
        # What one request says over and over is no longer order.
        ([((0, _), 3), ((0, 0, 0, 0, 0, 0, 0), 1)], "Rate this.\n{slot}"),
    ],
)
def test_the_most_frequent_order_with_the_gaps_that_half_fill(
    readings: list[tuple[tuple[int, ...], int]], shown: str
) -> None:
    assert skeleton([Reading(parts, requests) for parts, requests in readings], TEXTS) == shown


@settings(max_examples=200)
@given(DRAWN, ASSIGNED)
def test_readings_are_what_each_request_says(drawn: Drawn, assigned: np.typing.NDArray[np.int64]) -> None:
    uses = [(t, row) for t in range(3) for row in range(len(drawn.requests)) if t in assigned[drawn.units_of(row)]]
    columns = np.array(uses, np.int64).reshape(-1, 2).T
    none = np.zeros(len(uses), bool)
    found = list(
        read_templates(
            Uses(columns[1], columns[0], np.ones(len(uses)), none, none, ~none),
            np.arange(len(uses)),
            drawn.placed,
            drawn.table,
            assigned,
            3,
        )
    )
    expected: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
    said: list[dict[int, Counter[int]]] = [defaultdict(Counter) for _ in range(3)]
    held = [[set(drawn.units_of(row)) for t, row in uses if t == template] for template in range(3)]
    for template, row in uses:
        parts: list[int] = []
        fixed = {unit for unit in range(UNITS) if assigned[unit] == template}
        fixed |= {
            unit for unit in range(UNITS) if 2 * sum(unit in some for some in held[template]) > len(held[template])
        }
        for segment, _system in drawn.requests[row][1]:
            own = {unit: whole for unit, whole in sorted(drawn.units[segment].items()) if unit in fixed}
            parts += list(own) if any(own.values()) else [SLOT_PART, *own, SLOT_PART]
            for unit in (unit for unit, whole in own.items() if whole):
                said[template][unit][segment] += 1
        merged = [part for key, run in groupby(parts) for part in ([key] if key == SLOT_PART else run)]
        expected[template][tuple(merged)] += 1
    # A counter keeps the order in which its keys first came.
    assert [[(r.parts, r.requests) for r in one.readings] for one in found] == [list(some.items()) for some in expected]
    usual = [{u: min(many, key=lambda s: (-many[s], s)) for u, many in some.items()} for some in said]
    assert [one.segments for one in found] == usual
