"""The traits by which members are told from bystanders, each in bins, with the law that matched controls follow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refrain.coordination.controls import Ranks, Strata
from refrain.coordination.drawing import draw
from refrain.coordination.results import Candidates, Setting
from refrain.coordination.rhythm import RhythmRule, Rhythms, own_rhythms
from refrain.coordination.use import UseReference
from refrain.counting import Ints, group_starts, portions, ranges, stable_order
from refrain.members import TraitTable
from refrain.population import Trait

Floats = NDArray[np.float64]
COUNT_EDGES = np.array([1.5, 2.5, 4.5, 8.5, 16.5])  # requests: once, twice, a few, many; doubling, as counts spread
SHARE_EDGES = np.array([0.1, 0.25, 0.5, 0.75])  # of an owner's traffic
AGE_EDGES = np.array([1.0, 3.0, 7.0, 14.0, 30.0, 90.0, 365.0])  # days since signing up
RANK_EDGES = np.array([0.25, 0.5, 0.75])  # quarters of the controls


def use_traits(candidates: Candidates, setting: Setting, reference: UseReference) -> list[TraitTable]:
    """How often the users send it, and as what share of their traffic."""
    bins = reference.bin_of_owner[candidates.owners]
    share = candidates.counts / setting.population.activity[candidates.owners]
    counts, shares = reference.counts.laws(COUNT_EDGES)[bins], reference.shares.laws(SHARE_EDGES)[bins]
    return [
        TraitTable("repetition", np.searchsorted(COUNT_EDGES, candidates.counts), counts, of_use=True),
        TraitTable("dedication", np.searchsorted(SHARE_EDGES, share), shares, of_use=True),
    ]


def age_trait(candidates: Candidates, setting: Setting) -> TraitTable:
    """How old the users' accounts were at their first request."""
    age = setting.population.age_days
    bins = np.where(np.isnan(age), -1, np.searchsorted(AGE_EDGES, np.nan_to_num(age)))
    law = _strata_law(bins, len(AGE_EDGES) + 1, candidates, setting.strata)
    return TraitTable("young", bins[candidates.owners], law, of_use=False)


def client_trait(candidates: Candidates, setting: Setting) -> TraitTable:
    """The users' clients."""
    client = setting.population.client
    law = _strata_law(client, len(setting.population.clients), candidates, setting.strata)
    return TraitTable("client", client[candidates.owners], law, of_use=False)


def _strata_law(bins: Ints, count: int, candidates: Candidates, strata: Strata) -> Floats:
    """(users, count) the law of the bins in each user's stratum."""
    everybody = np.bincount(bins[bins >= 0], minlength=count) + 1 / max(count, 1)
    everybody = everybody / everybody.sum()
    laws = np.empty((strata.count, count))
    for stratum, members in enumerate(strata.members):
        own = bins[members]
        seen = np.bincount(own[own >= 0], minlength=count)
        laws[stratum] = (seen + everybody) / (seen.sum() + 1)
    return laws[strata.of_owner[candidates.owners]]


def sharing_trait(candidates: Candidates, setting: Setting, trait: Trait, name: str, salt: int) -> TraitTable:
    """Whether a user shares a value with other users: with none, one or several owners of the set."""
    own = partners(trait, candidates.owners[None, :], candidates.group)[0]
    has = np.diff(trait.bounds)[candidates.owners] > 0
    bins = np.where(has, np.searchsorted(_PARTNER_EDGES, own), -1)
    width = len(_PARTNER_EDGES) + 1
    seen = np.empty((len(candidates), width))
    for part in portions(candidates.sizes, _TOGETHER // setting.draws):
        some = candidates.only(np.arange(part.start, part.stop))
        sets = draw(some, setting.strata, setting.draws, setting.seed, salt)
        cells = some.group * width + np.searchsorted(_PARTNER_EDGES, partners(trait, sets, some.group))
        seen[part] = np.bincount(cells.ravel(), minlength=len(some) * width).reshape(-1, width)
    laws = (seen + 1 / width) / (seen.sum(axis=1, keepdims=True) + 1)
    return TraitTable(name, bins, laws[candidates.group], of_use=False)


_PARTNER_EDGES = np.array([0.5, 1.5, 3.5])  # other users with the same value: none, one, a few, more
_TOGETHER = 1 << 18  # owners of control sets looked at together: some MiB; it changes no law


def partners(trait: Trait, sets: Ints, group: Ints | int = 0) -> Ints:
    """(sets, n) for each owner of each set, the most other owners of the set that one of its values has.

    With `group` (n,), each set is several: the owners of each group.
    """
    owners, (held, bounds) = sets.ravel(), trait.shared
    many = bounds[owners + 1] - bounds[owners]
    place, values = np.repeat(np.arange(len(owners)), many), held[np.repeat(bounds[owners], many) + ranges(many)]
    of_set = np.arange(len(sets))[:, None] * (np.max(group, initial=0) + 1) + np.broadcast_to(group, sets.shape)
    keys = of_set.ravel()[place] * max(trait.count, 1) + values
    order = stable_order(keys)
    first = group_starts(keys[order])
    alike = np.diff(np.append(first, len(order)))
    several = np.repeat(alike > 1, alike)
    out = np.zeros(len(owners), np.int64)
    np.maximum.at(out, place[order[several]], np.repeat(alike, alike)[several] - 1)
    return out.reshape(sets.shape)


def wandering_trait(candidates: Candidates, setting: Setting, ranks: Ranks, name: str) -> TraitTable:
    """Networks or systems for each request, as a quarter of the stratum."""
    # Ranks lie between -1/2 and 1/2.
    bins = np.searchsorted(RANK_EDGES, ranks.scores + 1 / 2)
    bins[np.isnan(ranks.scores)] = -1
    law = _strata_law(bins, len(RANK_EDGES) + 1, candidates, setting.strata)
    return TraitTable(name, bins[candidates.owners], law, of_use=False)


def rhythm_trait(candidates: Candidates, setting: Setting, rhythms: Rhythms, rule: RhythmRule) -> TraitTable:
    """How the users' hours lie together, as a quarter of owners who send as much."""
    bins = np.full(len(candidates.owners), -1)
    own = own_rhythms(candidates, setting, rhythms, rule)
    bins[own.user] = np.searchsorted(RANK_EDGES, own.rank)
    even = np.full(len(RANK_EDGES) + 1, 1 / (len(RANK_EDGES) + 1))
    return TraitTable("rhythm", bins, np.tile(even, (len(bins), 1)), of_use=False)


def spread_trait(trait: TraitTable, candidates: Candidates, places: Ints) -> TraitTable:
    """A trait of the users of some of the candidates, as one of all the users: unknown of the others."""
    chosen = np.zeros(len(candidates), bool)
    chosen[places] = True
    users = chosen[candidates.group]
    bins = np.full(len(users), -1)
    background = np.zeros((len(users), trait.background.shape[1]))
    bins[users], background[users] = trait.bins, trait.background
    return TraitTable(trait.name, bins, background, trait.of_use)
