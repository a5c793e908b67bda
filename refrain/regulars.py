"""Who of the users of many candidates uses it as members do, told by use alone."""

from __future__ import annotations

from dataclasses import dataclass

from refrain.coordination.results import Candidates, Setting
from refrain.coordination.use import UseReference
from refrain.members import MemberRule, decide_members
from refrain.traits import use_traits


@dataclass(frozen=True)
class RegularRule:
    """Who is regular: from which posterior on, and how many at least for the others to be left out."""

    member: MemberRule
    posterior: float
    min_members: int


def regular_users(candidates: Candidates, setting: Setting, reference: UseReference, rule: RegularRule) -> Candidates:
    """The candidates, each without those who only tried it, told by how they use it; whole where too few are left.

    Who they are and when they send is not looked at, so under the null of the tests of both it is still a fair choice;
    a bystander who tried a wrapper once would dilute them.
    """
    traits = use_traits(candidates, setting, reference)
    regular = decide_members(traits, candidates.bounds, rule.member).posterior >= rule.posterior
    whole = candidates.sums(regular) < rule.min_members
    return candidates.users_where(regular | whole[candidates.group])
