"""Which units belong to one template: those that stand near each other in requests and mostly occur together.

A line that unrelated templates share ("Question:") occurs mostly without any single one of them, so it glues none
together: it stays a template of its own, of which nothing follows. What an owner sends again, word for word, counts
once: nobody can part what belongs together by repeating half of it. So does history that a conversation sends again:
a long one does not glue its wrapper to its task.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refrain.cores import core_count
from refrain.counting import Ints, distinct_pairs, group_sizes, group_starts
from refrain.occurrences import Occurrences, Sequence, first_contents


def group_units(sequence: Sequence, placed: Occurrences, count: int, near: int, together: float) -> Ints:
    """A group for each of `count` units, numbered from 0 in the order of their smallest units.

    Two units meet in a request where at most `near` units lie from one to the other. They are linked where the requests
    in which they meet are more than `together` of those that hold either (Jaccard index, in which a request that holds
    both apart counts as two); linked units are one group. From one half on, no unit is linked to two that never meet.
    """
    new = first_contents(placed)[sequence.requests] & placed.counted[sequence.entries]
    requests, units = sequence.requests[new], sequence.units[new]
    frequency = group_sizes(units, requests, count)
    with ThreadPoolExecutor(core_count()) as pool:
        found = list(pool.map(lambda step: _neighbours(requests, units, step, frequency, together), range(1, near + 1)))
    keys, _ = distinct_pairs(*(np.concatenate(part) for part in zip(*found, strict=True)))
    first = group_starts(keys)
    both = np.diff(np.append(first, len(keys)))
    a, b = np.divmod(keys[first], max(count, 1))
    strong = both > together * (frequency[a] + frequency[b] - both)
    links = coo_array((np.ones(strong.sum()), (a[strong], b[strong])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _neighbours(requests: Ints, units: Ints, step: int, frequency: Ints, together: float) -> tuple[Ints, Ints]:
    """Each unordered pair of units that stand `step` apart, as one number, and the request; once each. Pairs are left
    out of which one is so much rarer that even all its requests would not link the two."""
    a, b = units[:-step], units[step:]
    same = np.flatnonzero((requests[step:] == requests[:-step]) & (a != b))
    a, b = a[same], b[same]
    rare, often = np.minimum(frequency[a], frequency[b]), np.maximum(frequency[a], frequency[b])
    able = rare > together * often
    a, b = a[able], b[able]
    return distinct_pairs(np.minimum(a, b) * len(frequency) + np.maximum(a, b), requests[step:][same[able]])
