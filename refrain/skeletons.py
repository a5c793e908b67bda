"""Skeletons: the fixed parts of a template in their order, with `{slot}` where its requests differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

SLOT = "{slot}"
Part = int | None  # a unit, or something else

JOIN = "\n"


def skeleton(sequences: Sequence[Sequence[Part]], texts: dict[int, str]) -> str:
    """The skeleton of requests given as sequences of parts: a unit of the template by its id, anything else as None.

    It is the most frequent order of units, with a slot in each gap that at least half of the requests in that order
    fill. `texts` maps a unit to the text to show.
    """
    orders = Counter(tuple(part for part in sequence if part is not None) for sequence in sequences)
    if not orders:
        return ""
    order = min(orders, key=lambda units: (-orders[units] * len(units), units))
    chosen = [s for s in sequences if tuple(part for part in s if part is not None) == order]
    filled = [0] * (len(order) + 1)
    for sequence in chosen:
        gap = 0
        open_gap = False
        for part in sequence:
            if part is None:
                filled[gap] += not open_gap
                open_gap = True
            else:
                gap, open_gap = gap + 1, False
    parts: list[str] = []
    for gap, count in enumerate(filled):
        if 2 * count >= len(chosen):
            parts.append(SLOT)
        if gap < len(order):
            parts.append(texts[order[gap]])
    return JOIN.join(parts)
