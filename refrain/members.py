"""Which users of a candidate are members: each account by its own evidence.

The users are a mixture of three: bystanders who tried it (they use it, and are, as matched controls do and are),
honest regulars (they use it as the members do, and are as controls are; a public template has them), and members (use
and being learnt from the users themselves). It is naive Bayes fitted by expectation maximisation (Dempster, Laird and
Rubin, 1977), the learnt laws shrunk towards the controls'. Honest regulars are assumed only where the likelihood asks
for them: where young age, one network and odd hours fall together on some of the users and not on the others. The
weight of evidence of each trait is a log-likelihood ratio (Good, "Weight of evidence", 1985), so that a person can read
why an account is in or out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints

Floats = NDArray[np.float64]
BYSTANDER, REGULAR, MEMBER = range(3)
_TINY = np.finfo(float).tiny


@dataclass(frozen=True)
class TraitTable:
    """One trait of the users, in bins: `bins` (users,) with -1 for unknown, and the law of controls.

    `background` is (users, bins), rows sum to 1. `of_use` says whether the trait is how it is used, rather than who
    uses it and when.
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
    regulars_gain: float  # nats of likelihood that honest regulars must gain to be assumed


@dataclass(frozen=True)
class Membership:
    """The posterior of being a member of each user, and the weight of evidence of each trait in nats."""

    posterior: Floats
    weights: Floats  # (users, traits)
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Fit:
    posteriors: Floats  # (users, 3)
    weights: Floats
    likelihood: float


def decide_members(traits: Sequence[TraitTable], users: int, rule: MemberRule) -> Membership:
    """The membership of `users` users, from their traits."""
    of_use = np.array([t.of_use for t in traits], bool)
    prior = np.array(rule.prior)
    alone = np.array([prior[BYSTANDER], 0, prior[MEMBER]])
    without = _fit(traits, of_use, alone, np.tile(alone / alone.sum(), (users, 1)), rule)
    if of_use.all():  # regulars differ from members in who they are and when they send, and nothing tells of that
        return Membership(without.posteriors[:, MEMBER], without.weights, tuple(t.name for t in traits))
    fits = [_fit(traits, of_use, prior, start, rule) for start in _starts(without, of_use, prior, rule)]
    fitted = max(fits, key=lambda fit: fit.likelihood)
    best = fitted if fitted.likelihood - without.likelihood >= rule.regulars_gain else without
    return Membership(best.posteriors[:, MEMBER], best.weights, tuple(t.name for t in traits))


def _starts(fit: _Fit, of_use: NDArray[np.bool_], prior: Floats, rule: MemberRule) -> list[Floats]:
    """Where to start from with three kinds, as the climb ends at the nearest top: everybody alike, and each of some
    parts of the users, those most unlike controls, as the members."""
    users = len(fit.posteriors)
    being = fit.weights[:, ~of_use].sum(axis=1)
    order = np.argsort(-being, kind="stable")
    starts = [np.tile(prior / prior.sum(), (users, 1))]
    for part in rule.start_parts:
        start = fit.posteriors.copy()
        regular = order[max(1, round(part * users)) :]
        start[regular, REGULAR], start[regular, MEMBER] = start[regular, MEMBER], 0
        starts.append(start)
    return starts


def _fit(
    traits: Sequence[TraitTable], of_use: NDArray[np.bool_], prior: Floats, posteriors: Floats, rule: MemberRule
) -> _Fit:
    users = len(posteriors)
    weights = np.zeros((users, len(traits)))
    prepared = [_Prepared.of(trait) for trait in traits]
    likelihood = 0.0
    for _ in range(rule.rounds):
        share = (posteriors.sum(axis=0) + prior) / (users + prior.sum())
        for column, trait in enumerate(prepared):
            part = 1 - posteriors[:, BYSTANDER] if trait.of_use else posteriors[:, MEMBER]
            weights[:, column] = _weight_of_evidence(trait, part, rule)
        use, being = weights[:, of_use].sum(axis=1), weights[:, ~of_use].sum(axis=1)
        with np.errstate(divide="ignore"):
            logs = np.log(share) + np.stack([np.zeros(users), use, use + being], axis=1)
        most = logs.max(axis=1)
        updated = np.exp(logs - most[:, None])
        sums = updated.sum(axis=1)
        updated /= sums[:, None]
        total = most + np.log(sums)
        likelihood = float(total.sum())
        if np.abs(updated - posteriors).max(initial=0) < np.finfo(np.float32).eps:
            break
        posteriors = updated
    return _Fit(posteriors, weights, likelihood)


@dataclass(frozen=True)
class _Prepared:
    """A trait as every round needs it: the known users, their bins, the mean law of controls, each one's own log."""

    of_use: bool
    known: NDArray[np.bool_]
    bins: Ints
    background: Floats
    own_log: Floats

    @classmethod
    def of(cls, trait: TraitTable) -> _Prepared:
        known = trait.bins >= 0
        bins, background = trait.bins[known], trait.background[known]
        own = background[np.arange(len(bins)), bins]
        mean = background.mean(axis=0) if len(bins) else np.zeros(background.shape[1])
        return cls(trait.of_use, known, bins, mean, np.log(np.maximum(own, _TINY)))


def _weight_of_evidence(trait: _Prepared, part: Floats, rule: MemberRule) -> Floats:
    """(users,) log-likelihood ratio of each user's bin, learnt law against controls; 0 where unknown."""
    out = np.zeros(len(part))
    if not len(trait.bins):
        return out
    weight = part[trait.known]
    seen = np.bincount(trait.bins, weight, len(trait.background))
    law = (seen + rule.shrink_users * trait.background) / (weight.sum() + rule.shrink_users)
    ratio = np.log(np.maximum(law, _TINY))[trait.bins] - trait.own_log
    out[trait.known] = np.minimum(np.maximum(ratio, -rule.max_weight), rule.max_weight)
    return out
