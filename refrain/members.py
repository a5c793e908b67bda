"""Which users of a candidate are members: each account by its own evidence.

The users are a mixture of members and bystanders (somebody tried a wrapper once; a public template has honest users).
A bystander's traits follow the matched controls, a member's are learnt from the users themselves: two-component naive
Bayes, fitted by expectation maximisation (Dempster, Laird and Rubin, 1977) with the members' law shrunk towards the
controls'. The weight of evidence of each trait is a log-likelihood ratio (Good, "Weight of evidence", 1985), so that a
person can read why an account is in or out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TraitTable:
    """One trait of the users, in bins: `bins` (users,) with -1 for unknown, and the law of bystanders.

    `background` is (users, bins) where it differs by stratum, rows sum to 1. `sentence` says of a bin what it means.
    """

    name: str
    bins: Ints
    background: Floats
    sentence: str


@dataclass(frozen=True)
class MemberRule:
    """How members are told from bystanders."""

    prior: float  # share of members to begin with
    prior_users: float  # weight of that prior, in users
    shrink_users: float  # weight of the controls' law in the members' law, in users
    max_weight: float  # of one trait, in nats: no single trait decides alone
    rounds: int
    posterior: float  # from which a user is a member


@dataclass(frozen=True)
class Membership:
    """The posterior of each user, and the weight of evidence of each trait (users, traits), in nats."""

    posterior: Floats
    weights: Floats
    names: tuple[str, ...]


def decide_members(traits: list[TraitTable], first_guess: Floats, rule: MemberRule) -> Membership:
    """The membership of users, from their traits. `first_guess` (users,) are posteriors to start from."""
    users = len(first_guess)
    posterior = first_guess.astype(float)
    weights = np.zeros((users, len(traits)))
    for _ in range(rule.rounds):
        share = (posterior.sum() + rule.prior * rule.prior_users) / (users + rule.prior_users)
        for column, trait in enumerate(traits):
            weights[:, column] = _weight_of_evidence(trait, posterior, rule)
        odds = np.log(share) - np.log1p(-share) + weights.sum(axis=1)
        updated = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
        if np.abs(updated - posterior).max(initial=0) < np.finfo(np.float32).eps:
            break
        posterior = updated
    return Membership(posterior, weights, tuple(t.name for t in traits))


def _weight_of_evidence(trait: TraitTable, posterior: Floats, rule: MemberRule) -> Floats:
    """(users,) log-likelihood ratio of each user's bin, member against bystander; 0 where unknown."""
    known = trait.bins >= 0
    if not known.any():
        return np.zeros(len(posterior))
    bins, background = trait.bins[known], trait.background[known]
    mean_background = background.mean(axis=0)
    seen = np.bincount(bins, posterior[known], background.shape[1])
    law = (seen + rule.shrink_users * mean_background) / (posterior[known].sum() + rule.shrink_users)
    own = background[np.arange(len(bins)), bins]
    ratio = np.log(np.maximum(law[bins], np.finfo(float).tiny)) - np.log(np.maximum(own, np.finfo(float).tiny))
    out = np.zeros(len(posterior))
    out[known] = np.clip(ratio, -rule.max_weight, rule.max_weight)
    return out
