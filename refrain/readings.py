"""How requests read with regard to their template: its units in their order, with anything else as a slot."""

from collections.abc import Iterator

import numpy as np

from refrain.counting import Ints, group_starts, mixed_sequences, portions, ranges, slices
from refrain.occurrences import Occurrences, segment_bounds
from refrain.skeletons import SLOT_PART, Reading
from refrain.units import Units
from refrain.uses import Uses

_ENTRIES = 1 << 22  # occurrences looked at together: bounds the memory, changes no result


def read_templates(
    uses: Uses, chosen: Ints, placed: Occurrences, units: Units, template_of_unit: Ints, count: int
) -> Iterator[list[Reading]]:
    """The distinct readings of each of `count` templates, by first request, from the `chosen` uses.

    `chosen` are positions among the uses, ordered by template, then request.
    """
    pairs = segment_bounds(placed, units)
    bounds = slices(uses.templates[chosen], count)
    entries = np.concatenate([[0], np.cumsum(np.diff(placed.bounds)[uses.requests[chosen]])])
    for some in portions(np.diff(entries[bounds]), _ENTRIES):
        part = chosen[bounds[some.start] : bounds[some.stop]]
        templates = uses.templates[part]
        flat, edges = _sequences(templates, uses.requests[part], placed, units, template_of_unit, pairs)
        contents = mixed_sequences(flat - SLOT_PART, edges).view(np.int64)
        order = np.lexsort((contents, templates))  # stable: the first request of equals first
        starts = group_starts(templates[order], contents[order])
        many = np.diff(np.append(starts, len(order)))
        found: list[list[Reading]] = [[] for _ in range(some.start, some.stop)]
        parts = flat.tolist()
        for group in np.argsort(order[starts]):
            use = order[starts[group]]
            reading = Reading(tuple(parts[edges[use] : edges[use + 1]]), int(many[group]))
            found[templates[use] - some.start].append(reading)
        yield from found


def _sequences(
    templates: Ints, requests: Ints, placed: Occurrences, units: Units, template_of_unit: Ints, pairs: Ints
) -> tuple[Ints, Ints]:
    """The parts of all given uses one after the other, and where each use's parts begin and end. A segment gives the
    template's units in it, with a slot on either side unless one of them fills it, or one slot where it has none; slots
    side by side are one."""
    many = np.diff(placed.bounds)[requests]
    use = np.repeat(np.arange(len(many)), many)
    segments = placed.segments[placed.bounds[requests[use]] + ranges(many)]
    held = (pairs[1:] - pairs[:-1])[segments]
    entry = np.repeat(np.arange(len(segments)), held)
    pair = pairs[segments[entry]] + ranges(held)
    own = template_of_unit[units.unit_rows[pair]] == templates[use[entry]]
    entry, pair = entry[own], pair[own]

    found = np.bincount(entry, minlength=len(segments))
    filled = np.zeros(len(segments), bool)
    filled[entry[units.whole[pair]]] = True
    inside = (found > 0) & ~filled
    lengths = found + (found == 0) + inside + inside
    starts = np.cumsum(lengths) - lengths
    flat = np.full(lengths.sum(), SLOT_PART)
    flat[(starts + inside)[entry] + ranges(found)] = units.unit_rows[pair]
    use = np.repeat(use, lengths)
    kept = np.ones(len(flat), bool)
    kept[1:] = (flat[1:] != SLOT_PART) | (flat[:-1] != SLOT_PART) | (use[1:] != use[:-1])
    return flat[kept], slices(use[kept], len(many))
