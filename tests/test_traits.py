"""Traits of the users: many candidates side by side, each exactly as by itself."""

from collections.abc import Callable

import numpy as np
import pytest
from populations import NullUse, awkward_population, awkward_setting, instruments, null_candidate

from refrain import traits
from refrain.coordination.results import Candidates
from refrain.members import TraitTable

POPULATION = awkward_population(5, owners=600, systems=True)
SETTING = awkward_setting(POPULATION)
OWN = [
    null_candidate(POPULATION, SETTING.strata, NullUse(users, tilt, in_a_row=False), np.random.default_rng(users))
    for users, tilt in [(1, 0), (7, 0), (40, -1), (300, 0), (25, 1)]
]
TOOLS = instruments(POPULATION, SETTING, OWN)
MAKERS: dict[str, Callable[[Candidates], TraitTable]] = {
    "repetition": lambda own: traits.use_traits(own, SETTING, TOOLS.reference)[0],
    "dedication": lambda own: traits.use_traits(own, SETTING, TOOLS.reference)[1],
    "young": lambda own: traits.age_trait(own, SETTING),
    "client": lambda own: traits.client_trait(own, SETTING),
    "card": lambda own: traits.sharing_trait(own, SETTING, POPULATION.card, "card", 11),
    "network": lambda own: traits.sharing_trait(own, SETTING, POPULATION.network, "network", 12),
    "addresses": lambda own: traits.wandering_trait(own, SETTING, SETTING.addresses, "addresses"),
    "systems": lambda own: traits.wandering_trait(own, SETTING, SETTING.systems, "systems"),
    "rhythm": lambda own: traits.rhythm_trait(own, SETTING, TOOLS.rhythms, TOOLS.rhythm),
}


@pytest.mark.parametrize("name", MAKERS)
def test_side_by_side_is_one_after_the_other(name: str) -> None:
    several = Candidates.of(OWN)
    found = MAKERS[name](several)
    assert found.name == name
    assert found.background.sum(axis=1) == pytest.approx(1)
    for place, own in enumerate(OWN):
        users = slice(int(several.bounds[place]), int(several.bounds[place + 1]))
        alone = MAKERS[name](Candidates.of([own]))
        assert found.bins[users].tolist() == alone.bins.tolist()
        assert found.background[users].tolist() == alone.background.tolist()


def test_partners_of_several_groups_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], [5, 60, 200])
    sets = np.concatenate([[rng.permutation(600)[:many] for _ in range(4)] for many in (5, 60, 200)], axis=1)
    found = traits.partners(POPULATION.network, sets, group)
    for one in range(3):
        alone = traits.partners(POPULATION.network, sets[:, group == one])
        assert found[:, group == one].tolist() == alone.tolist()
    assert found.max() > 0


def test_a_trait_of_some_candidates_is_unknown_of_the_others() -> None:
    several, places = Candidates.of(OWN), np.array([1, 3])
    whole, part = MAKERS["card"](several), MAKERS["card"](several.only(places))
    found = traits.spread_trait(part, several, places)
    chosen = np.isin(several.group, places)
    assert found.bins.tolist() == np.where(chosen, whole.bins, -1).tolist()
    assert found.background[chosen].tolist() == whole.background[chosen].tolist()
