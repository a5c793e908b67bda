"""What a test says, and what candidates are to it: many side by side, as one alone is mostly overhead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refrain.config import FAMILIES
from refrain.coordination.controls import Ranks, Strata, rank
from refrain.coordination.holdings import Holdings
from refrain.coordination.models import moved_shares
from refrain.counting import Ints, mix, ranges
from refrain.population import Population, Trait

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
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


@dataclass(frozen=True)
class Candidates:
    """Several candidates, one after the other, each with at least one user.

    Users `owners` (users,) of candidate i are the run bounds[i]:bounds[i + 1], ascending, with `counts` requests each.
    Requests (uses,) stand user by user, the rows of each ascending, so in time order. `keys` (candidates,) seed what is
    drawn by lot: they depend on the candidate alone, so no other candidate beside it changes a bit.
    """

    requests: Ints
    owners: Ints
    counts: Ints
    bounds: Ints
    keys: Words

    @classmethod
    def of(cls, candidates: Sequence[Candidate]) -> Candidates:
        """Those of a list."""
        many = [len(c.owners) for c in candidates]
        uses = [len(c.requests) for c in candidates]
        requests, request_owner, owners, counts = (
            np.concatenate([np.zeros(0, np.int64), *part])
            for part in (
                (c.requests for c in candidates),
                (c.request_owner for c in candidates),
                (c.owners for c in candidates),
                (c.counts for c in candidates),
            )
        )
        order = np.lexsort((request_owner, np.repeat(np.arange(len(candidates)), uses)))
        return cls.made(requests[order], owners, counts, np.concatenate([[0], np.cumsum(many, dtype=np.int64)]))

    @classmethod
    def made(cls, requests: Ints, owners: Ints, counts: Ints, bounds: Ints) -> Candidates:
        """Those of these arrays, with their keys: of the first request and how many there are."""
        ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])[bounds]
        first = np.minimum.reduceat(requests, ends[:-1]) if len(requests) else np.zeros(0, np.int64)
        keys = mix(mix(first.astype(np.uint64)) + np.diff(ends).astype(np.uint64))
        return cls(requests, owners, counts, bounds, keys)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @cached_property
    def sizes(self) -> Ints:
        """(candidates,) users of each."""
        return np.diff(self.bounds)

    @cached_property
    def group(self) -> Ints:
        """(users,) the candidate of each user."""
        return np.repeat(np.arange(len(self)), self.sizes)

    @cached_property
    def place(self) -> Ints:
        """(users,) the place of each user among those of its candidate."""
        return ranges(self.sizes)

    @cached_property
    def starts(self) -> Ints:
        """(users + 1,) the runs of each user's requests."""
        return np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])

    @cached_property
    def user(self) -> Ints:
        """(uses,) the user of each request, by its place in `owners`."""
        return np.repeat(np.arange(len(self.owners)), self.counts)

    @cached_property
    def request_bounds(self) -> Ints:
        """(candidates + 1,) the runs of each candidate's requests."""
        return self.starts[self.bounds]

    def users_where(self, kept: NDArray[np.bool_]) -> Candidates:
        """The candidates with some of their users (users,) and these users' requests only, at least one of each."""
        many = np.add.reduceat(kept.astype(np.int64), self.bounds[:-1]) if len(self) else np.zeros(0, np.int64)
        bounds = np.concatenate([[0], np.cumsum(many)])
        return Candidates.made(self.requests[kept[self.user]], self.owners[kept], self.counts[kept], bounds)

    def only(self, places: Ints) -> Candidates:
        """Some of the candidates, in this order."""
        users = np.repeat(self.bounds[places], self.sizes[places]) + ranges(self.sizes[places])
        many = self.counts[users]
        uses = np.repeat(self.starts[users], many) + ranges(many)
        bounds = np.concatenate([[0], np.cumsum(self.sizes[places])])
        return Candidates(self.requests[uses], self.owners[users], many, bounds, self.keys[places])

    def one(self, place: int) -> Candidate:
        """One of them."""
        users = slice(int(self.bounds[place]), int(self.bounds[place + 1]))
        uses = slice(int(self.request_bounds[place]), int(self.request_bounds[place + 1]))
        requests, user = self.requests[uses], self.user[uses]
        order = np.argsort(requests, kind="stable")
        return Candidate(requests[order], self.owners[user[order]], self.owners[users], self.counts[users])

    def sums(self, values: NDArray[np.generic]) -> Floats:
        """(candidates,) the sum over the users of each."""
        return np.asarray(np.bincount(self.group, values.astype(float), len(self)))


@dataclass(frozen=True)
class Setting:
    """What every test is given beside the candidates."""

    population: Population
    strata: Strata
    draws: int
    seed: int
    age: Ranks  # youngest highest
    addresses: Ranks  # of networks for the activity
    systems: Ranks  # of autonomous systems for the activity
    by_systems: bool  # whether systems are counted instead of networks
    clients: Holdings
    cards: Holdings
    networks: Holdings
    moved: tuple[tuple[Floats, Ranks], ...]  # of each new model, owners' shares of traffic, and their ranks
    bias: float  # by which factor users' odds may differ from those of matched owners for reasons that nobody sees


def setting(population: Population, strata: Strata, draws: int, seed: int, bias: float, *, by_systems: bool) -> Setting:
    """The setting with the ranks that tests share."""
    return Setting(
        population, strata, draws, seed, rank(-population.age_days, strata, bias),
        rank(_wandering(population.network, population.activity, strata), strata, bias),
        rank(_wandering(population.asn, population.activity, strata, level=True), strata, bias),
        by_systems,
        Holdings.of_clients(population, strata),
        Holdings.of(population.card, strata, strata.sizes),
        Holdings.of(population.network, strata, strata.sizes),
        tuple((shares, rank(shares, strata, bias)) for shares in moved_shares(population)),
        bias,
    )  # fmt: skip


def _wandering(places: Trait, activity: Ints, strata: Strata, *, level: bool = False) -> Floats:
    """(owners,) log places (networks, systems) beyond the line that they follow with log activity inside the stratum,
    NaN where unknown.

    Nobody's places grow as fast as the requests, and a stratum of the busiest spans a factor of ten and more, so by
    places for each request who sends less than the others would seem to wander. With `level` all who have one place
    share the lowest value: most owners have one system, and the line through them alone would order these by how little
    they send (docs/log.md).
    """
    many = np.diff(places.bounds)
    out = np.full(len(activity), np.nan)
    for members in strata.members:
        known = members[many[members] > 0]
        if not len(known):
            continue
        y, x = np.log(many[known]), np.log(activity[known])
        x = x - x.mean()
        squares = float(x @ x)
        out[known] = y - y.mean() - (float(x @ y) / squares * x if squares > 0 else 0)
        if level:
            out[known[many[known] == 1]] = out[known].min()
    return out


@dataclass(frozen=True)
class TestResult:
    """One test of one candidate: what was observed, what controls lead to expect, how likely that is, and a sentence.

    `p_value` is None where the test is off, and `off` says why. `observed` and `expected` are in the unit that the
    sentence names.
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


@dataclass(frozen=True)
class TestResults:
    """One test of many candidates: the p-value of each, NaN where the test is off, and, on demand, what it says of one:
    that takes a look at all matched owners, and few candidates are ever read of."""

    __test__ = False

    family: str
    name: str
    p_values: Floats
    read: Callable[[int], TestResult]

    @property
    def key(self) -> str:
        """Family and name, as columns are named."""
        return f"{self.family}_{self.name}"

    def one(self, place: int) -> TestResult:
        """What it says of one candidate."""
        return self.read(place)

    def only(self, places: Ints) -> TestResults:
        """That of some of the candidates, in this order."""
        return TestResults(self.family, self.name, self.p_values[places], lambda place: self.read(int(places[place])))


def switched_off(family: str, name: str, reason: str) -> TestResult:
    """A test that cannot be made, and why."""
    return TestResult(family, name, float("nan"), float("nan"), None, "not tested: " + reason, reason)


def all_off(family: str, name: str, reason: str, many: int) -> TestResults:
    """A test that cannot be made of any of so many candidates."""
    return TestResults(family, name, np.full(many, np.nan), lambda place: switched_off(family, name, reason))
