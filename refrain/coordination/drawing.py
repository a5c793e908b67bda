"""Control sets drawn for many candidates at once."""

from __future__ import annotations

from itertools import count

import numpy as np

from refrain.coordination.controls import Strata
from refrain.coordination.lots import below, order_of, words
from refrain.coordination.results import Candidates
from refrain.counting import Ints

_PURPOSES = 1 << 16  # more than there are purposes: beyond, each stratum has its own


def draw(candidates: Candidates, strata: Strata, draws: int, seed: int, purpose: int) -> Ints:
    """(draws, users) control sets: in each row, for every user an owner of the same stratum, none twice in a candidate.

    Inside a stratum each set of owners is equally likely, the users themselves among them. `purpose` tells draws of one
    candidate for different tests apart.
    """
    owners, group = candidates.owners, candidates.group
    of = strata.of_owner[owners]
    sizes, (listed, starts) = strata.sizes[of], strata.listed
    many = strata.counted(owners, group, len(candidates))[group, of]
    keys, width = candidates.keys[group], candidates.sizes[group]
    base = np.arange(draws)[:, None] * width + candidates.place
    out = np.empty((draws, len(owners)), np.int64)
    few = 2 * many <= sizes
    if few.all():
        out = below(words(keys, seed, purpose, base), sizes)
    else:
        out[:, few] = below(words(keys[few], seed, purpose, base[:, few]), sizes[few])
    cell = group * strata.count + of
    for crowded in np.unique(cell[~few]):
        users = np.flatnonzero(cell == crowded)
        first = users[0]
        # Each owner of the stratum draws a lot, and the lowest are the set.
        counters = np.arange(draws)[:, None] * sizes[first] + np.arange(sizes[first])
        lots = words(keys[first], seed, purpose + _PURPOSES * (1 + int(of[first])), counters)
        out[:, users] = order_of(lots)[:, : len(users)]
    # Redrawing what repeats an earlier place is the same as drawing one after the other.
    chosen = np.flatnonzero(few & (many > 1))
    again = np.ones(draws, bool)
    # A cell's draws are compared among themselves alone, so cells are numbered as they come.
    _, number_of = np.unique(cell[chosen], return_inverse=True)
    step, bits = np.int64(strata.sizes.max(initial=1)), max(len(chosen) - 1, 1).bit_length()
    first_value = number_of * step
    for number in count(1):
        rows = np.flatnonzero(again)
        if not len(rows) or not len(chosen):
            break
        # The place stands last: of equal draws, all but the first are drawn again.
        values = out[rows[:, None], chosen] if len(rows) < draws else np.take(out, chosen, axis=1)
        values += first_value
        values <<= bits
        values += np.arange(len(chosen))
        values.sort(axis=1)
        drawn = values >> bits
        row, at = np.nonzero(drawn[:, 1:] == drawn[:, :-1])
        again[:] = False
        again[rows[row]] = True
        users = chosen[values[row, at + 1] & ((1 << bits) - 1)]
        counters = base[rows[row], users] + number * draws * width[users]
        out[rows[row], users] = below(words(keys[users], seed, purpose, counters), sizes[users])
    return np.asarray(listed[starts[of] + out])
