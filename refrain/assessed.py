"""Groups and assessed candidates as workers are sent them and send them back: in a few arrays, as one array takes as
long to send as thousands of numbers in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refrain.assessment import Assessment
from refrain.coordination.results import Candidate, Candidates
from refrain.counting import Ints
from refrain.population import Population

Assessed = tuple[Candidate, Assessment]


@dataclass(frozen=True)
class Runs(Sequence[Ints]):
    """Several arrays, the runs bounds[i]:bounds[i + 1] of `values`."""

    values: Ints
    bounds: Ints

    @classmethod
    def of(cls, arrays: Sequence[Ints]) -> Runs:
        """Those of a list."""
        ends = np.cumsum([0, *map(len, arrays)], dtype=np.int64)
        return cls(np.concatenate([np.zeros(0, np.int64), *arrays]), ends)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    # Not by typing.overload, which holds on to the module until the process ends and so to all that the module knows.
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, int):
            return self.values[self.bounds[place] : self.bounds[place + 1]]
        start, stop, _ = place.indices(len(self))
        bounds = self.bounds[start : stop + 1]
        return Runs(self.values[bounds[0] : bounds[-1]], bounds - bounds[0])

    def sums(self, numbers: Ints) -> Ints:
        """(runs,) the sum over each run of numbers aligned with the values."""
        return np.diff(np.concatenate([[0], np.cumsum(numbers, dtype=np.int64)])[self.bounds])


@dataclass(frozen=True)
class AssessedSome:
    """Of `groups` groups, the assessments of the candidates at the places `left`, and these candidates; None stands for
    the others. Requests (uses,) stand candidate by candidate, ascending."""

    groups: int
    left: Ints
    requests: Ints
    request_owner: Ints
    request_bounds: Ints  # (candidates + 1,)
    owners: Ints
    counts: Ints
    bounds: Ints  # (candidates + 1,) of the owners
    verdicts: list[Assessment]

    @classmethod
    def of(
        cls, own: Candidates, verdicts: list[Assessment], left: Ints, groups: int, population: Population
    ) -> AssessedSome:
        """Those of candidates, aligned with their assessments."""
        total = max(len(population.request_owner), 1)
        keys = np.sort(np.repeat(np.arange(len(own)), np.diff(own.request_bounds)) * total + own.requests)
        requests = keys % total
        return cls(
            groups, left, requests, population.request_owner[requests], own.request_bounds, own.owners, own.counts,
            own.bounds, verdicts,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Assessed | None]:
        out: list[Assessed | None] = [None] * self.groups
        uses, users = self.request_bounds.tolist(), self.bounds.tolist()
        for at, (place, verdict) in enumerate(zip(self.left.tolist(), self.verdicts, strict=True)):
            use, user = slice(uses[at], uses[at + 1]), slice(users[at], users[at + 1])
            own = Candidate(self.requests[use], self.request_owner[use], self.owners[user], self.counts[user])
            out[place] = own, verdict
        return iter(out)
