"""All tests of candidates, by family, the benign explanations, and what is left when they are taken off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refrain.benign import BenignRule, Hypotheses, Hypothesis, benign_hypotheses
from refrain.config import ScoreConfig
from refrain.coordination import adoption, identity, pivot, rhythm, succession, synchrony, use
from refrain.coordination.combine import cauchy_rows, partial_conjunction_rows
from refrain.coordination.controls import Strata
from refrain.coordination.drawing import draw
from refrain.coordination.drawn_requests import DrawnRequests
from refrain.coordination.lots import words
from refrain.coordination.results import Candidates, Setting, TestResult, TestResults
from refrain.coordination.rhythm import RhythmRule, Rhythms
from refrain.coordination.succession import Handovers, SuccessionRule
from refrain.coordination.synchrony import Minutes
from refrain.coordination.use import UseReference
from refrain.members import MemberRule
from refrain.population import Population
from refrain.regulars import RegularRule, regular_users

Floats = NDArray[np.float64]
_CONTROLS, _LOTS = 0, 99  # purposes of lots: controls, and ties between users


@dataclass(frozen=True)
class Instruments:
    """What every assessment of a run shares beside the setting."""

    reference: UseReference
    rhythms: Rhythms
    rhythm: RhythmRule
    succession: Handovers
    minutes: Minutes
    shift_hours: int
    benign: BenignRule
    member: MemberRule
    regular: RegularRule  # which users are no bystanders
    min_owners: int  # that half of the users must be to be looked at apart
    looked_at: tuple[str, ...]  # families
    families: int  # that must speak


def make_instruments(
    population: Population, strata: Strata, reference: UseReference, config: ScoreConfig
) -> Instruments:
    """The instruments of a configuration; `reference` is the use of all recurrent templates of the log."""
    member = MemberRule(
        (config.prior_bystanders, config.prior_regulars, config.prior_members),
        config.member_shrink_users,
        config.member_max_weight,
        config.member_rounds,
        config.member_start_parts,
    )
    handovers = SuccessionRule(
        config.succession_hours, config.succession_step_hours, config.rhythm_min_requests, config.rhythm_min_owners
    )
    return Instruments(
        reference,
        Rhythms(population, strata, config.rhythm_controls, config.seed),
        RhythmRule(config.rhythm_min_requests, config.rhythm_max_requests, config.rhythm_min_owners),
        Handovers(population, strata, handovers),
        synchrony.minutes_of(population, config.minute_bins),
        config.shift_hours,
        BenignRule(
            config.product_client_share,
            config.place_share,
            config.place_concentration,
            config.customer_card_share,
            config.viral_once_share,
            config.run_owners_share,
            config.run_owners,
            config.service_share,
            config.gateway_factor,
            config.silent_p,
            config.refuting_p,
        ),
        member,
        RegularRule(member, config.member_posterior, config.min_members),
        config.min_owners,
        config.families,
        config.min_families,
    )


class Look(NamedTuple):
    """How a candidate was looked at: in which round, and whether closely. Who looks so again finds the same."""

    round: int
    closely: bool


@dataclass(frozen=True)
class Assessment:
    """A candidate's tests and verdicts.

    `families` are p-values by family of all tests, `unexplained` the same without the tests that a benign hypothesis
    explains. `p_value` is the partial conjunction of the unexplained, `filter` the same for one family less, `raw` the
    partial conjunction of all. `tests` are p-values by key, NaN where a test is off; these and `hypotheses` are empty
    of a candidate that nobody comes to read of. `results` say what tests found, and are read last: that takes a look at
    all matched owners.
    """

    tests: dict[str, float]
    hypotheses: list[Hypothesis]
    families: dict[str, float]
    unexplained: dict[str, float]
    raw: float
    p_value: float
    filter: float
    results: dict[str, TestResult] = field(default_factory=dict)
    look: Look | None = None


@dataclass(frozen=True)
class Known:
    """What a look at candidates finds that has nothing to do with draws: the users who are no bystanders, the tests of
    these without draws, and those of use."""

    core: Candidates
    of_being: list[TestResults]
    of_use: list[TestResults]

    def only(self, places: NDArray[np.int64]) -> Known:
        """That of some of the candidates, in this order."""
        of_being, of_use = ([test.only(places) for test in tests] for tests in (self.of_being, self.of_use))
        return Known(self.core.only(places), of_being, of_use)


@dataclass(frozen=True)
class Assessments:
    """Those of many candidates: (candidates,) of each p-value, (candidates, families) of those of families, NaN where
    all its tests are off."""

    results: list[TestResults]
    hypotheses: Hypotheses
    looked_at: tuple[str, ...]
    families: Floats
    unexplained: Floats
    raw: Floats
    p_values: Floats
    filters: Floats

    def one(self, place: int) -> Assessment:
        """Those of one candidate, with all that there is to read."""
        return replace(self.noted(place), results=self.read(place))

    def read(self, place: int) -> dict[str, TestResult]:
        """What each test found of one candidate, by its key."""
        return {result.key: result.one(place) for result in self.results}

    def noted(self, place: int) -> Assessment:
        """Those of one candidate with its tests and hypotheses, before results are read."""
        tests = {result.key: float(result.p_values[place]) for result in self.results}
        return replace(self.bare(place), tests=tests, hypotheses=self.hypotheses.read(place))

    def bare(self, place: int) -> Assessment:
        """Those of one candidate, with nothing to read."""
        families, unexplained = (self._by_family(values[place]) for values in self._by_families)
        raw, p_value, weaker = (values[place] for values in self._verdicts)
        return Assessment({}, [], families, unexplained, raw, p_value, weaker)

    @cached_property
    def _by_families(self) -> tuple[list[list[float]], list[list[float]]]:
        return self.families.tolist(), self.unexplained.tolist()

    @cached_property
    def _verdicts(self) -> tuple[list[float], list[float], list[float]]:
        return self.raw.tolist(), self.p_values.tolist(), self.filters.tolist()

    def _by_family(self, values: list[float]) -> dict[str, float]:
        return {f: p for f, p in zip(self.looked_at, values, strict=True) if not math.isnan(p)}


def assess(
    candidates: Candidates,
    setting: Setting,
    instruments: Instruments,
    *,
    system: NDArray[np.bool_],
    closely: bool = True,
    known: Known | None = None,
) -> Assessments:
    """The assessments of candidates; `system` (candidates,) says whether the template stands in the system prompt.

    Without `closely`, the half who send it most is not looked at apart: a first look. What is `known` of the same
    candidates `beforehand`, with these instruments and any number of draws, is not looked for again.
    """
    if known is None:
        known = beforehand(candidates, setting, instruments)
    core = known.core
    results = _of_being(core, setting, instruments, known.of_being)
    halved = np.flatnonzero(core.sizes // 2 >= instruments.min_owners)
    if closely and len(halved):
        heavy = heaviest_halves(core.only(halved), setting)
        halves = _of_being(heavy, setting, instruments, _without_draws(heavy, setting, instruments))
        results = [_either(users, half, halved) for users, half in zip(results, halves, strict=True)]
    results += known.of_use
    by_key = {r.key: r.p_values for r in results}
    hypotheses = benign_hypotheses(core, setting, by_key, instruments.minutes, system, instruments.benign)
    families = _families(results, by_key, instruments.looked_at)
    left = {key: np.where(hypotheses.explained(key), np.nan, p) for key, p in by_key.items()}
    unexplained = _families(results, left, instruments.looked_at)
    needed = instruments.families
    # A family that is explained away stays in the count, as one that says nothing.
    said = np.where(np.isnan(unexplained) & ~np.isnan(families), 1.0, unexplained)
    p = partial_conjunction_rows(said, needed)
    many = (~np.isnan(said)).sum(axis=1)
    weaker = p
    if needed > 1:
        clearest = np.sort(said, axis=1)[:, needed - 2]
        weaker = np.where(many >= needed, (many - needed + 1) * clearest, p)
    raw = partial_conjunction_rows(families, needed)
    weaker = np.minimum(p, weaker)
    return Assessments(results, hypotheses, instruments.looked_at, families, unexplained, raw, p, weaker)


def beforehand(candidates: Candidates, setting: Setting, instruments: Instruments) -> Known:
    """What has nothing to do with draws."""
    core = regular_users(candidates, setting, instruments.reference, instruments.regular)
    of_use = [test(candidates, setting, instruments.reference) for test in use.TESTS]
    return Known(core, _without_draws(core, setting, instruments), of_use)


def heaviest_halves(candidates: Candidates, setting: Setting) -> Candidates:
    """Of each candidate the half of the users, rounded down, who send it most; ties by lot.

    A public template that a pool uses has honest regulars too, and the pool works harder. As with `regular_users`, only
    use is looked at.
    """
    lots = words(candidates.keys[candidates.group], setting.seed, _LOTS, candidates.place)
    order = np.lexsort((lots, -candidates.counts, candidates.group))
    heavy = np.empty(len(order), bool)
    heavy[order] = candidates.place < (candidates.sizes // 2)[candidates.group]
    return candidates.users_where(heavy)


def _without_draws(core: Candidates, setting: Setting, instruments: Instruments) -> list[TestResults]:
    """The tests of who the users are and when they send that need no control sets."""
    return [
        *(test(core, setting) for test in identity.TESTS),
        rhythm.round_the_clock(core, setting, instruments.rhythms, instruments.rhythm),
        adoption.adopted_together(core, setting),
        pivot.moved_together(core, setting),
        succession.pools_replaced(core, setting, instruments.succession),
    ]


def _of_being(
    core: Candidates, setting: Setting, instruments: Instruments, without_draws: Sequence[TestResults]
) -> list[TestResults]:
    """The tests of who the users are and when they send, among them those `without_draws`."""
    sets = draw(core, setting.strata, setting.draws, setting.seed, _CONTROLS)
    controls = DrawnRequests(core, setting.population, sets)
    who, when = without_draws[: len(identity.TESTS)], without_draws[len(identity.TESTS) :]
    return [
        *who,
        *(test(core, setting, sets) for test in identity.TESTS_BY_DRAWS),
        when[0],
        synchrony.same_minutes(core, setting, controls, instruments.minutes),
        synchrony.same_instants(core, setting, controls, instruments.shift_hours),
        *when[1:],
    ]


def _either(users: TestResults, halves: TestResults, halved: Sequence[int] | NDArray[np.int64]) -> TestResults:
    """One test of all users and, of the candidates `halved`, of the half who send it most: what the clearer one says,
    at the p-value of both."""
    at = np.full(len(users.p_values), -1)
    at[halved] = np.arange(len(halved))
    p_values = users.p_values.copy()
    both = np.stack([users.p_values[halved], halves.p_values], axis=1)
    p_values[halved] = np.where(np.isnan(both).any(axis=1), users.p_values[halved], cauchy_rows(both))

    def read(place: int) -> TestResult:
        half = int(at[place])
        if half < 0 or np.isnan(users.p_values[place]) or np.isnan(halves.p_values[half]):
            return users.one(place)
        if halves.p_values[half] >= users.p_values[place]:
            return replace(users.one(place), p_value=float(p_values[place]))
        clearer = halves.one(half)
        return replace(clearer, p_value=float(p_values[place]), text=f"of the half who send it most: {clearer.text}")

    return TestResults(users.family, users.name, p_values, read)


def _families(results: Sequence[TestResults], p_values: dict[str, Floats], looked_at: tuple[str, ...]) -> Floats:
    """(candidates, families) the p-value of each family's tests."""
    return np.stack(
        [cauchy_rows(np.stack([p_values[r.key] for r in results if r.family == f], axis=1)) for f in looked_at], axis=1
    )
