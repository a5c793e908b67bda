"""Which users of a candidate are members: each account by its own evidence.

The users are a mixture of three: bystanders who tried it (they use it, and are, as matched controls do and are),
honest regulars (they use it as the members do, and are as controls are; a public template has them), and members (use
and being learnt from the users themselves). It is naive Bayes fitted by expectation maximisation (Dempster, Laird and
Rubin, 1977), the learnt laws shrunk towards the controls'. Where all of the users are alike in who they are and when
they send, nothing tells regulars from members, and they are members by the prior; where young age, one network and odd
hours fall together on some of them, the others are regulars. The weight of evidence of each trait is a log-likelihood
ratio (Good, "Weight of evidence", 1985), so that a person can read why an account is in or out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, ranges

Floats = NDArray[np.float64]
BYSTANDER, REGULAR, MEMBER = range(3)
_TINY = np.finfo(float).tiny
_ROUNDS_BETWEEN = 8  # rounds after which climbs that have converged are left out: speed, no result


@dataclass(frozen=True)
class TraitTable:
    """One trait of the users, in bins: `bins` (users,) with -1 for unknown, and the law of controls.

    `background` is (users, bins), rows sum to 1 where the bin is known. `of_use` says whether the trait is how it is
    used, rather than who uses it and when.
    """

    name: str
    bins: Ints
    background: Floats
    of_use: bool


@dataclass(frozen=True)
class MemberRule:
    """How members are told from the others."""

    prior: tuple[float, float, float]  # users of each kind to begin with, as pseudo-counts
    shrink_users: float  # weight of the controls' law in a learnt law, in users
    max_weight: float  # of one trait, in nats: no single trait decides alone
    rounds: int
    start_parts: tuple[float, ...]  # of the users, that a climb takes for members to begin with


@dataclass(frozen=True)
class Membership:
    """The posterior of being a member of each user, and the weight of evidence of each trait in nats."""

    posterior: Floats
    weights: Floats  # (users, traits)
    names: tuple[str, ...]


@dataclass(frozen=True)
class Memberships:
    """Those of several candidates, whose users are the runs bounds[i]:bounds[i + 1].

    `known` (candidates, traits) says which traits are known of any user of a candidate.
    """

    posterior: Floats  # (users,)
    weights: Floats  # (users, traits)
    names: tuple[str, ...]
    known: NDArray[np.bool_]
    bounds: Ints

    def one(self, place: int) -> Membership:
        """That of one candidate, with the traits that are known of its users."""
        users, known = slice(int(self.bounds[place]), int(self.bounds[place + 1])), self.known[place]
        names = tuple(name for name, any_known in zip(self.names, known.tolist(), strict=True) if any_known)
        return Membership(self.posterior[users], self.weights[users][:, known], names)


def decide_members(traits: Sequence[TraitTable], bounds: Ints, rule: MemberRule) -> Memberships:
    """The memberships of the users bounds[i]:bounds[i + 1] of each candidate, from their traits.

    Candidates are many and their users few, so that one after the other it is mostly overhead; what stands beside a
    candidate changes no bit of its membership. Every candidate has users.
    """
    evidence = _Evidence.of(traits, bounds)
    of_use = np.array([t.of_use for t in traits], bool)
    alone = np.array([rule.prior[BYSTANDER], rule.prior[MEMBER]])
    fit = _fit(evidence, alone, np.repeat(alone[:, None] / alone.sum(), bounds[-1], axis=1), rule)
    posterior, weights, known = fit.posteriors[-1], fit.weights, evidence.known
    # Honest regulars differ from members in who they are and when they send: where nothing of that is known, nothing
    # tells of them.
    told = np.flatnonzero(known[:, ~of_use].any(axis=1))
    if len(told):
        starts = _starts(evidence, fit, of_use, rule)
        users = _runs(evidence.users, told)
        climbs = evidence.only(np.tile(told, len(starts)))
        split = _fit(climbs, np.array(rule.prior), np.concatenate([s[:, users] for s in starts], axis=1), rule)
        best = split.likelihood.reshape(len(starts), -1).argmax(axis=0) * len(told) + np.arange(len(told))
        chosen = _runs(climbs.users, best)
        posterior[users], weights[users] = split.posteriors[-1][chosen], split.weights[chosen]
    return Memberships(posterior, weights, tuple(t.name for t in traits), known, bounds)


@dataclass(frozen=True)
class _Fit:
    """`posteriors` (2 or 3, users) has no row for honest regulars where nothing can tell of them."""

    posteriors: Floats
    weights: Floats  # (users, traits)
    likelihood: Floats  # (climbs,)


def _starts(evidence: _Evidence, fit: _Fit, of_use: NDArray[np.bool_], rule: MemberRule) -> list[Floats]:
    """Where to start from with three kinds, as the climb ends at the nearest top: everybody alike, and each of some
    parts of the users, those most unlike controls, as the members."""
    prior = np.array(rule.prior)
    place = np.empty(len(evidence.group), np.int64)
    being = np.zeros(len(place))
    for column in np.flatnonzero(~of_use).tolist():
        being += fit.weights[:, column]
    place[np.lexsort((-being, evidence.group))] = ranges(evidence.users)
    bystander, member = fit.posteriors
    starts = [np.repeat(prior[:, None] / prior.sum(), len(place), axis=1)]
    for part in rule.start_parts:
        first = place < np.maximum(1, np.round(part * evidence.users))[evidence.group]
        starts.append(np.stack([bystander, np.where(first, 0, member), np.where(first, member, 0)]))
    return starts


def _fit(evidence: _Evidence, prior: Floats, start: Floats, rule: MemberRule) -> _Fit:
    """Where each climb ends from its start (kinds, users): each stops by itself, at the posteriors that change no
    more."""
    ended = start.copy()
    rows, climbs, now = np.arange(start.shape[1]), evidence, start
    for number in range(1, rule.rounds):
        updated = climbs.step(now, prior, rule).posteriors
        moving = ~climbs.settled(now, updated)
        if moving.all():
            now = updated
        elif not moving.any():
            break
        else:
            # What has settled stays as it is: the next round finds it settled again.
            now = np.where(moving[climbs.group], updated, now)
            if number % _ROUNDS_BETWEEN == 0:
                ended[:, rows] = now
                users, climbs = moving[climbs.group], climbs.only(np.flatnonzero(moving))
                rows, now = rows[users], now[:, users]
    ended[:, rows] = now
    last = evidence.step(ended, prior, rule)
    settled = evidence.settled(ended, last.posteriors)[evidence.group]
    return _Fit(np.where(settled, ended, last.posteriors), evidence.by_trait(last.ratio), evidence.likelihood(last))


@dataclass(frozen=True)
class _Step:
    posteriors: Floats  # (kinds, users)
    ratio: Floats  # (entries,)
    most: Floats  # (users,) of the kinds' log-likelihoods, with their shares
    sums: Floats  # (users,) of the kinds' likelihoods, as parts of the largest


@dataclass(frozen=True)
class _Evidence:
    """What is known of the users of several climbs, climb after climb.

    An entry is one trait of one user: `user` and `cell` are places among those of the climb, `own_log` is the log of
    the bin's share in the user's own law. A cell is a bin of a trait that any user of the climb is in, and `background`
    its share in the mean law of the users.
    """

    users: Ints  # (climbs,)
    entries: Ints  # (climbs,)
    cells: Ints  # (climbs,)
    user: Ints  # (entries,)
    cell: Ints  # (entries,)
    own_log: Floats  # (entries,)
    trait: Ints  # (cells,)
    background: Floats  # (cells,)
    of_use: NDArray[np.bool_]  # (traits,)

    @classmethod
    def of(cls, traits: Sequence[TraitTable], bounds: Ints) -> _Evidence:
        """That of the users bounds[i]:bounds[i + 1] of each candidate."""
        count = len(bounds) - 1
        group = np.repeat(np.arange(count), np.diff(bounds))
        parts, before = [], 0
        for number, trait in enumerate(traits):
            user = np.flatnonzero(trait.bins >= 0)
            of, bins = group[user], trait.bins[user]
            some = np.flatnonzero(np.bincount(bins))  # of thousands of clients, users have a few
            sums = np.array([np.bincount(of, trait.background[user, each], count) for each in some])
            bin_of = np.searchsorted(some, bins) * count + of
            found = np.flatnonzero(np.bincount(bin_of))
            background = sums.ravel()[found] / np.bincount(of, minlength=count)[found % count]
            own_log = np.log(np.maximum(trait.background[user, bins], _TINY))
            cell = before + np.searchsorted(found, bin_of)
            before += len(found)
            parts.append((user, cell, own_log, found % count, np.full(len(found), number), background))
        user, cell, own_log, cell_group, number_of, background = (np.concatenate(p) for p in zip(*parts, strict=True))
        by_group = np.argsort(group[user], kind="stable")
        cells_by_group = np.argsort(cell_group, kind="stable")
        entries = np.bincount(group[user], minlength=count)
        cells = np.bincount(cell_group, minlength=count)
        place = np.empty(len(cell_group), np.int64)
        place[cells_by_group] = ranges(cells)
        return cls(
            np.diff(bounds), entries, cells, (user - bounds[group[user]])[by_group], place[cell[by_group]],
            own_log[by_group], number_of[cells_by_group], background[cells_by_group],
            np.array([t.of_use for t in traits], bool),
        )  # fmt: skip

    def only(self, climbs: Ints) -> _Evidence:
        """That of some of the climbs, of any as often as it is named."""
        entries, cells = _runs(self.entries, climbs), _runs(self.cells, climbs)
        return _Evidence(
            self.users[climbs], self.entries[climbs], self.cells[climbs], self.user[entries], self.cell[entries],
            self.own_log[entries], self.trait[cells], self.background[cells], self.of_use,
        )  # fmt: skip

    @cached_property
    def group(self) -> Ints:
        """(users,) the climb of each user."""
        return np.repeat(np.arange(len(self.users)), self.users)

    @cached_property
    def law(self) -> Ints:
        """(cells,) the law that each is of: a trait of a climb."""
        return np.repeat(np.arange(len(self.users)), self.cells) * len(self.of_use) + self.trait

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """(climbs, traits) which traits are known of any user of a climb."""
        out = np.bincount(self.law, minlength=len(self.users) * len(self.of_use)) > 0
        return np.asarray(out.reshape(len(self.users), len(self.of_use)))

    @cached_property
    def at_user(self) -> Ints:
        """(entries,) the user of each, among all."""
        return np.repeat(np.cumsum(self.users) - self.users, self.entries) + self.user

    @cached_property
    def at_cell(self) -> Ints:
        """(entries,) the cell of each, among all."""
        return np.repeat(np.cumsum(self.cells) - self.cells, self.entries) + self.cell

    @cached_property
    def part(self) -> Ints:
        """(entries,) the user of each, for a trait of use, and beyond all users for one of being."""
        return self.at_user + np.where(self.of_use[self.trait[self.at_cell]], 0, len(self.group))

    def by_trait(self, ratio: Floats) -> Floats:
        """(users, traits) the weight of evidence of each, 0 where unknown."""
        out = np.zeros((len(self.group), len(self.of_use)))
        out[self.at_user, self.trait[self.at_cell]] = ratio
        return out

    def settled(self, before: Floats, after: Floats) -> NDArray[np.bool_]:
        """(climbs,) whether a step changed no posterior."""
        change = np.abs(after - before).max(axis=0)
        starts = np.cumsum(self.users) - self.users
        return np.asarray(np.maximum.reduceat(change, starts) < np.finfo(np.float32).eps)

    def step(self, posteriors: Floats, prior: Floats, rule: MemberRule) -> _Step:
        """One more round of expectation maximisation.

        All sums go user by user, so that the climbs beside one change no bit of it.
        """
        climbs, users = len(self.users), len(self.group)
        # By use, honest regulars are as members are; by being, as bystanders.
        like_members = np.concatenate([1 - posteriors[BYSTANDER], posteriors[-1]])
        seen = np.bincount(self.at_cell, like_members[self.part], len(self.law))
        weight = np.bincount(self.law, seen, climbs * len(self.of_use))[self.law]
        law = (seen + rule.shrink_users * self.background) / (weight + rule.shrink_users)
        ratio = np.log(np.maximum(law, _TINY))[self.at_cell] - self.own_log
        ratio = np.minimum(np.maximum(ratio, -rule.max_weight), rule.max_weight)
        use, being = np.bincount(self.part, ratio, 2 * users).reshape(2, users)
        ratios = [np.zeros(users), use, use + being]
        if len(prior) == len(ratios) - 1:
            del ratios[REGULAR]
        shares = np.stack([np.bincount(self.group, kind, climbs) for kind in posteriors]) + prior[:, None]
        shares /= self.users + prior.sum()
        updated = np.take(np.log(np.maximum(shares, _TINY)), self.group, axis=1)
        updated += np.stack(ratios)
        most = updated.max(axis=0)
        updated -= most
        np.exp(updated, out=updated)
        sums = updated.sum(axis=0)
        updated /= sums
        return _Step(updated, ratio, most, sums)

    def likelihood(self, step: _Step) -> Floats:
        """(climbs,) the log-likelihood before a step."""
        return np.asarray(np.bincount(self.group, step.most + np.log(step.sums), len(self.users)), float)


def _runs(many: Ints, places: Ints) -> Ints:
    """The items of some groups, one after the other, where group i has so many[i] items."""
    return np.repeat((np.cumsum(many) - many)[places], many[places]) + ranges(many[places])
