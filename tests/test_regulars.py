"""Who uses it as members do: the posterior by use alone, of each candidate by itself."""

import numpy as np
from populations import NullUse, awkward_population, awkward_setting, instruments, null_candidate

from refrain.coordination.results import Candidates, candidate
from refrain.members import decide_members
from refrain.regulars import regular_users
from refrain.traits import use_traits


def test_each_candidate_keeps_its_regular_users_or_all_where_they_are_few() -> None:
    population = awkward_population(3, owners=600)
    setting = awkward_setting(population)
    rng = np.random.default_rng(0)
    nulls = [
        null_candidate(population, setting.strata, NullUse(users, tilt, in_a_row=True), rng)
        for users, tilt in [(4, 0), (12, 1), (40, -1), (90, 0)]
    ]
    # A pool sends all that it sends with the template, and a few others try it.
    busy = rng.permutation(np.flatnonzero(population.activity > 20))[:20]
    all_of_theirs = np.concatenate([population.requests_of(int(owner)) for owner in busy])
    pool = candidate(np.concatenate([all_of_theirs, nulls[3].requests]), population)
    own = [*nulls, pool]
    tools = instruments(population, setting, nulls)
    found = regular_users(Candidates.of(own), setting, tools.reference, tools.regular)
    kept = []
    for place, whole in enumerate(own):
        traits = use_traits(Candidates.of([whole]), setting, tools.reference)
        posterior = decide_members(traits, np.array([0, len(whole.owners)]), tools.member).posterior
        regular = posterior >= tools.regular.posterior
        few = regular.sum() < tools.regular.min_members
        assert found.one(place).owners.tolist() == whole.owners[regular | few].tolist()
        kept.append(len(found.one(place).owners) < len(whole.owners))
    assert set(busy.tolist()) <= set(found.one(4).owners.tolist())
    assert kept[-1]
    assert not all(kept)
