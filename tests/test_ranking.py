"""What findings are ranked by: evidence first, then content, then quantity."""

import numpy as np
from populations import people, population_of

from refrain.assessment import Assessment
from refrain.coordination.results import candidate
from refrain.members import Membership
from refrain.peeling import Suspect
from refrain.scored_campaigns import ScoredCampaign, ranking

POPULATION = population_of(*people(0, owners=40, requests=6), 40)


def scored(
    template: int, p: float, *, alert: bool = False, nearness: float = 0.0, owners: int = 6, use: float = 1e-9
) -> ScoredCampaign:
    """One of which use speaks, explained where nothing else does."""
    own = candidate(np.concatenate([POPULATION.requests_of(o) for o in range(owners)]), POPULATION)
    membership = Membership(np.ones(owners), np.zeros((owners, 0)), ())
    left = {"identity": p, "use": use} if p < 0.5 else {"identity": p}
    assessment = Assessment({}, [], {"identity": p, "use": use}, left, p, p, p)
    suspect = Suspect(np.array([template]), own, assessment, p, membership, 0.5, np.ones(owners, bool))
    return ScoredCampaign(suspect, suspect.templates, own.owners, alert, nearness)


def order(*campaigns: ScoredCampaign) -> list[int]:
    return [int(c.templates[0]) for c in ranking(campaigns)]


def test_an_alert_comes_first_and_then_the_evidence() -> None:
    assert order(scored(0, 1e-3), scored(1, 1e-2, alert=True), scored(2, 1e-6)) == [1, 2, 0]


def test_what_no_family_but_one_speaks_of_is_ordered_by_its_content() -> None:
    """A p-value of .6 is no more evidence than one of 1."""
    assert order(scored(0, 0.6, nearness=0.4), scored(1, 1.0, nearness=0.7), scored(2, 0.4)) == [2, 1, 0]


def test_content_moves_nothing_that_has_evidence() -> None:
    assert order(scored(0, 1e-3, nearness=0.1), scored(1, 1.1e-3, nearness=0.9)) == [0, 1]
    assert scored(0, 1e-3, nearness=0.1).score == scored(0, 1e-3, nearness=0.9).score


def test_where_content_is_alike_what_was_explained_and_then_quantity_decide() -> None:
    assert order(scored(0, 1.0, use=1e-3), scored(1, 1.0, use=1e-9)) == [1, 0]
    assert order(scored(0, 1.0), scored(1, 1.0, owners=12)) == [1, 0]
