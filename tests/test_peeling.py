"""Peeling: lines inside campaigns' prompts are explained by the campaigns, and two campaigns stay two."""

from collections.abc import Sequence

import numpy as np
from populations import people, population_of

from refrain.assessment import Assessment
from refrain.coordination.results import Candidate, candidate
from refrain.counting import Ints
from refrain.members import Membership
from refrain.peeling import Finding, Suspect, peel

POPULATION = population_of(*people(0, owners=100, requests=12), 100)
FIRST, SECOND = range(10), range(8, 18)  # two pools that share two owners
CROWD = range(40, 70)
MAX_P = 1e-3


def suspect(template: int, owners: Sequence[int], members: Sequence[int], uses: int, p: float, lead: float) -> Suspect:
    """One that leads this share of its members, and everybody else."""
    rows = np.concatenate([POPULATION.requests_of(o)[:uses] for o in owners])
    own = candidate(rows, POPULATION)
    posterior = np.isin(own.owners, members).astype(float)
    membership = Membership(posterior, np.zeros((len(own.owners), 0)), ())
    leads = ~np.isin(own.owners, list(members)[round(lead * len(members)) :])
    return Suspect(np.array([template]), own, Assessment({}, [], {}, {}, p, p, p), p, membership, 0.5, leads)


def reassess(own: Candidate, templates: Ints) -> float:
    """Coordinated is what has half a pool among its owners: a stand-in for the tests, by the truth."""
    return 1e-9 if max(len(set(own.owners.tolist()) & set(pool)) for pool in (FIRST, SECOND)) >= 5 else 0.5


def peeled(suspects: list[Suspect]) -> tuple[list[Finding], list[Suspect]]:
    return peel(suspects, POPULATION, reassess, MAX_P, min_owners=5, min_members=3)


WRAPPER_ONE = suspect(0, FIRST, FIRST, 10, 1e-6, 1.0)
WRAPPER_TWO = suspect(1, SECOND, SECOND, 10, 1e-5, 0.8)
LINE_OF_ONE = suspect(2, [*FIRST, *CROWD], FIRST, 3, 1e-9, 0.1)
LINE_OF_BOTH = suspect(3, [*FIRST, *SECOND[2:], *CROWD], [*FIRST, *SECOND[2:]], 3, 1e-12, 0.1)


def test_lines_inside_the_prompts_of_campaigns_are_explained_by_them() -> None:
    findings, explained = peeled([LINE_OF_BOTH, LINE_OF_ONE, WRAPPER_TWO, WRAPPER_ONE])
    assert [f.templates.tolist() for f in findings] == [[0], [1]]
    assert {int(s.templates[0]) for s in explained} == {2, 3}


def test_two_campaigns_that_share_two_accounts_stay_two() -> None:
    findings, explained = peeled([WRAPPER_ONE, WRAPPER_TWO])
    assert [f.members.tolist() for f in findings] == [list(FIRST), list(SECOND)]
    assert explained == []


def test_a_line_stands_by_itself_where_its_wrapper_is_not_known() -> None:
    findings, _ = peeled([LINE_OF_ONE])
    assert [f.members.tolist() for f in findings] == [list(FIRST)]


def test_the_order_of_suspects_does_not_matter() -> None:
    suspects = [LINE_OF_BOTH, LINE_OF_ONE, WRAPPER_TWO, WRAPPER_ONE]
    one, other = peeled(suspects), peeled(suspects[::-1])
    assert [f.templates.tolist() for f in one[0]] == [f.templates.tolist() for f in other[0]]


def test_too_few_members_are_no_finding() -> None:
    findings, explained = peeled([suspect(0, FIRST, FIRST[:2], 10, 1e-6, 1.0)])
    assert findings == []
    assert len(explained) == 1


def test_clarity_is_the_share_of_members_whom_it_leads() -> None:
    assert LINE_OF_ONE.clarity == 10 / 40 * 0.1
    assert LINE_OF_ONE.members.tolist() == list(FIRST)


def test_a_wrapper_of_few_of_its_users_is_clearer_than_their_line_that_more_people_take() -> None:
    """A pool in a public template: of either few users are members, and the pool sends the template more often."""
    template = suspect(0, [*FIRST, *CROWD, *range(70, 90)], FIRST, 10, 1e-6, 1.0)
    line = suspect(1, [*FIRST, *CROWD], [*FIRST, *CROWD[:6]], 3, 1e-9, 0.3)
    findings, explained = peeled([line, template])
    assert ([f.members.tolist() for f in findings], len(explained)) == ([list(FIRST)], 1)


def test_three_members_are_a_finding_and_three_left_over_are_none() -> None:
    findings, _ = peeled([suspect(0, FIRST, FIRST[:3], 10, 1e-6, 1.0)])
    assert [f.members.tolist() for f in findings] == [sorted(FIRST[:3])]
    rest = suspect(1, [*FIRST, *SECOND], [*FIRST, *SECOND[:3]], 3, 1e-12, 0.1)
    findings, explained = peeled([WRAPPER_ONE, rest])
    assert ([f.templates.tolist() for f in findings], len(explained)) == ([[0]], 1)


def test_what_earlier_findings_explain_is_no_weaker_finding() -> None:
    findings, _ = peeled([WRAPPER_ONE])
    weaker, explained = peel([LINE_OF_ONE, WRAPPER_TWO], POPULATION, reassess, MAX_P, 5, 3, before=findings)
    assert [f.templates.tolist() for f in weaker] == [[1]]
    assert [s.templates.tolist() for s in explained] == [[2]]
