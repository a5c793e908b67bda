"""All tests of one candidate, by family, the benign explanations, and what is left when they are taken off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from refrain.benign import BenignRule, Hypothesis, benign_hypotheses
from refrain.config import ScoreConfig
from refrain.coordination import adoption, identity, pivot, rhythm, succession, synchrony, use
from refrain.coordination.combine import cauchy_combination, partial_conjunction
from refrain.coordination.controls import Strata, draw
from refrain.coordination.results import Candidate, Setting, TestResult, some_users
from refrain.coordination.rhythm import RhythmRule, Rhythms
from refrain.coordination.succession import SuccessionRule
from refrain.coordination.synchrony import Minutes
from refrain.coordination.use import UseReference
from refrain.members import MemberRule
from refrain.population import Population
from refrain.regulars import RegularRule, regular_users

_LOTS = 99  # salt of ties between users


@dataclass(frozen=True)
class Instruments:
    """What every assessment of a run shares beside the setting."""

    reference: UseReference
    rhythms: Rhythms
    rhythm: RhythmRule
    succession: SuccessionRule
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
        config.regulars_gain,
    )
    return Instruments(
        reference,
        Rhythms(population, strata, config.rhythm_controls, config.seed),
        RhythmRule(config.rhythm_min_requests, config.rhythm_max_requests, config.rhythm_min_owners),
        SuccessionRule(
            config.succession_hours, config.succession_step_hours, config.rhythm_min_requests, config.rhythm_min_owners
        ),
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


@dataclass(frozen=True)
class Assessment:
    """A candidate's tests and verdicts.

    `families` are p-values by family of all tests, `unexplained` the same without the tests that a benign hypothesis
    explains. `p_value` is the partial conjunction of the unexplained, `filter` the same for one family less, `raw` the
    partial conjunction of all.
    """

    results: dict[str, TestResult]
    hypotheses: list[Hypothesis]
    families: dict[str, float]
    unexplained: dict[str, float]
    raw: float
    p_value: float
    filter: float


def assess(
    candidate: Candidate,
    setting: Setting,
    instruments: Instruments,
    *,
    system: bool,
    closely: bool = True,
    core: Candidate | None = None,
) -> Assessment:
    """The assessment of a candidate; `system` says whether its template stands in the system prompt.

    Without `closely`, the half who send it most is not looked at apart: a first look. `core` is the candidate with its
    regular users only, where these are known already.
    """
    if core is None:
        [core] = regular_users([candidate], setting, instruments.reference, instruments.regular)
    results = _of_being(core, setting, instruments)
    if closely and len(core.owners) // 2 >= instruments.min_owners:
        halves = _of_being(heaviest_half(core, setting), setting, instruments)
        results = [_either(all_users, half) for all_users, half in zip(results, halves, strict=True)]
    results += [test(candidate, setting, instruments.reference) for test in use.TESTS]
    by_key = {r.key: r for r in results}
    hypotheses = benign_hypotheses(core, setting, by_key, instruments.minutes, system, instruments.benign)
    explained = {key for h in hypotheses if h.holds for key in h.explains}
    families = _families(results, set(), instruments.looked_at)
    unexplained = _families(results, explained, instruments.looked_at)
    needed = instruments.families
    # A family that is explained away stays in the count, as one that says nothing.
    said = [unexplained.get(f, 1.0) for f in families]
    ordered = np.sort(said)
    p = partial_conjunction(said, needed)
    weaker = (len(said) - needed + 1) * float(ordered[needed - 2]) if len(said) >= needed > 1 else p
    raw = partial_conjunction(list(families.values()), needed)
    return Assessment(by_key, hypotheses, families, unexplained, raw, p, min(p, weaker))


def heaviest_half(candidate: Candidate, setting: Setting) -> Candidate:
    """The half of the users, rounded down, who send it most; ties by lot.

    A public template that a pool uses has honest regulars too, and the pool works harder. As with `regular_users`, only
    use is looked at.
    """
    lots = setting.rng(candidate, _LOTS).random(len(candidate.owners))
    order = np.lexsort((lots, -candidate.counts))
    return some_users(candidate, np.sort(candidate.owners[order[: len(order) // 2]]))


def _of_being(core: Candidate, setting: Setting, instruments: Instruments) -> list[TestResult]:
    """The tests of who the users are and when they send."""
    sets = draw(setting.strata, core.owners, setting.draws, setting.rng(core, 0))
    controls = synchrony.drawn_requests(core, setting, sets)
    return [
        *(test(core, setting) for test in identity.TESTS),
        *(test(core, setting, sets) for test in identity.TESTS_BY_DRAWS),
        rhythm.round_the_clock(core, setting, instruments.rhythms, instruments.rhythm),
        synchrony.same_minutes(core, setting, controls, instruments.minutes),
        synchrony.same_instants(core, setting, controls, instruments.shift_hours),
        adoption.adopted_together(core, setting),
        pivot.moved_together(core, setting),
        succession.pools_replaced(core, setting, instruments.succession),
    ]


def _either(users: TestResult, half: TestResult) -> TestResult:
    """One test of all users and of the half who send it most: what the clearer one says, at the p-value of both."""
    if users.p_value is None or half.p_value is None:
        return users
    p = cauchy_combination([users.p_value, half.p_value])
    if half.p_value >= users.p_value:
        return replace(users, p_value=p)
    return replace(half, p_value=p, text=f"of the half who send it most: {half.text}")


def _families(results: list[TestResult], without: set[str], looked_at: tuple[str, ...]) -> dict[str, float]:
    out = {}
    for family in looked_at:
        values = [r.p_value for r in results if r.family == family and r.p_value is not None and r.key not in without]
        if values:
            out[family] = cauchy_combination(values)
    return out
