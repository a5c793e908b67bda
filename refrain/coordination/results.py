"""What a test says, and what a candidate is to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.config import FAMILIES
from refrain.coordination.controls import Ranks, Strata, rank
from refrain.coordination.models import moved_shares
from refrain.counting import Ints
from refrain.population import Population

Floats = NDArray[np.float64]
IDENTITY, TIME, USE = FAMILIES


@dataclass(frozen=True)
class Candidate:
    """Requests that may be one campaign's: request rows ascending, the owner of each, and the owners, ascending.

    `counts` is the number of requests of each of `owners`.
    """

    requests: Ints
    request_owner: Ints
    owners: Ints
    counts: Ints


def candidate(requests: Ints, population: Population) -> Candidate:
    """The candidate of these request rows."""
    requests = np.unique(requests)
    request_owner = population.request_owner[requests]
    owners, counts = np.unique(request_owner, return_counts=True)
    return Candidate(requests, request_owner, owners, counts)


def some_users(candidate: Candidate, owners: Ints) -> Candidate:
    """The candidate with some of its owners (ascending) and their requests only."""
    kept = np.isin(candidate.request_owner, owners)
    held = np.isin(candidate.owners, owners)
    return Candidate(
        candidate.requests[kept], candidate.request_owner[kept], candidate.owners[held], candidate.counts[held]
    )


@dataclass(frozen=True)
class Clients:
    """The owners whose client is known: the code and the stratum of each, and how many each stratum has."""

    codes: Ints
    strata: Ints
    sizes: Ints

    @classmethod
    def of(cls, population: Population, strata: Strata) -> Clients:
        """Those of a population."""
        known = np.flatnonzero(population.client >= 0)
        of_known = strata.of_owner[known]
        return cls(population.client[known], of_known, np.bincount(of_known, minlength=strata.count))


@dataclass(frozen=True)
class Setting:
    """What every test is given beside the candidate."""

    population: Population
    strata: Strata
    draws: int
    seed: int
    age: Ranks  # youngest highest
    addresses: Ranks  # of networks for the activity
    clients: Clients
    moved: tuple[tuple[Floats, Ranks], ...] = ()  # of each new model, owners' shares of traffic, and their ranks
    told: bool = True  # whether results say what matched owners lead to expect, which takes a look at all of them

    def rng(self, candidate: Candidate, salt: int) -> np.random.Generator:
        """A generator that depends on the candidate alone, not on the order in which candidates are tested."""
        first = int(candidate.requests[0]) if len(candidate.requests) else 0
        return np.random.default_rng([self.seed, salt, first, len(candidate.requests)])


def setting(population: Population, strata: Strata, draws: int, seed: int) -> Setting:
    """The setting with the ranks that tests share."""
    return Setting(
        population, strata, draws, seed, rank(-population.age_days, strata),
        rank(_wandering(population, strata), strata),
        Clients.of(population, strata),
        tuple((shares, rank(shares, strata)) for shares in moved_shares(population)),
    )  # fmt: skip


def _wandering(population: Population, strata: Strata) -> Floats:
    """(owners,) log networks beyond the line that they follow with log activity inside the stratum, NaN where unknown.

    Nobody's networks grow as fast as the requests, and a stratum of the busiest spans a factor of ten and more, so by
    networks for each request who sends less than the others would seem to wander.
    """
    many = np.diff(population.network.bounds)
    out = np.full(population.owners, np.nan)
    for members in strata.members:
        known = members[many[members] > 0]
        if not len(known):
            continue
        y, x = np.log(many[known]), np.log(population.activity[known])
        x = x - x.mean()
        squares = float(x @ x)
        out[known] = y - y.mean() - (float(x @ y) / squares * x if squares > 0 else 0)
    return out


@dataclass(frozen=True)
class TestResult:
    """One test: what was observed, what controls lead to expect, how likely that is, and a sentence.

    `p_value` is None where the test is off, and `off` says why. `observed` and `expected` are in the unit that the
    sentence names; `expected` may be nan in a setting that is not `told`.
    """

    __test__ = False  # not a test class for pytest

    family: str
    name: str
    observed: float
    expected: float
    p_value: float | None
    text: str
    off: str | None = None

    @property
    def key(self) -> str:
        """Family and name, as columns are named."""
        return f"{self.family}_{self.name}"


def switched_off(family: str, name: str, reason: str) -> TestResult:
    """A test that cannot be made, and why."""
    return TestResult(family, name, float("nan"), float("nan"), None, "not tested: " + reason, reason)
