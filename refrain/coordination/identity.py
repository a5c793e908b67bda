"""Who the users are: young accounts, one client, shared cards, shared networks, many networks or autonomous systems for
one account.

That users share a system is no test: people of one country and language have a few providers, and strata know no
country.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import Ranks, count_tail, permutation_p
from refrain.coordination.distributions import binomial_upper, median
from refrain.coordination.holdings import Holdings
from refrain.coordination.results import (
    IDENTITY,
    Candidates,
    Setting,
    TestResult,
    TestResults,
    all_off,
    switched_off,
)
from refrain.coordination.tails import biased
from refrain.counting import Ints, portions
from refrain.population import Trait

Floats = NDArray[np.float64]
_TOGETHER = 1 << 16  # owners of control sets whose values are sorted at once: bounds the memory, changes no count


def young(candidates: Candidates, setting: Setting) -> TestResults:
    """Were the users' accounts younger at their first request than those of matched owners?"""
    age = setting.population.age_days
    p_values = _ranked(setting.age, candidates, setting)

    def read(place: int) -> TestResult:
        if np.isnan(p_values[place]):
            return switched_off(IDENTITY, "young", "the log does not say when accounts were created")
        observed, expected = _medians(age, candidates.one(place).owners, setting)
        return TestResult(
            IDENTITY, "young", observed, expected, float(p_values[place]),
            f"half of the users' accounts were younger than {observed:.1f} days, of matched owners' {expected:.1f}",
        )  # fmt: skip

    return TestResults(IDENTITY, "young", p_values, read)


def _ranked(ranks: Ranks, candidates: Candidates, setting: Setting) -> Floats:
    """(candidates,) p-values of the users' ranks, NaN where none is known."""
    p = permutation_p(ranks, setting.strata, candidates.owners, candidates.group, len(candidates))
    return np.where(candidates.sums(~np.isnan(ranks.scores[candidates.owners])) > 0, p, np.nan)


def _medians(values: Floats, owners: Ints, setting: Setting) -> tuple[float, float]:
    """The median of known values over owners, and over matched owners, each stratum weighted as among the former."""
    strata = setting.strata
    owners = owners[~np.isnan(values[owners])]
    pool, weights = [], []
    for stratum, many in enumerate(np.bincount(strata.of_owner[owners], minlength=strata.count)):
        if many:
            members = strata.members[stratum]
            own = values[members][~np.isnan(values[members])]
            pool.append(own)
            weights.append(np.full(len(own), many / max(len(own), 1)))
    matched, weight = np.concatenate(pool), np.concatenate(weights)
    order = np.argsort(matched)
    middle = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
    return median(values[owners]), float(matched[order][middle])


def one_client(candidates: Candidates, setting: Setting) -> TestResults:
    """Do more users have one and the same client than owners of their strata have it?

    The smallest p-value over clients, each divided by the share of users expected to have it (weighted Bonferroni:
    Genovese, Roeder and Wasserman, Biometrika 2006): there are too many rare clients for equal weights, and a pair of
    users with one rare client is no rare event.
    """
    strata, client = setting.strata, setting.population.client
    known = client[candidates.owners] >= 0
    owners, group = candidates.owners[known], candidates.group[known]
    trials = np.bincount(group, minlength=len(candidates))
    parts = strata.counted(owners, group, len(candidates)) / np.maximum(trials, 1)[:, None]
    # A client of one user is left out: one user or more have it at least as likely as each of them has.
    repeated = setting.clients.repeated(group, owners)
    rates = setting.clients.rates(repeated.value, repeated.row, parts)
    rates = biased(np.minimum(rates, 1), setting.bias)
    p_values = np.where(trials > 0, 1.0, np.nan)
    np.minimum.at(p_values, repeated.row, _client_tails(repeated.owners, trials[repeated.row], rates))

    def read(place: int) -> TestResult:
        if np.isnan(p_values[place]):
            return switched_off(IDENTITY, "client", "the log has no client (user agent)")
        own = owners[group == place]
        everybody = np.flatnonzero(client >= 0)
        sizes = np.bincount(strata.of_owner[everybody], minlength=strata.count)
        weight = np.bincount(strata.of_owner[own], minlength=strata.count) / np.maximum(sizes, 1) / len(own)
        clients, counts = np.unique(client[own], return_counts=True)
        rates = np.bincount(client[everybody], weight[strata.of_owner[everybody]])[clients]
        likely = biased(np.minimum(rates, 1), setting.bias)
        best = int(_client_tails(counts, np.full(len(counts), len(own)), likely).argmin())
        count, rate = int(counts[best]), float(rates[best])
        return TestResult(
            IDENTITY, "client", count / len(own), rate, float(p_values[place]),
            f"{count} of {len(own)} users have one client, {rate * len(own):.1f} of as many matched owners have it",
        )  # fmt: skip

    return TestResults(IDENTITY, "client", p_values, read)


def _client_tails(counts: Ints, trials: Ints, rates: Floats) -> Floats:
    """The p-value of each client, weighted by its rate."""
    # A sum of unequal Bernoullis has a lighter tail than the binomial of their mean (Hoeffding, 1956).
    return binomial_upper(counts, trials, rates) / rates


def shared_cards(candidates: Candidates, setting: Setting, sets: Ints) -> TestResults:
    """Do the users share payment methods beyond what matched owners do?

    `sets` (draws, users) are control sets, as `drawing.draw` gives them; so in all tests by draws.
    """
    if not setting.population.card.present:
        return all_off(IDENTITY, "card", "the log has no payment method", len(candidates))
    return _shared(candidates, setting, sets, setting.cards, "card", "payment methods")


def shared_networks(candidates: Candidates, setting: Setting, sets: Ints) -> TestResults:
    """Do the users come from the same networks beyond what matched owners do?"""
    if not setting.population.network.present:
        return all_off(IDENTITY, "network", "the log has no addresses", len(candidates))
    return _shared(candidates, setting, sets, setting.networks, "network", "networks")


def _shared(
    candidates: Candidates, setting: Setting, sets: Ints, holdings: Holdings, name: str, noun: str
) -> TestResults:
    observed = repeats(holdings, candidates.group, candidates.owners, len(candidates))
    # Where no value repeats, controls would tell what is expected, and decide nothing.
    some = np.flatnonzero(observed > 0)
    drawn = _drawn_repeats(holdings, candidates, sets, some)
    # Two ways to share, many values a little or one value much, so each counts twice.
    either = np.minimum(count_tail(observed[some], drawn), concentrated_p(holdings, candidates, setting)[some])
    p_values = np.ones(len(candidates))
    p_values[some] = np.minimum(1.0, 2 * either)

    def read(place: int) -> TestResult:
        expected = float(_drawn_repeats(holdings, candidates, sets, np.array([place])).mean())
        users, seen = int(candidates.sizes[place]), float(observed[place])
        return TestResult(
            IDENTITY, name, seen, expected, float(p_values[place]),
            f"{seen / users:.0%} of a user's {noun} repeat another user's on average, "
            f"of a matched owner's {expected / users:.1%}",
        )  # fmt: skip

    return TestResults(IDENTITY, name, p_values, read)


def _drawn_repeats(holdings: Holdings, candidates: Candidates, sets: Ints, places: Ints) -> Floats:
    """(places, draws) what repeats in the control sets of some candidates."""
    draws, many = len(sets), len(places)
    group = np.full(len(candidates), -1)
    group[places] = np.arange(many)
    users = np.flatnonzero(group[candidates.group] >= 0)
    group = group[candidates.group[users]]
    out = np.empty((many, draws))
    for part in portions(np.full(draws, len(users)), _TOGETHER):
        own = sets[part][:, users]
        row = np.arange(len(own))[:, None] * many + group
        out[:, part] = repeats(holdings, row.ravel(), own.ravel(), len(own) * many).reshape(len(own), many).T
    return out


def concentrated_p(holdings: Holdings, candidates: Candidates, setting: Setting) -> Floats:
    """(candidates,) p-values that so many of the users have one and the same value: the smallest over all values, times
    the number of values that two owners of the population have (Bonferroni; no other value can be shared)."""
    sizes, group = candidates.sizes, candidates.group
    repeated = holdings.repeated(group, candidates.owners)
    parts = setting.strata.counted(candidates.owners, group, len(candidates)) / np.maximum(sizes, 1)[:, None]
    rates = holdings.rates(repeated.value, repeated.row, parts)
    # A sum of unequal Bernoullis has a lighter tail than the binomial of their mean (Hoeffding, 1956).
    tails = binomial_upper(repeated.owners, sizes[repeated.row], np.minimum(rates, 1))
    out = np.ones(len(candidates))
    np.minimum.at(out, repeated.row, tails * holdings.count)
    return out


def repeats(holdings: Holdings, row: Ints, owners: Ints, rows: int) -> Floats:
    """(rows,) over each row's owners, how often a value occurs that an owner before has: the sum of n - 1. Row and
    owner are aligned pairs, none of them twice.

    An owner counts as one over all its values, so that two phones that wander over the same twenty networks are one
    coincidence, not twenty: a value that n owners have adds n - 1 times their mean weight.
    """
    found = holdings.repeated(row, owners)
    return np.asarray(np.bincount(found.row, found.weight * (found.owners - 1) / found.owners, rows), float)


def many_networks(candidates: Candidates, setting: Setting) -> TestResults:
    """Do single accounts come from more networks for their number of requests than matched owners?"""
    if not setting.population.network.present:
        return all_off(IDENTITY, "addresses", "the log has no addresses", len(candidates))
    if setting.by_systems:
        # A phone wanders over its carrier's networks, and what more of them mean is known where systems are.
        return all_off(IDENTITY, "addresses", "autonomous systems are counted instead", len(candidates))
    words = _Words("addresses", "addresses", "networks")
    return _wandering(candidates, setting, setting.population.network, setting.addresses, words)


def many_systems(candidates: Candidates, setting: Setting) -> TestResults:
    """Do single accounts come from more autonomous systems for their number of requests than matched owners?"""
    if not setting.population.asn.present:
        return all_off(IDENTITY, "systems", "the log has no AS numbers", len(candidates))
    words = _Words("systems", "AS numbers", "autonomous systems")
    return _wandering(candidates, setting, setting.population.asn, setting.systems, words)


class _Words(NamedTuple):
    """A test's name, what the log would have to say, and what is counted."""

    name: str
    column: str
    noun: str


def _wandering(candidates: Candidates, setting: Setting, places: Trait, ranks: Ranks, words: _Words) -> TestResults:
    per_owner = setting.population.values_per_request(places)
    p_values = _ranked(ranks, candidates, setting)

    def read(place: int) -> TestResult:
        if np.isnan(p_values[place]):
            return switched_off(IDENTITY, words.name, f"no user's {words.column} are known")
        observed, expected = _medians(per_owner, candidates.one(place).owners, setting)
        return TestResult(
            IDENTITY, words.name, observed, expected, float(p_values[place]),
            f"a user's requests come from {observed:.2f} {words.noun} each (median), "
            f"a matched owner's from {expected:.2f}",
        )  # fmt: skip

    return TestResults(IDENTITY, words.name, p_values, read)


TESTS = (young, one_client, many_networks, many_systems)
TESTS_BY_DRAWS = (shared_cards, shared_networks)
