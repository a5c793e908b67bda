"""Campaigns: candidates that are coordinated beyond chance and beyond every benign explanation, and their members."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refrain import traits
from refrain.artifacts import Store
from refrain.assessment import Assessment, Instruments, assess, make_instruments
from refrain.campaign_tables import write_campaigns
from refrain.candidates import JoinRule, TemplateOwners, join_templates, template_owners
from refrain.config import ScoreConfig
from refrain.coordination.combine import adaptive_q_values, selection_threshold
from refrain.coordination.controls import Strata, stratify, with_groups
from refrain.coordination.results import Candidate, Setting, candidate, setting
from refrain.coordination.use import use_reference
from refrain.counting import Ints, slices
from refrain.known import NOTHING_KNOWN, KnownLists
from refrain.members import Membership, TraitTable, decide_members
from refrain.peeling import Finding, Suspect, peel
from refrain.population import Population, read_population
from refrain.progress import Progress
from refrain.recognition import Recogniser
from refrain.scored_campaigns import ScoredCampaign
from refrain.signals import template_signals
from refrain.tables import read_columns


@dataclass(frozen=True)
class TemplateUses:
    """Uses of templates by requests, sorted by request, then template, and the templates' columns."""

    requests: Ints
    templates: Ints
    shares: NDArray[np.float64]
    words: Ints
    system: NDArray[np.bool_]  # of a template: most of its uses are in the system prompt
    by_template: Ints
    bounds: Ints

    def of(self, template: int) -> Ints:
        """The requests of one template."""
        return self.requests[self.by_template[self.bounds[template] : self.bounds[template + 1]]]

    def of_all(self, templates: Ints) -> Ints:
        """The requests of any of several templates, ascending."""
        return np.unique(np.concatenate([self.of(int(t)) for t in templates]))


def score_campaigns(
    requests: Path,
    vectors: Path,
    templates: Path,
    out: Path,
    config: ScoreConfig,
    *,
    store: Store,
    progress: Progress,
    known: KnownLists = NOTHING_KNOWN,
) -> dict[str, int]:
    """Counts of what was found; `out` then holds campaigns, members, tests, signals, benign, known, request_campaigns.

    What is in `known` lowers a finding's score and rank and changes nothing else.
    """
    population = read_population(requests, config.ipv4_prefix, config.ipv6_prefix)
    uses = _read_uses(templates)
    pairs = template_owners(uses.templates, population.request_owner[uses.requests], len(uses.words))
    strata = stratify(population, config.activity_bins, config.stratum_owners)
    shared = setting(population, strata, config.draws, config.seed)
    instruments = _instruments(population, strata, uses, pairs, config)
    groups = _candidates(uses, pairs, population, config)
    state = _State(_assess_all(groups, uses, shared, instruments, config, progress), set())
    findings: list[Finding] = []
    explained_by_groups = explained_by_others = 0
    while True:
        found = _round(groups, state, uses, shared, instruments, config)
        findings += [finding for _, finding in found.findings]
        explained_by_groups += found.explained_by_groups
        explained_by_others += found.explained_by_others
        if not found.findings:
            break
        taken = np.unique(np.concatenate([f.members for f in findings]))
        shared = setting(population, with_groups(strata, [taken]), config.draws, config.seed)
        instruments = _instruments(population, shared.strata, uses, pairs, config, without=taken)
        state = _without_members(groups, state, found, taken, uses, shared, instruments, config)
    findings = [_with_small_templates(f, groups, uses, population, config) for f in findings]
    explained_away = [s for s in found.below if s.assessment.p_value > config.listed_p]
    # Where nothing alerts: what would alert whatever the others are.
    alert_p = max([found.max_p, *(f.suspect.assessment.p_value for f in findings)])
    return write_campaigns(
        out,
        [
            *_published(findings, alert=True),
            *_published(found.watched, alert=False),
            *_explained(explained_away, [*findings, *found.watched]),
        ],
        uses.requests, uses.templates,
        population, requests, config, template_signals(vectors, templates),
        Recogniser(known, requests, templates, config, store),
        alert_p=alert_p or config.false_discovery_rate / max(len(groups), 1),
        counts={
            "candidates": len(groups),
            "explained_by_groups": explained_by_groups,
            "explained_by_others": explained_by_others,
        },
    )  # fmt: skip


@dataclass(frozen=True)
class _State:
    """The candidates between rounds: users and assessment of each, None where too few users are left, and the places
    of those that are findings already."""

    assessed: list[tuple[Candidate, Assessment] | None]
    done: set[int]


@dataclass(frozen=True)
class _Round:
    """What a round left: findings by place, what is listed below them, and the largest p-value that alerts."""

    findings: list[tuple[int, Finding]]
    watched: list[Finding]
    below: list[Suspect]
    max_p: float
    explained_by_groups: int
    explained_by_others: int


def _round(
    groups: list[Ints],
    state: _State,
    uses: TemplateUses,
    shared: Setting,
    instruments: Instruments,
    config: ScoreConfig,
) -> _Round:
    """The findings among the candidates that are none yet; those that are count among the selected."""
    population = shared.population
    suspects = _suspects(groups, state, uses, shared, instruments, config)
    place = {int(groups[i][0]): i for i in suspects}
    alerting = [s for s in suspects.values() if s.q_value <= config.false_discovery_rate]
    max_p = selection_threshold(*_selection(state), config.false_discovery_rate)
    below = [s for s in suspects.values() if s.q_value > config.false_discovery_rate]
    matched = _matched_by_benign_groups(shared, below, config)

    def reassess(own: Candidate, templates: Ints) -> float:
        return assess(own, matched, instruments, system=bool(uses.system[templates[0]])).p_value

    lasting = [s for s in alerting if matched is shared or reassess(s.candidate, s.templates) <= max_p]
    findings, explained = peel(lasting, population, reassess, max_p, config.min_owners, config.min_members)
    weak = [
        s
        for s in below
        if s.assessment.p_value <= config.listed_p and reassess(s.candidate, s.templates) <= config.listed_p
    ]
    watched, _ = peel(weak, population, reassess, config.listed_p, config.min_owners, config.min_members, findings)
    return _Round(
        [(place[int(f.templates[0])], f) for f in findings],
        watched,
        below,
        max_p,
        len(alerting) - len(lasting),
        len(explained),
    )


def _without_members(
    groups: list[Ints],
    state: _State,
    found: _Round,
    taken: Ints,
    uses: TemplateUses,
    shared: Setting,
    instruments: Instruments,
    config: ScoreConfig,
) -> _State:
    """The candidates, those with one family's evidence tested again without the members of findings.

    Members are no controls any more: where one account in ten is hostile, the busiest owners of a log are mostly
    members of other campaigns, and among these a pool looks ordinary. Given who was taken for other templates' sake,
    who uses this one is a choice among the owners that are left.
    """
    population = shared.population
    done = state.done | {place for place, _ in found.findings}
    gone = np.zeros(population.owners, bool)
    gone[taken] = True
    assessed = list(state.assessed)
    for number, item in enumerate(state.assessed):
        if item is None or number in done or min(item[1].families.values(), default=1) > config.false_discovery_rate:
            continue
        rows = uses.of_all(groups[number])
        own = candidate(rows[~gone[population.request_owner[rows]]], population)
        if len(own.owners) < config.min_owners:
            assessed[number] = None
        else:
            assessed[number] = own, assess(own, shared, instruments, system=bool(uses.system[groups[number][0]]))
    return _State(assessed, done)


def _matched_by_benign_groups(shared: Setting, watched: list[Suspect], config: ScoreConfig) -> Setting:
    """The setting whose controls are matched by benign groups too: users of one product or place with one another.

    What everybody there types has the product's client, or the place's network, and means nothing.
    """
    groups = [
        s.candidate.owners
        for s in watched
        if s.assessment.raw <= config.watch_p and any(h.holds and h.of_group for h in s.assessment.hypotheses)
    ]
    if not groups:
        return shared
    return setting(shared.population, with_groups(shared.strata, groups), shared.draws, shared.seed)


def _read_uses(templates: Path) -> TemplateUses:
    table = read_columns(templates / "request_templates.parquet", ["request_row", "template_id", "share", "role"])
    words = read_columns(templates / "templates.parquet", ["words"])["words"]
    template = table["template_id"]
    by_template = np.argsort(template, kind="stable")
    system = np.bincount(template, table["role"] == "system", len(words)) * 2 > np.bincount(
        template, minlength=len(words)
    )
    return TemplateUses(
        table["request_row"],
        template,
        table["share"],
        words,
        system,
        by_template,
        slices(template[by_template], len(words)),
    )


def _instruments(
    population: Population,
    strata: Strata,
    uses: TemplateUses,
    pairs: TemplateOwners,
    config: ScoreConfig,
    without: Ints | None = None,
) -> Instruments:
    """The instruments, their reference of use without some owners."""
    width = population.owners
    keys = uses.templates * max(width, 1) + population.request_owner[uses.requests]
    _, counts = np.unique(keys, return_counts=True)
    recurrent = (np.diff(pairs.bounds) >= config.min_owners)[pairs.templates] & (uses.words >= config.min_words)[
        pairs.templates
    ]
    if without is not None:
        recurrent &= ~np.isin(pairs.owners, without)
    reference = use_reference(population, pairs.owners[recurrent], counts[recurrent], config.activity_bins)
    return make_instruments(population, strata, reference, config)


def _candidates(uses: TemplateUses, pairs: TemplateOwners, population: Population, config: ScoreConfig) -> list[Ints]:
    eligible = np.flatnonzero((uses.words >= config.min_words) & (np.diff(pairs.bounds) >= config.min_owners))
    rule = JoinRule(config.join_jaccard, config.join_p, config.join_owners)
    return join_templates(pairs, eligible, population.activity, rule)


def _assess_all(
    groups: list[Ints],
    uses: TemplateUses,
    shared: Setting,
    instruments: Instruments,
    config: ScoreConfig,
    progress: Progress,
) -> list[tuple[Candidate, Assessment] | None]:
    """The assessment of every candidate: with few draws first, with all where there is any sign."""
    quick = replace(shared, draws=config.screening_draws)
    out: list[tuple[Candidate, Assessment] | None] = []
    with progress.task("candidates", len(groups)) as advance:
        for group in groups:
            own = candidate(uses.of_all(group), shared.population)
            system = bool(uses.system[group[0]])
            verdict = assess(own, quick, instruments, system=system, closely=False)
            if min(verdict.raw, verdict.p_value) <= config.screening_p:
                verdict = assess(own, shared, instruments, system=system)
            out.append((own, verdict))
            advance(1)
    return out


def _selection(state: _State) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The p-values by which candidates are filtered and selected."""
    verdicts = [item[1] for item in state.assessed if item is not None]
    return np.array([a.filter for a in verdicts]), np.array([a.p_value for a in verdicts])


def _suspects(
    groups: list[Ints],
    state: _State,
    uses: TemplateUses,
    shared: Setting,
    instruments: Instruments,
    config: ScoreConfig,
) -> dict[int, Suspect]:
    """Candidates with a signal that are no findings yet, those that benign hypotheses explain included, by place.

    Weak ones do not count where it is asked whether users send something suspect more often.
    """
    places = [i for i, item in enumerate(state.assessed) if item is not None]
    q_values = dict(zip(places, adaptive_q_values(*_selection(state)).tolist(), strict=True)) if places else {}
    left = [(i, *item) for i, item in enumerate(state.assessed) if item is not None and i not in state.done]
    strong = [i for i, _, a in left if q_values[i] <= config.false_discovery_rate or a.raw <= config.watch_p]
    weak = [i for i, _, a in left if a.p_value <= config.listed_p]
    chosen = {*strong, *weak}
    most = np.zeros(shared.population.owners, np.int64)
    for i, own, _ in left:
        if i in strong:
            np.maximum.at(most, own.owners, own.counts)
    out = {}
    for i, own, verdict in left:
        if i in chosen:
            membership = _membership(own, verdict, shared, instruments, config)
            leading = float((own.counts >= most[own.owners]).mean())
            out[i] = Suspect(groups[i], own, verdict, q_values[i], membership, config.member_posterior, leading)
    return out


def _membership(
    own: Candidate,
    verdict: Assessment,
    shared: Setting,
    instruments: Instruments,
    config: ScoreConfig,
) -> Membership:
    """The users' membership by how they use it and by every trait whose test speaks."""
    population = shared.population
    tables = traits.use_traits(own, shared, instruments.reference)
    makers: dict[str, Callable[[], TraitTable]] = {
        "identity_young": lambda: traits.age_trait(own, shared),
        "identity_client": lambda: traits.client_trait(own, shared),
        "identity_card": lambda: traits.sharing_trait(own, shared, population.card, "card", 11),
        "identity_network": lambda: traits.sharing_trait(own, shared, population.network, "network", 12),
        "identity_addresses": lambda: traits.address_trait(own, shared),
        "time_rhythm": lambda: traits.rhythm_trait(own, shared, instruments.rhythms, instruments.rhythm),
    }
    for key, maker in makers.items():
        p = verdict.results[key].p_value
        if p is not None and p <= config.member_trait_p:
            tables.append(maker())
    return decide_members(tables, len(own.owners), instruments.member)


def _with_small_templates(
    finding: Finding, groups: list[Ints], uses: TemplateUses, population: Population, config: ScoreConfig
) -> Finding:
    """The finding with the templates that (nearly) only its members use and that bring requests of their own."""
    member = np.zeros(population.owners, bool)
    member[finding.members] = True
    have = np.zeros(len(population.request_owner), bool)
    have[uses.of_all(finding.templates)] = True
    more = []
    for group in groups:
        if np.isin(group, finding.templates).any():
            continue
        for template in group:
            used = uses.of(int(template))
            owners = np.unique(population.request_owner[used])
            mine = used[member[population.request_owner[used]]]
            if member[owners].mean() >= config.attach_share and (~have[mine]).mean() >= config.attach_new_share:
                more.append(int(template))
    return replace(finding, templates=np.unique(np.concatenate([finding.templates, np.array(more, np.int64)])))


def _published(findings: list[Finding], *, alert: bool) -> list[ScoredCampaign]:
    return [ScoredCampaign(f.suspect, f.templates, f.members, alert=alert) for f in findings]


def _explained(suspects: list[Suspect], findings: list[Finding]) -> list[ScoredCampaign]:
    """Suspects that a benign hypothesis explains, clearest first, without those whose members are mostly a finding's or
    another one's."""
    taken = np.unique(np.concatenate([f.members for f in findings])) if findings else np.zeros(0, np.int64)
    out = []
    for suspect in sorted(suspects, key=lambda s: (-round(s.clarity, 2), s.assessment.raw, int(s.templates[0]))):
        members = suspect.members
        if len(members) and np.isin(members, taken).mean() * 2 < 1:
            out.append(ScoredCampaign(suspect, suspect.templates, members, alert=False))
            taken = np.union1d(taken, members)
    return out
