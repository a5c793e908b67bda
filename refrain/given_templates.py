"""Templates that the log gives outright: what of their text is a template, and how long it is.

A given template stands in a request as segments of a part of its own (refrain.turns.TEMPLATE), so that units, groups
and uses find it as they find what was said. A slot is written in it as a skeleton writes one; a line that is nothing
else is kept as a place, and is no unit.
"""

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refrain.counting import Ints
from refrain.occurrences import Occurrences, Sequence
from refrain.segments import says_something
from refrain.skeletons import SLOT
from refrain.units import Units

Flags = NDArray[np.bool_]
GIVEN = "given"
"""The kind of a template that the log gives with most of its requests."""


def telling_entries(placed: Occurrences, texts: pa.ChunkedArray) -> Flags:
    """Of each occurrence whether its text may be a unit: not where it is nothing but slots of a given template.

    `texts` are the normalised segments.
    """
    telling = np.ones(len(placed.segments), bool)
    rows = np.unique(placed.segments[placed.given])
    blank = np.array(
        [SLOT in text and not says_something(text.replace(SLOT, "")) for text in _texts(texts, rows)], bool
    )
    telling[placed.given] = ~np.isin(placed.segments[placed.given], rows[blank])
    return telling


def given_groups(sequence: Sequence, placed: Occurrences, groups: Ints, count: int) -> Flags:
    """Of each of `count` groups of units whether more than half of the requests that hold some of it have some from the
    log, (count,)."""
    if not placed.given.any():
        return np.zeros(count, bool)
    keys, of_entry = np.unique(sequence.requests * count + groups[sequence.units], return_inverse=True)
    from_log = np.bincount(of_entry, placed.given[sequence.entries], len(keys)) > 0
    return 2 * np.bincount(keys % count, from_log, count) > np.bincount(keys % count, minlength=count)


def group_words(units: Units, sequence: Sequence, placed: Occurrences, groups: Ints, given: Flags) -> Units:
    """The units with the words that are their groups': of a group that is `given` those of what the log gives, without
    its slots.

    What its renderings share in the prompts are units beside it, and say the same words again.
    """
    inside = np.bincount(sequence.units, placed.given[sequence.entries], len(groups)) > 0
    outside = given[groups] & ~inside
    slots = np.zeros(len(groups), np.int64)
    for unit in np.flatnonzero(given[groups] & inside).tolist():
        slots[unit] = units.texts[unit].count(SLOT)
    words, fixed = (np.where(outside, 0, np.maximum(many - slots, 0)) for many in (units.words, units.fixed))
    return replace(units, words=words, fixed=fixed)


def needed_words(units: Units, own: Units, sequence: Sequence, placed: Occurrences, groups: Ints, given: Flags) -> Ints:
    """The words of each group of which a use holds a part, (groups,): its `own`, but of one that is `given` no more
    than are ever said, so that who sends its renderings without the log giving it uses it as if it were given nowhere.
    """
    sizes = np.bincount(groups, own.words, len(given)).astype(np.int64)
    said = np.bincount(sequence.units, ~placed.given[sequence.entries], len(groups)) > 0
    spoken = np.bincount(groups, units.words * said, len(given)).astype(np.int64)
    return np.where(given & (spoken > 0), np.minimum(sizes, spoken), sizes)


def read_entries(uses_given: Flags, use: Ints, entry_given: Flags) -> Flags:
    """Of each entry whether its use reads in it: in what the log gives where that has the template, else in what was
    said. `use` is each entry's place among `uses_given`."""
    return np.asarray(uses_given[use] == entry_given)


def _texts(texts: pa.ChunkedArray, rows: Ints) -> list[str]:
    found: list[str] = texts.take(pa.array(rows)).to_pylist()
    return found
