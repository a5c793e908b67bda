"""Which request uses which template, and how the templates are numbered."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, distinct_pairs, group_sizes, group_starts, stable_order
from refrain.occurrences import Occurrences, Sequence


@dataclass(frozen=True)
class Uses:
    """Pairs (request, template), sorted by request, then template; `shares` of the words that are said are fixed,
    `system` says whether any of these stand in the system prompt, `given` whether any stand in the template that the
    log gives with the request, `counted` whether any is more than resent history."""

    requests: Ints
    templates: Ints
    shares: NDArray[np.float64]
    system: NDArray[np.bool_]
    given: NDArray[np.bool_]
    counted: NDArray[np.bool_]


def find_uses(
    sequence: Sequence,
    placed: Occurrences,
    segment_words: Ints,
    unit_words: Ints,
    groups: Ints,
    sizes: Ints,
    held_part: float,
) -> Uses:
    """The requests that hold at least `held_part` of a group's words, of which it needs `sizes` (groups,); groups stand
    for templates here."""
    count = len(sizes)
    request, unit = distinct_pairs(sequence.requests, sequence.units)
    # Rows and groups are fewer than 2^31 each, so that one number holds both.
    pairs = request * count + groups[unit]
    order = stable_order(pairs)
    starts = group_starts(pairs[order])
    keys = pairs[order[starts]]
    held = np.add.reduceat(unit_words[unit[order]], starts)
    requests, templates = np.divmod(keys, max(count, 1))
    said = segment_words[placed.segments] * ~placed.given
    total = np.bincount(placed.requests, said)
    key_of_entry = np.searchsorted(keys, sequence.requests * count + groups[sequence.units])
    enough = held >= held_part * sizes[templates]
    system, given, counted = (
        np.bincount(key_of_entry, flags[sequence.entries], len(keys))[enough] > 0
        for flags in (placed.system, placed.given, placed.counted)
    )
    requests = requests[enough]
    # Clusters count their median, and what the log gives is not said, so that the sum may exceed the request.
    shares = np.minimum(held[enough] / np.maximum(total[requests], 1), 1)
    return Uses(requests, templates[enough], shares, system, given, counted)


def frame_worth(fillings: Ints, words: Ints, sentence_words: int) -> Ints:
    """How good a frame each group is: the different things that it was put around, times its fixed words but one.

    These are the words that the frame spares whoever would write its requests down, where to name the frame takes a
    word (minimum description length: Vreeken et al., "Krimp: mining itemsets that compress", 2011; Lee et al.,
    "InfoShield", ICDE 2021). Words beyond `sentence_words` count nothing: a sentence tells one frame from another, and
    what is longer is as a rule a pasted text, which is no frame for being long.
    """
    return np.asarray(fillings * np.maximum(np.minimum(words, sentence_words) - 1, 0), np.int64)


def final_ids(uses: Uses, owner_of_request: Ints, worth: Ints, min_owners: int) -> Ints:
    """The template of each group, numbered by worth, then owners, then requests, most first, then smallest unit; -1
    where fewer than `min_owners` use it. So of two templates the one with the smaller number is the better frame."""
    count = len(worth)
    owners = group_sizes(uses.templates, owner_of_request[uses.requests], count)
    requests = np.bincount(uses.templates, minlength=count)
    order = np.lexsort((-requests, -owners, -worth))  # stable: groups are numbered by their smallest units
    kept = order[owners[order] >= min_owners]
    ids = np.full(count, -1)
    ids[kept] = np.arange(len(kept))
    return ids


def renumbered(uses: Uses, ids: Ints) -> Uses:
    """The uses with groups as templates; those of dropped groups are left out."""
    templates = ids[uses.templates]
    live = np.flatnonzero(templates >= 0)
    # Rows and templates are fewer than 2^31 each, so that one number holds both.
    order = live[stable_order(uses.requests[live] * len(ids) + templates[live])]
    flags = (uses.system[order], uses.given[order], uses.counted[order])
    return Uses(uses.requests[order], templates[order], uses.shares[order], *flags)
