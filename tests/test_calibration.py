"""No test is anti-conservative: under random assignment of "uses this template" inside strata, p-values are uniform or
larger, on populations with everything that misleads (tests/populations.py).

A bound is broken by chance with a probability below 1e-10; with some four thousand bounds the whole fails by chance
less often than once in a million times.
"""

from collections import defaultdict
from itertools import product

import numpy as np
import pytest
from populations import NullUse, awkward_population, awkward_setting, instruments, null_candidate
from scipy import stats

from refrain.assessment import assess
from refrain.coordination.identity import many_systems
from refrain.coordination.results import Candidates, candidate

LEVELS = (0.1, 0.05, 0.01, 0.001)
FALSE_FAILURE = 1e-10
SIZES, TILTS = (5, 20, 100), (-1, 0, 1)
ALL = (0, 0)
WITH_SYSTEMS = 2  # the seed whose log knows the autonomous systems of its requests


def check(p_values: dict[tuple[str, tuple[int, int]], list[float]]) -> None:
    for (name, group), values in p_values.items():
        for level in LEVELS:
            most = stats.binom.isf(FALSE_FAILURE, len(values), level)
            found = int((np.array(values) <= level).sum())
            assert found <= most, f"{name} {group}: {found} of {len(values)} at {level}, at most {most:.0f}"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_p_values_of_templates_without_coordination_are_uniform_or_larger(seed: int) -> None:
    population = awkward_population(seed, owners=900, systems=seed == WITH_SYSTEMS)
    setting = awkward_setting(population)
    rng = np.random.default_rng(seed)
    candidates = [
        ((size, tilt), null_candidate(population, setting.strata, NullUse(size, tilt, in_a_row), rng))
        for size, tilt, in_a_row in product(SIZES, TILTS, (False, True))
        for _ in range(15)
    ]
    shared = instruments(population, setting, [c for _, c in candidates])
    p_values = defaultdict(list)
    found = assess(Candidates.of([c for _, c in candidates]), setting, shared, system=np.zeros(len(candidates), bool))
    named = {r.key: r.p_values for r in found.results} | {"raw": found.raw, "unexplained": found.p_values}
    named |= dict(zip(found.looked_at, found.families.T, strict=True))
    for name, values in named.items():
        for (group, _), p in zip(candidates, values.tolist(), strict=True):
            if not np.isnan(p):
                for where in (ALL, group):
                    p_values[name, where].append(p)
    check(p_values)
    # These are not merely conservative.
    wandering = "identity_systems" if seed == WITH_SYSTEMS else "identity_addresses"
    assert np.isnan(named["identity_systems"]).all() == (seed != WITH_SYSTEMS)
    for name in ("identity_young", wandering, "time_minutes"):
        assert np.mean(np.array(p_values[name, ALL]) <= LEVELS[0]) > LEVELS[0] / 5


@pytest.mark.parametrize("bias", [1.0, 1.25])
def test_many_systems_are_no_coincidence_however_active_the_users_are_inside_their_strata(bias: float) -> None:
    population = awkward_population(4, owners=900, systems=True)
    setting = awkward_setting(population, bias=bias)
    rng = np.random.default_rng(4)
    own = [
        ((size, tilt), null_candidate(population, setting.strata, NullUse(size, tilt, False), rng))
        for size, tilt in product(SIZES, TILTS)
        for _ in range(60)
    ]
    # Those of a stratum who send the least of it, or the most: no permutation has them so often.
    for tilt in (-1, 1):
        weight = population.activity.astype(float) ** tilt
        for _ in range(60):
            users = [rng.choice(m, 3, replace=False, p=weight[m] / weight[m].sum()) for m in setting.strata.members]
            rows = np.flatnonzero(np.isin(population.request_owner, np.concatenate(users)))
            own.append(((-1, tilt), candidate(rows, population)))
    found = many_systems(Candidates.of([c for _, c in own]), setting).p_values
    p_values = defaultdict(list)
    for (group, _), p in zip(own, found.tolist(), strict=True):
        p_values["systems", group].append(p)
    check(p_values)
    fair = np.concatenate([p for (_, (size, _)), p in p_values.items() if size > 0])
    assert bias > 1 or np.mean(fair <= LEVELS[0]) > LEVELS[0] / 5


@pytest.mark.slow
def test_the_conjunction_is_calibrated_where_one_family_speaks_for_sure() -> None:
    """The worst case of a conjunction: a popular product whose users have one kind of evidence, and no other."""
    population = awkward_population(3, owners=900)
    setting = awkward_setting(population)
    rng = np.random.default_rng(3)
    candidates = [
        null_candidate(population, setting.strata, NullUse(size, tilt, False), rng)
        for size, tilt in product(SIZES, TILTS)
        for _ in range(25)
    ]
    # Everybody else uses other templates once: these are used a lot.
    others = [null_candidate(population, setting.strata, NullUse(100, 0, False, most=1), rng) for _ in range(40)]
    shared = instruments(population, setting, others)
    found = assess(Candidates.of(candidates), setting, shared, system=np.zeros(len(candidates), bool))
    assert np.mean(found.families[:, found.looked_at.index("use")] < 1e-3) > 0.5
    check({("conjunction", ALL): found.raw.tolist()})


def test_candidates_are_assessed_side_by_side_as_alone() -> None:
    population = awkward_population(2, owners=400)
    setting = awkward_setting(population, draws=60)
    rng = np.random.default_rng(1)
    alone = [
        null_candidate(population, setting.strata, NullUse(users, tilt, in_a_row), rng)
        for users, tilt, in_a_row in product((5, 7, 30, 120), (-1, 1), (False, True))
    ]
    shared = instruments(population, setting, alone)
    system = np.arange(len(alone)) % 2 == 0
    together = assess(Candidates.of(alone), setting, shared, system=system)
    for place, own in enumerate(alone):
        found = assess(Candidates.of([own]), setting, shared, system=system[[place]]).one(0)
        assert repr(together.one(place)) == repr(found)  # nan is not nan
