"""What fills a template's slots: how many different things."""

import numpy as np

from refrain.counting import Ints, find_sorted, group_sizes, mixed_sequences, portions, ranges
from refrain.occurrences import Occurrences
from refrain.units import Units
from refrain.uses import Uses

_ENTRIES = 1 << 22  # occurrences looked at together: bounds the memory, changes no result


def count_fillings(uses: Uses, placed: Occurrences, units: Units, template_of_unit: Ints, count: int) -> Ints:
    """How many different things stand beside a template's whole units in its requests, (count,): in what is said
    to the model, so system prompts and templates that the log gives are aside.

    Things are sequences of segments; a template whose requests hold nothing else has one, the empty sequence. Requests
    that only resend it as history are left out: their conversation grows, and the filling is the same.
    """
    segments = int(max(placed.segments.max(initial=-1), units.segment_rows.max(initial=-1))) + 1
    owned = units.whole & (template_of_unit[units.unit_rows] >= 0)
    fixed = np.unique(template_of_unit[units.unit_rows[owned]] * segments + units.segment_rows[owned])
    requests, templates = uses.requests[uses.counted], uses.templates[uses.counted]
    contents = np.zeros(len(requests), np.uint64)
    many = np.diff(placed.bounds)[requests]
    for some in portions(many, _ENTRIES):
        use = np.repeat(np.arange(some.start, some.stop), many[some])
        at = placed.bounds[requests[use]] + ranges(many[some])
        free = ~(placed.system | placed.given)[at]
        free[free] = find_sorted(templates[use[free]] * segments + placed.segments[at[free]], fixed) < 0
        bounds = np.searchsorted(use[free], np.arange(some.start, some.stop + 1))
        contents[some] = mixed_sequences(placed.segments[at[free]], bounds)
    # Contents by number: a hash of 64 bits is no int64.
    numbers = np.unique(contents, return_inverse=True)[1]
    return group_sizes(templates, numbers, count)
