"""Benign explanations: each holds on the group that it describes and fails on a pool that only resembles it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from populations import START, NullUse, awkward_setting, instruments, null_candidate, people, population_of, trait

from refrain import assessment
from refrain.assessment import Assessment, assess
from refrain.benign import HARNESS, PRODUCT, BenignRule, Hypotheses, benign_hypotheses
from refrain.coordination.combine import cauchy_combination
from refrain.coordination.results import Candidates, Floats, Setting, candidate
from refrain.population import DAY_US

PEOPLE, SENT = 240, 24
PLACE, CUSTOMER = "course, office or hackathon in one place", "one customer's accounts"


@dataclass(frozen=True)
class Group:
    """25 users of a template among people, and what they have in common; ordinary in all else."""

    uses: int = 12
    one_client: bool = False
    network: str = "own"  # or one of theirs, or one that many others use
    cards: int = 25
    asleep: bool = True
    young: bool = False
    users: int = 25
    busiest: int = 25  # so many send nearly all
    system: bool = False
    systems: int = 0  # autonomous systems that each comes through, over ten networks; 0 where the log has none

    def assess(self) -> Assessment:
        rng = np.random.default_rng(0)
        owners = PEOPLE + self.users
        group = np.arange(PEOPLE, owners)
        owner, time = people(0, owners, requests=SENT)
        if not self.asleep:
            mine = owner >= PEOPLE
            time[mine] = START + rng.integers(14 * DAY_US, size=int(mine.sum()))
        age = rng.lognormal(5, 1, owners)
        client = rng.integers(12, size=owners)
        network, card = 100 + np.arange(owners), 100 + np.arange(owners)
        if self.young:
            age[group] = rng.uniform(0, 1, self.users)
        if self.one_client:
            client[group] = 3
        if self.network in ("one", "crowded"):
            network[group] = 1
        if self.network == "crowded":
            network[:80] = 1
        if self.cards < self.users:
            card[group] = np.arange(self.users) % self.cards
        everybody = np.arange(owners)
        places, networks, systems = everybody, network, everybody % 9
        if self.network == "many":
            wide = np.repeat(group, 10)
            places = np.concatenate([everybody[:PEOPLE], wide])
            networks = np.concatenate([network[:PEOPLE], 1000 + np.arange(len(wide))])
            systems = np.concatenate([systems[:PEOPLE], 20 + (wide + np.arange(len(wide)) % max(self.systems, 1)) % 40])
        population = population_of(
            owner, time, owners, age_days=age, client=client,
            card=trait(everybody, card, owners), network=trait(places, networks, owners),
            asn=trait(places, systems, owners) if self.systems else None, asn_share=float(self.systems > 0),
        )  # fmt: skip
        setting = awkward_setting(population)
        uses = [self.uses if place < self.busiest else 1 for place in range(self.users)]
        rows = [rng.choice(population.requests_of(int(o)), n, replace=False) for o, n in zip(group, uses, strict=True)]
        others = [null_candidate(population, setting.strata, NullUse(20, 0, False, most=2), rng) for _ in range(30)]
        own = candidate(np.concatenate(rows), population)
        shared = instruments(population, setting, others)
        return assess(Candidates.of([own]), setting, shared, system=np.array([self.system])).one(0)


def holding(found: Assessment) -> set[str]:
    return {h.name for h in found.hypotheses if h.holds}


@pytest.mark.parametrize(
    ("name", "benign", "pool"),
    [
        (PRODUCT, Group(one_client=True), Group(one_client=True, cards=4)),
        (PRODUCT, Group(one_client=True, young=True), Group(one_client=True, asleep=False)),
        # A product on phones, by its systems; by its networks it looks like a pool.
        (PRODUCT, Group(one_client=True, network="many", systems=1), Group(one_client=True, network="many", systems=6)),
        (PRODUCT, Group(one_client=True, network="many", systems=1), Group(one_client=True, network="many")),
        (HARNESS, Group(one_client=True, system=True), Group(one_client=True, network="one", system=True)),
        (PLACE, Group(network="one"), Group(network="one", asleep=False)),
        (PLACE, Group(network="one", young=True), Group(network="one", cards=4)),
        (CUSTOMER, Group(cards=1), Group(cards=6)),
        ("gateway", Group(network="crowded"), Group(network="one")),
        ("viral prompt", Group(uses=1), Group(uses=2)),
        ("evaluation run", Group(uses=24, users=8, busiest=3), Group(uses=12)),
        ("popular template", Group(), Group(young=True)),
    ],
)
def test_a_hypothesis_holds_for_its_group_and_not_for_a_pool_like_it(name: str, benign: Group, pool: Group) -> None:
    assert name in holding(benign.assess())
    assert name not in holding(pool.assess())


@pytest.mark.parametrize(
    "benign", [Group(one_client=True, young=True), Group(network="one", young=True), Group(cards=1), Group()]
)
def test_what_a_hypothesis_explains_is_no_evidence(benign: Group) -> None:
    found = benign.assess()
    explained = {key for h in found.hypotheses if h.holds for key in h.explains}
    assert explained
    for family, p in found.unexplained.items():
        left = [
            r.p_value
            for key, r in found.results.items()
            if r.family == family and r.p_value is not None and key not in explained
        ]
        assert p == pytest.approx(cauchy_combination(left))
    assert found.p_value > 0.01


@pytest.mark.parametrize(("p", "holds"), [(2e-3, True), (1e-6, False)])
def test_a_test_that_hardly_speaks_refutes_no_place(p: float, holds: bool) -> None:
    """One of a night's harmless groups shows such a p-value by chance; it stays evidence beside the explanation."""
    rule: list[BenignRule] = []

    def with_minutes(own: Candidates, setting: Setting, results: dict[str, Floats], *more: Any) -> Hypotheses:
        results["time_minutes"][:] = p
        rule.append(more[-1])
        return benign_hypotheses(own, setting, results, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assessment, "benign_hypotheses", with_minutes)
        found = Group(network="one", young=True).assess()
    assert rule[0].refuting_p == 1e-4
    assert (PLACE in holding(found)) is holds


@pytest.mark.parametrize(
    "pool",
    [
        Group(one_client=True, cards=4),
        Group(network="one", asleep=False),
        Group(network="crowded", asleep=False),
        Group(young=True, cards=4, asleep=False),
    ],
)
def test_a_pool_is_still_evidence_beside_what_is_explained(pool: Group) -> None:
    found = pool.assess()
    assert found.p_value < 1e-3
    assert found.filter <= found.p_value


def test_a_family_that_is_explained_away_still_counts_as_one_that_says_nothing() -> None:
    """Else a course would need one family less than a pool to alert."""
    found = Group(one_client=True, young=True).assess()
    assert set(found.families) == {"identity", "time", "use"}
    assert found.raw < 1e-3 < found.p_value


def test_every_hypothesis_says_why_in_a_sentence() -> None:
    found = Group(network="one").assess()
    assert all(h.text and h.name for h in found.hypotheses)
    assert next(h for h in found.hypotheses if h.name == PLACE).text.startswith("100% of the users come from one")
