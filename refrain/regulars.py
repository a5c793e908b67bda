"""Who of the users of many candidates uses it as members do, told by use alone.

It is `members.decide_members` by the traits of use, for many candidates side by side: candidates are many and their
users few, so that one after the other the climb is mostly overhead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.results import Candidates, Setting
from refrain.coordination.use import UseReference
from refrain.counting import Ints, ranges
from refrain.members import BYSTANDER, MEMBER, MemberRule, TraitTable
from refrain.traits import use_traits

Floats = NDArray[np.float64]
_TINY = np.finfo(float).tiny
_ROUNDS_BETWEEN = 8  # rounds after which candidates that have converged are left out: speed, no result


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
    regular = members_by_use(traits, candidates.bounds, rule.member) >= rule.posterior
    whole = candidates.sums(regular) < rule.min_members
    return candidates.users_where(regular | whole[candidates.group])


def members_by_use(traits: Sequence[TraitTable], bounds: Ints, rule: MemberRule) -> Floats:
    """(users,) the posterior of being a member, as `decide_members` has it of the users bounds[i]:bounds[i + 1] of each
    candidate; to the last digits, as sums over users go in another order. All traits are of use and known, and every
    candidate has users."""
    share = rule.prior[MEMBER] / (rule.prior[BYSTANDER] + rule.prior[MEMBER])
    out = np.full(int(bounds[-1]), share)
    climb = _Climb.of(traits, bounds)
    posterior, done = out, np.zeros(len(bounds) - 1, bool)
    for number in range(rule.rounds):
        updated = climb.step(posterior, rule)
        change = np.maximum.reduceat(np.abs(updated - posterior), climb.bounds[:-1])
        still = ~done & (change < np.finfo(np.float32).eps)
        done |= still
        ended = still[climb.group]
        out[climb.rows[ended]] = posterior[ended]
        posterior = updated
        if done.all():
            return out
        if number % _ROUNDS_BETWEEN == _ROUNDS_BETWEEN - 1:
            left = ~done[climb.group]
            climb, posterior, done = climb.only(~done), posterior[left], done[~done]
    left = ~done[climb.group]
    out[climb.rows[left]] = posterior[left]
    return out


@dataclass(frozen=True)
class _Trait:
    """A trait of the users of several candidates: bins, the log of each one's own law there, and of each candidate the
    mean law of its users, (candidates, bins)."""

    bins: Ints
    own_log: Floats
    background: Floats


@dataclass(frozen=True)
class _Climb:
    """Users of several candidates, in the runs bounds[i]:bounds[i + 1], and their rows in the result."""

    rows: Ints
    group: Ints
    bounds: Ints
    traits: tuple[_Trait, ...]

    @classmethod
    def of(cls, traits: Sequence[TraitTable], bounds: Ints) -> _Climb:
        many = np.diff(bounds)
        rows = np.arange(int(bounds[-1]))
        tables = []
        for trait in traits:
            own = trait.background[rows, trait.bins]
            mean = np.add.reduceat(trait.background, bounds[:-1], axis=0) / many[:, None]
            tables.append(_Trait(trait.bins, np.log(np.maximum(own, _TINY)), mean))
        return cls(rows, np.repeat(np.arange(len(many)), many), bounds, tuple(tables))

    def only(self, chosen: NDArray[np.bool_]) -> _Climb:
        """Some of the candidates."""
        many = np.diff(self.bounds)[chosen]
        at = np.repeat(self.bounds[:-1][chosen], many) + ranges(many)
        traits = tuple(_Trait(t.bins[at], t.own_log[at], t.background[chosen]) for t in self.traits)
        group = np.repeat(np.arange(len(many)), many)
        return _Climb(self.rows[at], group, np.concatenate([[0], np.cumsum(many)]), traits)

    def step(self, posterior: Floats, rule: MemberRule) -> Floats:
        """The posteriors after one more round of expectation maximisation."""
        many = np.diff(self.bounds)
        weight = np.add.reduceat(posterior, self.bounds[:-1])
        odds = (weight + rule.prior[MEMBER]) / (many - weight + rule.prior[BYSTANDER])
        logs = np.log(odds)[self.group]
        for trait in self.traits:
            width = trait.background.shape[1]
            cells = self.group * width + trait.bins
            seen = np.bincount(cells, posterior, trait.background.size).reshape(trait.background.shape)
            law = (seen + rule.shrink_users * trait.background) / (weight + rule.shrink_users)[:, None]
            ratio = np.log(np.maximum(law, _TINY)).ravel()[cells] - trait.own_log
            logs += np.minimum(np.maximum(ratio, -rule.max_weight), rule.max_weight)
        return np.asarray(1 / (1 + np.exp(-logs)))
