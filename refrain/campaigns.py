"""Campaigns: candidates that are coordinated beyond chance and beyond every benign explanation, and their members."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refrain.artifacts import Store
from refrain.assessing import Scene, told
from refrain.assessment import make_instruments
from refrain.campaign_tables import write_campaigns
from refrain.candidates import TemplateOwners
from refrain.config import ScoreConfig
from refrain.coordination.controls import Strata, stratify, with_groups
from refrain.coordination.results import setting
from refrain.coordination.use import use_reference
from refrain.counting import Ints, group_starts, portions
from refrain.groundwork import read_groundwork
from refrain.known import NOTHING_KNOWN, KnownLists
from refrain.peeling import Finding, Suspect
from refrain.population import Population
from refrain.progress import Progress
from refrain.recognition import Recogniser
from refrain.rewordings import label_rewordings
from refrain.rounds import assess_all, below, search, weaker_findings, without_members
from refrain.scored_campaigns import ScoredCampaign, label_requests, ranking
from refrain.signals import NearProbes, TemplateSignals, campaign_signals
from refrain.template_uses import TemplateUses

_ASKED_TOGETHER = 1 << 11  # segments of suspects that are asked for together: enough to be read in full batches


def score_campaigns(
    requests: Path,
    neighbours: Path,
    templates: Path,
    out: Path,
    config: ScoreConfig,
    *,
    store: Store,
    progress: Progress,
    near: NearProbes,
    known: KnownLists = NOTHING_KNOWN,
) -> dict[str, int]:
    """Counts of what was found; `out` then holds campaigns, members, tests, signals, benign, known, request_campaigns.

    `near` tells the signals of segments and is asked for those of templates that a person may come to see.
    What is in `known` lowers a finding's score and rank and changes nothing else.
    """
    ground = read_groundwork(requests, templates, config, near)
    population, uses, pairs, signals = ground.population, ground.uses, ground.pairs, ground.signals
    strata = stratify(population, config.activity_bins, config.stratum_owners)
    owners, counts = _pairs_of(ground.eligible, uses, pairs, population)

    def scene_of(number: int, strata: Strata, kept: NDArray[np.bool_]) -> Scene:
        """What candidates are assessed with in a round, in these strata; the kept pairs are the reference of use."""
        reference = use_reference(population, owners[kept], counts[kept], config.activity_bins)
        instruments = make_instruments(population, strata, reference, config)
        by_systems = population.asn_share >= config.systems_share
        shared = setting(population, strata, config.draws, config.seed, config.matched_bias, by_systems=by_systems)
        return Scene(ground.groups, uses, shared, instruments, config, number)

    scenes = [scene_of(0, strata, np.ones(len(owners), bool))]
    state = assess_all(scenes[-1], progress)
    rounds = [search(scenes[-1], state)]
    findings = list(rounds[-1].findings)
    while rounds[-1].findings:
        taken = np.unique(np.concatenate([f.members for f in findings]))
        scenes.append(scene_of(len(scenes), with_groups(strata, [taken]), ~np.isin(owners, taken)))
        state = without_members(scenes[-1], state, rounds[-1], taken, progress)
        rounds.append(search(scenes[-1], state))
        findings += rounds[-1].findings
    last = rounds[-1]
    others = below(scenes[-1], state)
    watched = weaker_findings(scenes[-1], last, others, findings)
    findings = [_with_small_templates(f, uses, pairs, population, config) for f in findings]
    explained_away = [s for s in others if s.assessment.p_value > config.listed_p]
    alert_p = max([last.max_p, *(f.suspect.assessment.p_value for f in findings)])
    published = [
        *_published(findings, alert=True),
        *_published(watched, alert=False),
        *_explained(explained_away, [*findings, *watched], signals, scenes[-1]),
    ]
    ranked = _told(ranking(_with_nearness(published, signals)), scenes)
    labels = label_requests(ranked, uses.requests, uses.templates, population.request_owner)
    labels = label_rewordings(labels, ranked, requests, neighbours, templates, population.request_owner, config)
    return write_campaigns(
        out, ranked, labels, population, requests, config, signals.known,
        Recogniser(known, requests, templates, config, store),
        # Where nothing alerts: what would alert whatever the others are.
        alert_p=alert_p or config.false_discovery_rate / max(len(ground.groups), 1),
        counts={
            "candidates": len(ground.groups),
            "explained_by_groups": sum(r.explained_by_groups for r in rounds),
            "explained_by_others": sum(r.explained_by_others for r in rounds),
        },
    )  # fmt: skip


def _pairs_of(
    chosen: NDArray[np.bool_], uses: TemplateUses, pairs: TemplateOwners, population: Population
) -> tuple[Ints, Ints]:
    """Of all pairs (template, owner) of the chosen templates, the owner and its number of requests."""
    keys = np.sort(uses.templates * max(population.owners, 1) + population.request_owner[uses.requests])
    counts = np.diff(group_starts(keys), append=len(keys))
    of_chosen = chosen[pairs.templates]
    return pairs.owners[of_chosen], counts[of_chosen]


def _with_small_templates(
    finding: Finding, uses: TemplateUses, pairs: TemplateOwners, population: Population, config: ScoreConfig
) -> Finding:
    """The finding with the templates that (nearly) only its members use and that bring requests of their own.

    They may have fewer owners than a candidate needs: of a wrapper composed afresh from a grammar, or reworded for
    every request, some parts come seldom.
    """
    member = np.zeros(population.owners, bool)
    member[finding.members] = True
    have = np.zeros(len(population.request_owner), bool)
    have[uses.of_all(finding.templates)] = True
    owners = np.diff(pairs.bounds)
    own = np.bincount(pairs.templates, member[pairs.owners], len(owners))
    likely = (own >= config.attach_share * owners) & (owners > 0) & (uses.words >= config.min_words)
    more = []
    for template in np.setdiff1d(np.flatnonzero(likely), finding.templates):
        used = uses.of(int(template))
        mine = used[member[population.request_owner[used]]]
        if (~have[mine]).mean() >= config.attach_new_share:
            more.append(int(template))
    return replace(finding, templates=np.unique(np.concatenate([finding.templates, np.array(more, np.int64)])))


def _published(findings: list[Finding], *, alert: bool) -> list[ScoredCampaign]:
    return [ScoredCampaign(f.suspect, f.templates, f.members, alert=alert) for f in findings]


def _explained(
    suspects: list[Suspect], findings: list[Finding], signals: TemplateSignals, scene: Scene
) -> list[ScoredCampaign]:
    """Suspects that a benign hypothesis explains, and those with high-signal content of which one family speaks,
    clearest first, without those whose members are mostly those of a finding or of another one.

    One family never alerts, but a person can tell a public template from a wrapper of somebody's. Signals are asked for
    here, of those alone that nothing else shows and that a finding leaves enough members: reading takes a transformer.
    """
    taken = np.zeros(scene.setting.population.owners, bool)
    for finding in findings:
        taken[finding.members] = True
    left = sorted(suspects, key=lambda s: (-round(s.clarity, 2), s.assessment.raw, int(s.templates[0])))
    many = np.diff(signals.bounds)
    out = []
    while left:
        # Who is not by itself now never will be, so nothing need be read of it.
        left = [s for s in left if _by_itself(s.members, taken)]
        sizes = np.array([many[s.templates].sum() for s in left], np.int64)
        stop = next(portions(sizes, _ASKED_TOGETHER), slice(0)).stop
        now, left = left[:stop], left[stop:]
        quiet = {int(s.templates[0]) for s in now if not scene.signalled(s.assessment)}
        signals.ask(template for s in now if int(s.templates[0]) in quiet for template in s.templates.tolist())
        for suspect in now:
            shown = int(suspect.templates[0]) not in quiet or not signals.tagged.isdisjoint(suspect.templates.tolist())
            if shown and _by_itself(suspect.members, taken):
                out.append(ScoredCampaign(suspect, suspect.templates, suspect.members, alert=False))
                taken[suspect.members] = True
    return out


def _with_nearness(published: list[ScoredCampaign], signals: TemplateSignals) -> list[ScoredCampaign]:
    """The campaigns with how near their content is to a probe; their signals are then known."""
    signals.ask(template for item in published for template in item.suspect.templates.tolist())
    found = [campaign_signals(signals.known, item.suspect.templates) for item in published]
    return [
        replace(item, nearness=near[0].similarity) if near else item
        for item, near in zip(published, found, strict=True)
    ]


def _told(ranked: list[ScoredCampaign], scenes: list[Scene]) -> list[ScoredCampaign]:
    """The campaigns with the results of their tests."""
    suspects = [item.suspect for item in ranked]
    verdicts = told(scenes, [(s.candidate, s.assessment) for s in suspects], [s.templates for s in suspects])
    return [
        replace(item, suspect=replace(item.suspect, assessment=verdict))
        for item, verdict in zip(ranked, verdicts, strict=True)
    ]


def _by_itself(members: Ints, taken: NDArray[np.bool_]) -> bool:
    """Whether there are members, and most of them are not taken (owners,)."""
    return len(members) > 0 and bool(taken[members].mean() * 2 < 1)
