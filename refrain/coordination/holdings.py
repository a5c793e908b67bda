"""Holdings: the values that owners share, by owner and by stratum, so that a test of a few users need not look at all.

A cloud's network has thousands of owners, and what a test asks of it is the same for every candidate: the share of each
stratum's owners who come from it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import Strata
from refrain.counting import Ints, group_starts, ranges
from refrain.population import Population, Trait

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Repeated:
    """Values that several owners of a row have, ordered by row, then value: each one's row, value, number of owners,
    and the sum of these owners' weights. An owner's weight is one over all its values."""

    row: Ints
    value: Ints
    owners: Ints
    weight: Floats


@dataclass(frozen=True)
class Holdings:
    """The values that two owners or more have, numbered from 0; no other value can be shared.

    `words` are those of each owner, one owner after the other, with `bounds` (owners + 1,): a value, and in the last
    `bits` the number of all values that this owner has, be they shared or not. Value v has the cells
    cells[v]:cells[v + 1], each of a `stratum` and the `share` of the stratum's owners who have it.
    """

    words: Ints
    bounds: Ints
    bits: int
    stratum: Ints
    share: Floats
    cells: Ints

    @classmethod
    def of(cls, trait: Trait, strata: Strata, sizes: Ints) -> Holdings:
        """Those of a trait; `sizes` (strata,) are the owners whom shares are of."""
        all_values = np.diff(trait.bounds)
        shared = np.bincount(trait.values, minlength=trait.count) > 1
        number = np.cumsum(shared) - 1
        kept = shared[trait.values] if len(trait.values) else np.zeros(0, bool)
        owner, values = np.repeat(np.arange(len(all_values)), all_values)[kept], number[trait.values[kept]]
        bounds = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[trait.bounds]
        keys = np.sort(values * strata.count + strata.of_owner[owner])
        first = group_starts(keys)
        value, stratum = np.divmod(keys[first], max(strata.count, 1))
        share = np.diff(np.append(first, len(keys))) / sizes[stratum]
        cells = np.searchsorted(value, np.arange(int(shared.sum()) + 1))
        bits = int(all_values.max(initial=0)).bit_length()
        return cls((values << bits) + all_values[owner], bounds, bits, stratum, share, cells)

    @classmethod
    def of_clients(cls, population: Population, strata: Strata) -> Holdings:
        """Those of the owners' clients; shares are of the owners whose client is known."""
        known = population.client >= 0
        bounds = np.concatenate([[0], np.cumsum(known, dtype=np.int64)])
        trait = Trait(population.client[known], bounds, len(population.clients), population.clients)
        return cls.of(trait, strata, np.bincount(strata.of_owner[known], minlength=strata.count))

    @property
    def count(self) -> int:
        """How many values two or more owners have."""
        return len(self.cells) - 1

    def repeated(self, row: Ints, owners: Ints) -> Repeated:
        """The values that repeat in rows of owners, given aligned pairs of a row and an owner, none of them twice."""
        start = self.bounds[owners]
        many = self.bounds[owners + 1] - start
        ends = np.cumsum(many)
        at = np.arange(ends[-1] if len(ends) else 0) + np.repeat(start - ends + many, many)
        # The owner's number of values goes along in the same word: sorted once, nothing is looked up.
        keys = self.words[at] + np.repeat((row * self.count) << self.bits, many)
        keys.sort()
        cell = keys >> self.bits
        same = cell[1:] == cell[:-1]
        kept = np.flatnonzero(np.append(same, False) | np.concatenate([[False], same])) if len(cell) else cell
        cell, all_values = cell[kept], keys[kept] & ((1 << self.bits) - 1)
        first = group_starts(cell)
        of_cell = np.diff(np.append(first, len(cell)))
        weight = np.bincount(np.repeat(np.arange(len(first)), of_cell), 1 / all_values, len(first))
        number, value = np.divmod(cell[first], max(self.count, 1))
        return Repeated(number, value, of_cell, np.asarray(weight, float))

    def rates(self, values: Ints, group: Ints, parts: Floats) -> Floats:
        """(n,) the chance that an owner has a value (n,) who is drawn from strata as likely as `parts` (groups, strata)
        of the value's `group` (n,) says."""
        many = self.cells[values + 1] - self.cells[values]
        at = np.repeat(self.cells[values], many) + ranges(many)
        place = np.repeat(np.arange(len(values)), many)
        return np.asarray(np.bincount(place, self.share[at] * parts[group[place], self.stratum[at]], len(values)))
