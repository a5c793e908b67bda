"""Skeletons: the fixed parts of a template in their order, with `{slot}` where its requests differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

SLOT = "{slot}"
SLOT_PART = -1
JOIN = "\n"


class Reading(NamedTuple):
    """How some requests read: units of the template by their numbers, SLOT_PART for anything else, no two of these side
    by side."""

    parts: tuple[int, ...]
    requests: int

    @property
    def units(self) -> tuple[int, ...]:
        """The parts without slots."""
        return tuple([part for part in self.parts if part != SLOT_PART])


def skeleton(readings: Sequence[Reading], texts: Mapping[int, str]) -> str:
    """The skeleton of a template's readings; empty where there are none.

    It is the most frequent order of units, those with many different ones counting more, with a slot in each gap that
    at least half of the requests in that order fill. `texts[unit]` is the text to show.
    """
    if len(readings) == 1:
        return JOIN.join([SLOT if part == SLOT_PART else texts[part] for part in readings[0].parts])
    orders: Counter[tuple[int, ...]] = Counter()
    sequences = [reading.units for reading in readings]
    for reading, units in zip(readings, sequences, strict=True):
        orders[units] += reading.requests
    if not orders:
        return ""
    order = min(orders, key=lambda units: (-orders[units] * len(set(units)), len(units), units))
    chosen = [reading for reading, units in zip(readings, sequences, strict=True) if units == order]
    filled = [0] * (len(order) + 1)
    for reading in chosen:
        gap = 0
        for part in reading.parts:
            if part == SLOT_PART:
                filled[gap] += reading.requests
            else:
                gap += 1
    parts: list[str] = []
    for gap, count in enumerate(filled):
        if 2 * count >= orders[order]:
            parts.append(SLOT)
        if gap < len(order):
            parts.append(texts[order[gap]])
    return JOIN.join(parts)
