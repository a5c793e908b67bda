"""Requests of control sets, as those of the users they stand for: when matched owners send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from refrain.coordination.results import Candidates
from refrain.counting import Ints
from refrain.population import Population

AT_ONCE = 1 << 17  # requests, times draws, looked at together: tens of MiB
_HELD = 1 << 19  # requests, times draws, whose places are kept for the next test: some MiB


@dataclass(frozen=True)
class DrawnRequests:
    """Requests of control sets, `sets` (draws, users): of each control those that correspond to the requests of the
    user in its place: as far apart in its traffic and as early or late in it, closer together where it sent fewer. So a
    burst stays a burst, and what is spread is spread."""

    candidates: Candidates
    population: Population
    sets: Ints
    _held: list[Ints] = field(default_factory=list, repr=False, compare=False)  # what `some` gives, where it is little

    def some(self) -> Iterator[Ints]:
        """(some draws, uses) where in `by_owner` the requests are, stretch by stretch of the draws."""
        if not self._held and len(self.sets) * len(self.candidates.requests) <= _HELD:
            self._held.extend(self._computed())
        yield from self._held or self._computed()

    def _computed(self) -> Iterator[Ints]:
        population, own = self.population, self.candidates
        position = population.position[own.requests]
        first = position[own.starts[:-1]]
        span = position[own.starts[1:] - 1] - first + 1
        offset = position - first[own.user]
        early = first / np.maximum(population.activity[own.owners] - span, 1)
        step = max(1, AT_ONCE // max(len(own.requests), 1))
        for begin in range(0, len(self.sets), step):
            sets = self.sets[begin : begin + step]
            activity = np.take(population.activity, sets)
            start = np.rint(early * np.maximum(activity - span, 0)).astype(np.int64)
            start += np.take(population.bounds, sets)
            place = np.take(np.minimum(activity / span, 1), own.user, axis=1)
            place *= offset
            found = place.astype(np.int64)
            found += np.take(start, own.user, axis=1)
            yield found

    def only(self, places: Ints) -> DrawnRequests:
        """Those of some of the candidates, in ascending order."""
        own = self.candidates
        chosen = np.isin(own.group, places)
        uses = np.flatnonzero(chosen[own.user])
        held = [np.take(found, uses, axis=1) for found in self._held]
        return DrawnRequests(own.only(places), self.population, self.sets[:, chosen], held)
