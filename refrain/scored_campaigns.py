"""Campaigns as they are published: what they are ranked by, and which requests carry their label."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from refrain.counting import Ints
from refrain.peeling import Suspect


@dataclass(frozen=True)
class ScoredCampaign:
    """A suspect as it is published: its templates, its members, and whether it alerts."""

    suspect: Suspect
    templates: Ints
    members: Ints
    alert: bool
    nearness: float = 0.0  # of the content to a probe

    @property
    def p_value(self) -> float:
        """The p-value of what is left unexplained."""
        return self.suspect.assessment.p_value

    @property
    def q_value(self) -> float:
        """The false discovery rate at which it is selected."""
        return self.suspect.q_value

    @property
    def score(self) -> float:
        """What findings are ranked by: the evidence that is left unexplained, as -log10 of its p-value. What decides
        among equals: the sum over families, and where there is no evidence how near the content is to a probe; then
        what benign hypotheses explain, and the number of requests."""
        assessment = self.suspect.assessment
        left, all_told = (
            -np.log10([p for p in families.values() if p < _SAYS_NOTHING] or [1.0]).sum()
            for families in (assessment.unexplained, assessment.families)
        )
        requests = np.log10(len(self.suspect.candidate.requests))
        last = _TIE_WEIGHT * (all_told + _TIE_WEIGHT * requests)
        if assessment.p_value < _SAYS_NOTHING:
            return float(-np.log10(assessment.p_value) + _TIE_WEIGHT * (left + last))
        return float(_TIE_WEIGHT * (left + self.nearness + last))

    @property
    def benign(self) -> list[str]:
        """The benign hypotheses that hold."""
        return [h.name for h in self.suspect.assessment.hypotheses if h.holds]

    def families(self, silent_p: float) -> list[str]:
        """The families that speak after what benign hypotheses explain, sorted."""
        return sorted(f for f, p in self.suspect.assessment.unexplained.items() if p <= silent_p)


def ranking(scored: Iterable[ScoredCampaign]) -> list[ScoredCampaign]:
    """The campaigns with the most evidence first, alerts before what is none."""
    return sorted(scored, key=lambda s: (not s.alert, -s.score, int(s.templates[0])))


_TIE_WEIGHT = 1e-2  # of what orders equals and no more
_SAYS_NOTHING = 0.5  # p-value from which one is as good as another: of a hundred findings without evidence one is first


@dataclass(frozen=True)
class Labels:
    """The template and the campaign of each request, -1 for none."""

    templates: Ints
    campaigns: Ints

    def renumbered(self, order: list[int]) -> Labels:
        """The labels where the campaign `order[n]` has the number n."""
        numbers = np.full(len(order) + 1, -1)  # the last is that of no campaign
        numbers[order] = np.arange(len(order))
        return Labels(self.templates, numbers[self.campaigns])


def label_requests(
    ranked: list[ScoredCampaign],
    requests: Ints,
    templates: Ints,
    request_owner: Ints,
) -> Labels:
    """The labels of every request, by the rule of docs/architecture.md: of the templates of the campaign with the most
    evidence whose member the owner is, else of all that it uses, the best frame, which is the one with the smallest
    number.

    `requests` and `templates` are aligned, one entry a use; `ranked` has the most evidence first.
    """
    width, owners = int(templates.max(initial=-1)) + 1, int(request_owner.max(initial=-1)) + 1
    sung, member = np.zeros(width, bool), np.zeros(owners, bool)
    for item in ranked:
        sung[item.templates], member[item.members] = True, True
    # Few uses can be a campaign's: the others are looked at once.
    likely = np.flatnonzero(sung[templates])
    likely = likely[member[request_owner[requests[likely]]]]
    template_of, owner_of = templates[likely], request_owner[requests[likely]]
    campaign = np.full(len(requests), len(ranked))
    for number in range(len(ranked) - 1, -1, -1):
        item = ranked[number]
        sung[:], member[:] = False, False
        sung[item.templates], member[item.members] = True, True
        campaign[likely[sung[template_of] & member[owner_of]]] = number
    # Of a request's uses the smallest: the campaign first, then the frame.
    none = (len(ranked) + 1) * max(width, 1)
    best = np.full(len(request_owner), none)
    np.minimum.at(best, requests, campaign * width + templates)
    of_campaign, template = np.divmod(best, max(width, 1))
    return Labels(np.where(best < none, template, -1), np.where(of_campaign < len(ranked), of_campaign, -1))
