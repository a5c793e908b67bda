"""Who the users are: young accounts, one client, shared cards, shared networks, many networks for one account."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import count_tail, permutation_p
from refrain.coordination.distributions import binomial_upper, median
from refrain.coordination.results import IDENTITY, Candidate, Setting, TestResult, switched_off
from refrain.counting import Ints, find_sorted, group_starts, ranges
from refrain.population import Trait


def young(candidate: Candidate, setting: Setting) -> TestResult:
    """Were the users' accounts younger at their first request than those of matched owners?"""
    age = setting.population.age_days
    known = candidate.owners[~np.isnan(age[candidate.owners])]
    if not len(known):
        return switched_off(IDENTITY, "young", "the log does not say when accounts were created")
    p = permutation_p(setting.age, setting.strata, known)
    observed = median(age[known])
    expected = _expected_median(age, known, setting)
    return TestResult(
        IDENTITY, "young", observed, expected, p,
        f"half of the users' accounts were younger than {observed:.1f} days, of matched owners' {expected:.1f}",
    )  # fmt: skip


def _expected_median(values: NDArray[np.float64], owners: Ints, setting: Setting) -> float:
    """The median over matched owners, each stratum weighted as among `owners`; nan where that is not told."""
    if not setting.told:
        return float("nan")
    strata = setting.strata
    pool, weights = [], []
    for stratum, many in enumerate(np.bincount(strata.of_owner[owners], minlength=strata.count)):
        if many:
            members = strata.members[stratum]
            own = values[members][~np.isnan(values[members])]
            pool.append(own)
            weights.append(np.full(len(own), many / max(len(own), 1)))
    own, weight = np.concatenate(pool), np.concatenate(weights)
    order = np.argsort(own)
    return float(own[order][np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)])


def one_client(candidate: Candidate, setting: Setting) -> TestResult:
    """Do more users have one and the same client than owners of their strata have it?

    The smallest p-value over clients, each divided by the share of users expected to have it (weighted Bonferroni:
    Genovese, Roeder and Wasserman, Biometrika 2006): there are too many rare clients for equal weights, and a pair of
    users with one rare client is no rare event.
    """
    client = setting.population.client
    owners = candidate.owners[client[candidate.owners] >= 0]
    if not len(owners):
        return switched_off(IDENTITY, "client", "the log has no client (user agent)")
    strata = setting.strata
    clients, counts = np.unique(client[owners], return_counts=True)
    wanted = np.bincount(strata.of_owner[owners], minlength=strata.count)
    # Each stratum's share of the owners whose client is known, weighted as in the set.
    weight = wanted / np.maximum(setting.clients.sizes, 1) / len(owners)
    rates = np.bincount(setting.clients.codes, weight[setting.clients.strata])[clients]
    # A sum of unequal Bernoullis has a lighter tail than the binomial of their mean (Hoeffding, 1956).
    tails = binomial_upper(counts, len(owners), np.minimum(rates, 1)) / rates
    best = int(tails.argmin())
    p, count, expected = min(1.0, float(tails[best])), int(counts[best]), float(rates[best]) * len(owners)
    return TestResult(
        IDENTITY, "client", count / len(owners), expected / len(owners), p,
        f"{count} of {len(owners)} users have one client, {expected:.1f} of as many matched owners have it",
    )  # fmt: skip


def shared_cards(candidate: Candidate, setting: Setting, sets: Ints) -> TestResult:
    """Do the users share payment methods beyond what matched owners do?

    `sets` (draws, n) are control sets, as `controls.draw` gives them; so in all tests by draws.
    """
    reason = "the log has no payment method"
    return _shared(candidate, setting, sets, setting.population.card, "card", "payment methods", reason)


def shared_networks(candidate: Candidate, setting: Setting, sets: Ints) -> TestResult:
    """Do the users come from the same networks beyond what matched owners do?"""
    reason = "the log has no addresses"
    return _shared(candidate, setting, sets, setting.population.network, "network", "networks", reason)


def _shared(
    candidate: Candidate, setting: Setting, sets: Ints, trait: Trait, name: str, noun: str, reason: str
) -> TestResult:
    if not trait.present:
        return switched_off(IDENTITY, name, reason)
    if not setting.told and not _repeats_any(trait, candidate.owners):
        # Controls would tell what is expected, and decide nothing.
        return TestResult(IDENTITY, name, 0.0, float("nan"), 1.0, f"no two users share {noun}")
    observed = float(repeats(trait, candidate.owners[None, :])[0])
    drawn = repeats(trait, sets)
    # Two ways to share, many values a little or one value much, so each counts twice.
    p = min(1.0, 2 * min(count_tail(observed, drawn), concentrated_p(trait, candidate.owners, setting)))
    return TestResult(
        IDENTITY, name, observed, float(drawn.mean()), p,
        f"{observed / len(candidate.owners):.0%} of a user's {noun} repeat another user's on average, "
        f"of a matched owner's {drawn.mean() / len(candidate.owners):.1%}",
    )  # fmt: skip


def _repeats_any(trait: Trait, owners: Ints) -> bool:
    values = np.sort(trait.of_all(owners))
    return bool((values[1:] == values[:-1]).any())


def concentrated_p(trait: Trait, owners: Ints, setting: Setting) -> float:
    """P-value that so many of the owners have one and the same value: the smallest over all values, times the number of
    values that two owners of the population have (Bonferroni; no other value can be shared)."""
    strata = setting.strata
    values, counts = np.unique(trait.of_all(owners), return_counts=True)
    values, counts = values[counts > 1], counts[counts > 1]
    if not len(values):
        return 1.0
    # A set's chance of a value: each stratum's share of owners with it, weighted as in the set.
    weight = np.bincount(strata.of_owner[owners], minlength=strata.count) / strata.sizes / len(owners)
    holders, bounds = trait.holders
    many = trait.owners_of_values[values]
    holder = holders[np.repeat(bounds[values], many) + ranges(many)]
    rates = np.bincount(np.repeat(np.arange(len(values)), many), weight[strata.of_owner[holder]], len(values))
    # A sum of unequal Bernoullis has a lighter tail than the binomial of their mean (Hoeffding, 1956).
    tails = binomial_upper(counts, len(owners), np.minimum(rates, 1))
    return float(min(1.0, tails.min() * trait.common))


def repeats(trait: Trait, sets: Ints) -> NDArray[np.float64]:
    """(rows of `sets`,): over a set's owners, how often a value occurs that an owner before has: the sum of n - 1.

    An owner counts as one over all its values, so that two phones that wander over the same twenty networks are one
    coincidence, not twenty: a value that n owners have adds n - 1 times their mean weight.
    """
    many = (trait.bounds[sets + 1] - trait.bounds[sets]).ravel()
    row = np.repeat(np.repeat(np.arange(len(sets)), sets.shape[1]), many)
    at = np.repeat(trait.bounds[sets].ravel(), many) + ranges(many)
    keys = row * max(trait.count, 1) + trait.values[at]
    ordered = np.sort(keys)
    first = group_starts(ordered)
    owners = np.diff(np.append(first, len(ordered)))
    cells, owners = ordered[first[owners > 1]], owners[owners > 1]
    # Few values repeat, and only these are weighed.
    cell = find_sorted(keys, cells)
    weight = np.bincount(cell[cell >= 0], (1 / np.repeat(many, many))[cell >= 0], len(cells))
    return np.asarray(np.bincount(cells // max(trait.count, 1), weight * (owners - 1) / owners, len(sets)), float)


def many_networks(candidate: Candidate, setting: Setting) -> TestResult:
    """Do single accounts come from more networks for their number of requests than matched owners?"""
    trait = setting.population.network
    if not trait.present:
        return switched_off(IDENTITY, "addresses", "the log has no addresses")
    per_owner = setting.population.networks_per_request
    known = candidate.owners[~np.isnan(per_owner[candidate.owners])]
    if not len(known):
        return switched_off(IDENTITY, "addresses", "no user's addresses are known")
    p = permutation_p(setting.addresses, setting.strata, known)
    observed = median(per_owner[known])
    expected = _expected_median(per_owner, known, setting)
    return TestResult(
        IDENTITY, "addresses", observed, expected, p,
        f"a user's requests come from {observed:.2f} networks each (median), a matched owner's from {expected:.2f}",
    )  # fmt: skip


TESTS = (young, one_client, many_networks)
TESTS_BY_DRAWS = (shared_cards, shared_networks)
