"""Rounds of search: findings among the candidates, then among the others again without the members found.

Members of findings are no controls any more: where one account in ten is hostile, the busiest owners of a log are
mostly members of other campaigns, and among these a pool looks ordinary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from refrain import traits
from refrain.assessed import Assessed
from refrain.assessing import Scene, assess_places, closely_of, spread
from refrain.assessment import Assessment
from refrain.benign_groups import Judged, benign_groups, benign_parts, matched_by
from refrain.coordination.combine import adaptive_q_values, selection_threshold
from refrain.coordination.results import Candidate, Candidates, Setting
from refrain.counting import Ints, portions
from refrain.members import Membership, Memberships, TraitTable, decide_members
from refrain.peeling import Finding, Suspect, peel
from refrain.progress import Progress

Item = TypeVar("Item")
_USERS_TOGETHER = 1 << 12  # users of suspects looked at together: speed and memory, no result


@dataclass(frozen=True)
class State:
    """The candidates between rounds: users and assessment of each, None where too few users are left, and the first
    templates of those that are findings already."""

    assessed: list[Assessed | None]
    done: frozenset[int] = frozenset()

    def open(self, scene: Scene) -> Iterator[tuple[int, Candidate, Assessment]]:
        """Place, users and assessment of the candidates that are no findings yet."""
        for place, item in enumerate(self.assessed):
            if item is not None and int(scene.groups[place][0]) not in self.done:
                yield place, *item


@dataclass(frozen=True)
class Round:
    """What a round left: findings, the setting in which the users of benign groups are matched with one another, and
    the largest p-value that alerts."""

    findings: list[Finding]
    matched: Setting
    max_p: float
    explained_by_groups: int
    explained_by_others: int


def assess_all(scene: Scene, progress: Progress) -> State:
    """Every candidate assessed."""
    nobody = np.zeros(scene.setting.population.owners, bool)
    return State([item for _, item in assess_places(scene, range(len(scene.groups)), nobody, progress)])


def search(scene: Scene, state: State) -> Round:
    """The findings among the candidates that are none yet; those that are count among the selected."""
    config = scene.config
    judged = _judged(scene, state)
    max_p = selection_threshold(*_selection(state), config.false_discovery_rate)
    alerting = [one for one in judged if one[0] <= config.false_discovery_rate]
    below_alert = [one for one in judged if one[0] > config.false_discovery_rate]
    groups = benign_groups(scene, below_alert) + benign_parts(scene, alerting, max_p)
    matched, among, lasting = scene.setting, scene, alerting
    if groups:
        matched = matched_by(scene.setting, groups)
        among = replace(scene, setting=matched)
        lasting = _lasting(among, alerting, [(own, scene.groups[place]) for _, place, own, _ in alerting], max_p)
    findings, explained = _peeled(among, _suspects(among, judged, lasting), max_p)
    return Round(findings, matched, max_p, len(alerting) - len(lasting), len(explained))


def below(scene: Scene, state: State) -> list[Suspect]:
    """The candidates that fall short of an alert and that a person may come to see: those with a signal, and those of
    which one family speaks clearly, whatever benign hypotheses explain."""
    judged = _judged(scene, state)
    rate = scene.config.false_discovery_rate
    wanted = [one for one in judged if one[0] > rate and (scene.signalled(one[3]) or scene.speaks(one[3]))]
    return _suspects(scene, judged, wanted)


def weaker_findings(scene: Scene, last: Round, suspects: list[Suspect], findings: list[Finding]) -> list[Finding]:
    """What falls short of an alert in the last round, as findings are: beside those of all rounds."""
    weak = [s for s in suspects if s.assessment.p_value <= scene.config.listed_p]
    among, lasting = scene, weak
    if last.matched is not scene.setting:
        among = replace(scene, setting=last.matched)
        lasting = _lasting(among, weak, [(s.candidate, s.templates) for s in weak], scene.config.listed_p)
    return _peeled(among, lasting, scene.config.listed_p, findings)[0]


def _lasting(scene: Scene, chosen: Sequence[Item], items: Sequence[tuple[Candidate, Ints]], max_p: float) -> list[Item]:
    """The chosen ones that are significant in the scene's strata, too, given each as a candidate with its templates; on
    all cores where they are many."""
    uses = np.array([len(own.requests) for own, _ in items], np.int64)
    again = spread(scene, _p_values, items, uses, scene.config.draws)
    return [one for one, p in zip(chosen, again, strict=True) if p <= max_p]


def _peeled(
    scene: Scene, suspects: list[Suspect], max_p: float, before: Sequence[Finding] = ()
) -> tuple[list[Finding], list[Suspect]]:
    """Findings, and the suspects that others' members explain."""
    config = scene.config

    def reassess(own: Candidate, templates: Ints) -> float:
        return _p_values(scene, [(own, templates)])[0]

    return peel(suspects, scene.setting.population, reassess, max_p, config.min_owners, config.min_members, before)


def _p_values(scene: Scene, items: Sequence[tuple[Candidate, Ints]]) -> list[float]:
    """The p-values of candidates with their templates, each looked at closely."""
    return [verdict.p_value for verdict in closely_of(scene, items)]


def without_members(scene: Scene, state: State, found: Round, taken: Ints, progress: Progress) -> State:
    """The candidates without the taken owners, members of findings.

    Those without one family's evidence keep what they have. Given who was taken for other templates' sake, a template's
    use is a choice among the owners that are left.
    """
    left = State(list(state.assessed), state.done | {int(f.templates[0]) for f in found.findings})
    gone = np.zeros(scene.setting.population.owners, bool)
    gone[taken] = True
    places = [
        place
        for place, _, verdict in left.open(scene)
        if min(verdict.families.values(), default=1.0) <= scene.config.false_discovery_rate
    ]
    for place, item in assess_places(scene, places, gone, progress, close=True):
        left.assessed[place] = item
    return left


def _selection(state: State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The p-values by which candidates are filtered and selected."""
    verdicts = [item[1] for item in state.assessed if item is not None]
    return np.array([a.filter for a in verdicts]), np.array([a.p_value for a in verdicts])


def _judged(scene: Scene, state: State) -> list[Judged]:
    """The candidates that are no findings yet, each with the false discovery rate at which it is selected."""
    places = [place for place, item in enumerate(state.assessed) if item is not None]
    q_values = dict(zip(places, adaptive_q_values(*_selection(state)).tolist(), strict=True)) if places else {}
    return [(q_values[place], place, own, verdict) for place, own, verdict in state.open(scene)]


def _suspects(scene: Scene, judged: Sequence[Judged], chosen: Sequence[Judged]) -> list[Suspect]:
    """The chosen ones of the candidates that are no findings yet, in their order.

    Weak ones do not count where it is asked whether users send something suspect more often.
    """
    config = scene.config
    most = np.zeros(scene.setting.population.owners, np.int64)
    for q_value, _, own, verdict in judged:
        if q_value <= config.false_discovery_rate or verdict.raw <= config.watch_p:
            np.maximum.at(most, own.owners, own.counts)
    uses = np.array([len(own.requests) for *_, own, _ in chosen], np.int64)
    memberships = spread(scene, _memberships, [(own, verdict) for *_, own, verdict in chosen], uses, config.draws)
    return [
        Suspect(
            scene.groups[place], own, verdict, q_value, membership, config.member_posterior,
            leads=own.counts >= most[own.owners],
        )
        for (q_value, place, own, verdict), membership in zip(chosen, memberships, strict=True)
    ]  # fmt: skip


def _memberships(scene: Scene, items: Sequence[Assessed]) -> list[Membership]:
    out = []
    for part in portions(np.array([len(own.owners) for own, _ in items], np.int64), _USERS_TOGETHER):
        found = _membership(scene, items[part])
        out += [found.one(place) for place in range(part.stop - part.start)]
    return out


def _membership(scene: Scene, items: Sequence[Assessed]) -> Memberships:
    """The users' membership by how they use it and by every trait that the log tells of.

    Whether a trait's test speaks does not matter here: that asks whether all of the users are unlike controls, beyond
    what `score.matched_bias` allows for, and a few members among a public template's users tell nothing in sum.
    """
    shared, instruments = scene.setting, scene.instruments
    population = shared.population
    candidates = Candidates.of([own for own, _ in items])
    few = replace(shared, draws=scene.config.screening_draws)  # a law of a few bins needs no tail
    tables = traits.use_traits(candidates, shared, instruments.reference)
    makers: dict[str, Callable[[Candidates], TraitTable]] = {
        "identity_young": lambda own: traits.age_trait(own, shared),
        "identity_client": lambda own: traits.client_trait(own, shared),
        "identity_card": lambda own: traits.sharing_trait(own, few, population.card, "card", 11),
        "identity_network": lambda own: traits.sharing_trait(own, few, population.network, "network", 12),
        "identity_addresses": lambda own: traits.wandering_trait(own, shared, shared.addresses, "addresses"),
        "identity_systems": lambda own: traits.wandering_trait(own, shared, shared.systems, "systems"),
        "time_rhythm": lambda own: traits.rhythm_trait(own, shared, instruments.rhythms, instruments.rhythm),
    }
    for key, maker in makers.items():
        p_values = np.array([verdict.tests[key] for _, verdict in items])
        told = np.flatnonzero(~np.isnan(p_values))
        if len(told):
            tables.append(traits.spread_trait(maker(candidates.only(told)), candidates, told))
    return decide_members(tables, candidates.bounds, instruments.member)
