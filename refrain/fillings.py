"""What fills a template's slots: how many different things."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from refrain.cores import core_count
from refrain.counting import (
    Ints,
    find_sorted,
    group_sizes,
    group_starts,
    mixed_sequences,
    portions,
    ranges,
    stable_order,
)
from refrain.occurrences import Occurrences
from refrain.units import Units
from refrain.uses import Uses

_ENTRIES = 1 << 20  # occurrences looked at together: bounds the memory, changes no result


def count_fillings(uses: Uses, placed: Occurrences, units: Units, template_of_unit: Ints, count: int) -> Ints:
    """How many different things stand beside a template's whole units in its requests, (count,): in what is said
    to the model, so system prompts and templates that the log gives are aside.

    Things are sequences of segments; a template whose requests hold nothing else has one, the empty sequence. Requests
    that only resend it as history are left out: their conversation grows, and the filling is the same.
    """
    segments = int(max(placed.segments.max(initial=-1), units.segment_rows.max(initial=-1))) + 1
    owned = units.whole & (template_of_unit[units.unit_rows] >= 0)
    fixed = np.sort(template_of_unit[units.unit_rows[owned]] * segments + units.segment_rows[owned])
    fixed = fixed[group_starts(fixed)]  # np.unique hashes before it sorts
    owners, rows = np.divmod(fixed, segments)
    owner, owning = np.full(segments, -1), np.bincount(rows, minlength=segments)
    owner[rows] = owners  # of several the last
    requests, templates = uses.requests[uses.counted], uses.templates[uses.counted]
    contents = np.zeros(len(requests), np.uint64)
    many = np.diff(placed.bounds)[requests]
    aside = placed.system | placed.given

    def fill(some: slice) -> None:
        use = np.repeat(np.arange(some.start, some.stop), many[some])
        at = placed.bounds[requests[use]] + ranges(many[some])
        free = ~aside[at]
        use, held = use[free], placed.segments[at[free]]
        own = owner[held] == templates[use]
        unsure = np.flatnonzero(~own & (owning[held] > 1))
        own[unsure] = find_sorted(templates[use[unsure]] * segments + held[unsure], fixed) >= 0
        use, held = use[~own], held[~own]
        contents[some] = mixed_sequences(held, np.searchsorted(use, np.arange(some.start, some.stop + 1)))

    with ThreadPoolExecutor(core_count()) as pool:
        list(pool.map(fill, portions(many, _ENTRIES)))
    # Contents by number: a hash of 64 bits is no int64.
    order = stable_order(contents)
    new = np.zeros(len(order), np.int64)
    new[group_starts(contents[order].view(np.int64))] = 1
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(new)
    return group_sizes(templates, numbers, count)
