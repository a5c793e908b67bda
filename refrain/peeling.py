"""Which candidates are campaigns of their own: the clearest first, each further one without the members found before.

What the members of a campaign also send (the lines of the tasks that they work through, a wrapper that they tried once)
has their traits too, mixed with those of everybody who sends it. Such a candidate is significant because of them; taken
without them it is not, so it is no finding. Clearest is the candidate whose users are members for the largest part, and
whose members send nothing suspect more often: the lines inside a wrapper come less often than the wrapper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.assessment import Assessment
from refrain.coordination.results import Candidate, candidate
from refrain.counting import Ints
from refrain.members import Membership
from refrain.population import Population


@dataclass(frozen=True)
class Suspect:
    """A candidate with its templates, its assessment and its users' membership."""

    templates: Ints
    candidate: Candidate
    assessment: Assessment
    q_value: float
    membership: Membership
    posterior: float  # from which a user is a member
    leads: NDArray[np.bool_]  # (users,) who send no other suspect's templates more often

    @property
    def members(self) -> Ints:
        """The owners that are members, ascending."""
        return self.candidate.owners[self._is_member]

    @property
    def clarity(self) -> float:
        """The share of the users that are members for whom this is the suspect they send most."""
        return int((self._is_member & self.leads).sum()) / max(len(self.leads), 1)

    @property
    def _is_member(self) -> NDArray[np.bool_]:
        return np.asarray(self.membership.posterior >= self.posterior)


@dataclass(frozen=True)
class Finding:
    """A suspect that stands by itself, with the templates that were found to be its members' too."""

    suspect: Suspect
    templates: Ints
    members: Ints


def peel(
    suspects: list[Suspect],
    population: Population,
    reassess: Callable[[Candidate, Ints], float],
    max_p: float,
    min_owners: int,
    min_members: int,
    before: Sequence[Finding] = (),
) -> tuple[list[Finding], list[Suspect]]:
    """The suspects that are findings, clearest first, and those that the members of others, or of the findings
    `before`, explain.

    `reassess` gives the p-value of a candidate with these templates. A finding has at least `min_members`; one whose
    users are members of others in part must still have `min_owners` without them: the rest of a pool, and a few more.
    """
    findings: list[Finding] = []
    explained: list[Suspect] = []
    taken = np.zeros(population.owners, bool)
    for finding in before:
        taken[finding.members] = True
    order = sorted(
        suspects, key=lambda s: (-round(s.clarity, 2), s.assessment.p_value, -len(s.members), int(s.templates[0]))
    )
    for suspect in order:
        members = suspect.members
        if len(members) < min_members:
            explained.append(suspect)
            continue
        rest = suspect.candidate.requests[~taken[suspect.candidate.request_owner]]
        if len(rest) < len(suspect.candidate.requests):
            own = candidate(rest, population)
            # What is left must still be a group and still be significant.
            if (
                len(own.owners) < min_owners
                or reassess(own, suspect.templates) > max_p
                or (~taken[members]).sum() < min_owners
            ):
                explained.append(suspect)
                continue
        taken[members] = True
        findings.append(Finding(suspect, suspect.templates, members))
    return findings, explained
