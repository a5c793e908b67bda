"""How requests read with regard to their template: its fixed units in their order, with anything else as a slot.

Fixed are the template's own units, and those of others that more than half of its requests hold: a line that unrelated
templates share ("Question:") belongs to none of them, but each of them reads with it. Where the log gives a template
with the request, that is what is read, and not the prompt that was made of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.ahead import ahead
from refrain.counting import Ints, group_starts, mixed_sequences, portions, ranges, slices, stable_order
from refrain.given_templates import read_entries
from refrain.occurrences import Occurrences, segment_bounds
from refrain.skeletons import SLOT_PART, Reading
from refrain.units import Units
from refrain.uses import Uses

_ENTRIES = 1 << 20  # occurrences looked at together: bounds the memory, changes no result


@dataclass(frozen=True)
class Told:
    """What a template's requests say: their distinct readings by first request, and for units that fill a segment the
    one that says it most often, the smallest row among equals."""

    readings: list[Reading]
    segments: dict[int, int]


@dataclass(frozen=True)
class _Parts:
    """The parts of uses one after the other: unit or SLOT_PART, the segment that the unit fills or -1; a use has those
    in edges[use]:edges[use + 1]."""

    units: Ints
    segments: Ints
    edges: Ints


@dataclass(frozen=True)
class _Read:
    """What the uses of `count` templates tell: their parts, (4, readings) template, start, end among the parts and
    requests, and (3, pairs) template, unit, segment."""

    count: int
    parts: _Parts
    readings: Ints
    segments: Ints


def read_templates(
    uses: Uses, chosen: Ints, placed: Occurrences, units: Units, template_of_unit: Ints, count: int
) -> Iterator[Told]:
    """What is told of each of `count` templates by the `chosen` uses.

    `chosen` are positions among the uses, ordered by template, then request.
    """
    pairs = segment_bounds(placed, units)
    bounds = slices(uses.templates[chosen], count)
    entries = np.concatenate([[0], np.cumsum(np.diff(placed.bounds)[uses.requests[chosen]])])

    def read(some: slice) -> _Read:
        part = chosen[bounds[some.start] : bounds[some.stop]]
        templates = uses.templates[part]
        parts = _sequences(templates, uses.requests[part], uses.given[part], placed, units, template_of_unit, pairs)
        contents = mixed_sequences(parts.units - SLOT_PART, parts.edges)
        order = stable_order(contents)
        order = order[stable_order(templates[order])]  # stable: the first request of equals first
        starts = group_starts(templates[order], contents[order].view(np.int64))
        many = np.diff(np.append(starts, len(order)))
        groups = np.argsort(order[starts])
        first = order[starts[groups]]
        columns = np.stack([templates[first] - some.start, parts.edges[first], parts.edges[first + 1], many[groups]])
        return _Read(some.stop - some.start, parts, columns, _usual_segments(parts, templates - some.start))

    for one in ahead(map(read, portions(np.diff(entries[bounds]), _ENTRIES))):
        found = [Told([], {}) for _ in range(one.count)]
        said = one.parts.units.tolist()
        for template, start, end, requests in zip(*one.readings.tolist(), strict=True):
            found[template].readings.append(Reading(tuple(said[start:end]), requests))
        for template, unit, segment in zip(*one.segments.tolist(), strict=True):
            found[template].segments[unit] = segment
        yield from found


def _usual_segments(told: _Parts, templates: Ints) -> Ints:
    """Template, unit, segment, (3, pairs): the segment that most often says a unit in a template's uses."""
    at = np.flatnonzero(told.segments >= 0)
    if not len(at):
        return np.zeros((3, 0), np.int64)
    template, units, segments = np.repeat(templates, np.diff(told.edges))[at], told.units[at], told.segments[at]
    width = int(units.max()) + 1
    pairs = template * width + units
    order = stable_order(segments)
    order = order[stable_order(pairs[order])]
    pairs, segments = pairs[order], segments[order]
    first = group_starts(pairs, segments)
    many = np.diff(np.append(first, len(pairs)))
    pairs, segments = pairs[first], segments[first]
    starts = group_starts(pairs)
    most = np.repeat(np.maximum.reduceat(many, starts), np.diff(np.append(starts, len(pairs))))
    usual = np.flatnonzero(many == most)
    usual = usual[group_starts(pairs[usual])]
    return np.stack([*np.divmod(pairs[usual], width), segments[usual]])


def _sequences(
    templates: Ints,
    requests: Ints,
    given: NDArray[np.bool_],
    placed: Occurrences,
    units: Units,
    template_of_unit: Ints,
    pairs: Ints,
) -> _Parts:
    """The parts of all given uses. A segment gives the units in it that are fixed for the template, with a slot on
    either side unless one of them fills it, or one slot where it has none; slots side by side are one."""
    many = np.diff(placed.bounds)[requests]
    use = np.repeat(np.arange(len(many)), many)
    at = placed.bounds[requests[use]] + ranges(many)
    read = read_entries(given, use, placed.given[at])
    use, segments = use[read], placed.segments[at[read]]
    held = (pairs[1:] - pairs[:-1])[segments]
    entry = np.repeat(np.arange(len(segments)), held)
    pair = pairs[segments[entry]] + ranges(held)
    fixed = template_of_unit[units.unit_rows[pair]] == templates[use[entry]]
    fixed |= _in_most(use[entry], units.unit_rows[pair], templates)
    entry, pair = entry[fixed], pair[fixed]

    found = np.bincount(entry, minlength=len(segments))
    filled = np.zeros(len(segments), bool)
    filled[entry[units.whole[pair]]] = True
    inside = (found > 0) & ~filled
    lengths = found + (found == 0) + inside + inside
    starts = np.cumsum(lengths) - lengths
    flat = np.full(lengths.sum(), SLOT_PART)
    fills = np.full(len(flat), -1)
    at = (starts + inside)[entry] + ranges(found)
    flat[at] = units.unit_rows[pair]
    fills[at[units.whole[pair]]] = segments[entry[units.whole[pair]]]
    use = np.repeat(use, lengths)
    kept = np.ones(len(flat), bool)
    kept[1:] = (flat[1:] != SLOT_PART) | (flat[:-1] != SLOT_PART) | (use[1:] != use[:-1])
    return _Parts(flat[kept], fills[kept], slices(use[kept], len(many)))


def _in_most(use: Ints, unit: Ints, templates: Ints) -> NDArray[np.bool_]:
    """Of each pair (use, unit) whether more than half of the uses of the use's template hold the unit; template i has
    the uses in which `templates` is i."""
    template = templates[use]
    order = stable_order(template * (int(unit.max(initial=0)) + 1) + unit)
    starts = group_starts(template[order], unit[order])
    new = np.zeros(len(order), np.int64)  # a use that holds a unit twice is one
    new[group_starts(template[order], unit[order], use[order])] = 1
    often = 2 * np.add.reduceat(new, starts) > np.bincount(templates)[template[order[starts]]]
    found = np.empty(len(order), bool)
    found[order] = np.repeat(often, np.diff(np.append(starts, len(order))))
    return found
