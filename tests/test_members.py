"""Members: planted mixtures of members, honest regulars and people who tried it once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refrain.members import (
    BYSTANDER,
    MEMBER,
    REGULAR,
    MemberRule,
    TraitTable,
    _fit,
    _starts,
    decide_members,
)
from refrain.settings import load_settings

_SCORE = load_settings().config.score
RULE = MemberRule(
    (_SCORE.prior_bystanders, _SCORE.prior_regulars, _SCORE.prior_members), _SCORE.member_shrink_users,
    _SCORE.member_max_weight, _SCORE.member_rounds, _SCORE.member_start_parts, _SCORE.regulars_gain,
)  # fmt: skip
USE = np.array([0.7, 0.15, 0.1, 0.05])  # of controls: most use another template once
LOTS = np.array([0.02, 0.08, 0.3, 0.6])
ALIKE = np.full(4, 0.25)  # of controls: age, hours, addresses by quarters
ODD = np.array([0.85, 0.09, 0.04, 0.02])


def mixture(members: int, regulars: int, triers: int, seed: int = 0) -> list[TraitTable]:
    """Users in this order: members use it a lot and are odd in three ways; regulars use it a lot and are like anybody;
    who tried it is like anybody in everything."""
    rng = np.random.default_rng(seed)
    users = members + regulars + triers

    def drawn(law_first: NDArray[np.float64], first: int, law_rest: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.concatenate([rng.choice(4, first, p=law_first), rng.choice(4, users - first, p=law_rest)])

    return [
        TraitTable("repetition", drawn(LOTS, members + regulars, USE), np.tile(USE, (users, 1)), of_use=True),
        TraitTable("dedication", drawn(LOTS, members + regulars, USE), np.tile(USE, (users, 1)), of_use=True),
        *(
            TraitTable(name, drawn(ODD, members, ALIKE), np.tile(ALIKE, (users, 1)), of_use=False)
            for name in ("young", "rhythm", "network")
        ),
    ]


def chosen(traits: list[TraitTable]) -> NDArray[np.bool_]:
    return decide_members(traits, len(traits[0].bins), RULE).posterior >= _SCORE.member_posterior


def test_members_regulars_and_triers_are_told_apart() -> None:
    found = np.array([chosen(mixture(30, 20, 30, seed)) for seed in range(10)])
    assert found[:, :30].mean() >= 0.9
    # Three traits of four bins leave regulars who happen to look odd; far fewer than the members that they would be
    # taken for by use alone.
    assert found[:, 30:50].mean() <= 0.4
    assert found[:, 50:].mean() <= 0.12


@pytest.mark.parametrize("seed", range(5))
def test_the_climbs_find_the_top_that_the_truth_leads_to(seed: int) -> None:
    traits = mixture(30, 20, 30, seed)
    of_use, prior = np.array([t.of_use for t in traits]), np.array(RULE.prior)
    alone = np.array([prior[0], 0, prior[2]])
    without = _fit(traits, of_use, alone, np.tile(alone / alone.sum(), (80, 1)), RULE)
    climbs = [_fit(traits, of_use, prior, start, RULE) for start in _starts(without, of_use, prior, RULE)]
    kinds = np.repeat([MEMBER, REGULAR, BYSTANDER], [30, 20, 30])
    truth = _fit(traits, of_use, prior, np.eye(3)[kinds], RULE)
    assert max(fit.likelihood for fit in climbs) >= truth.likelihood - 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_a_pure_pool_is_not_split(seed: int) -> None:
    assert chosen(mixture(25, 0, 0, seed)).all()


@pytest.mark.parametrize("seed", range(5))
def test_members_among_many_who_tried_it_once(seed: int) -> None:
    found = chosen(mixture(15, 0, 100, seed))
    assert found[:15].mean() >= 0.8
    assert found[15:].mean() <= 0.1


def test_a_pool_that_only_its_use_betrays_is_found() -> None:
    found = decide_members(mixture(0, 30, 30)[:2], 60, RULE).posterior
    assert (found[:30] >= _SCORE.member_posterior).mean() >= 0.9
    # Two of four bins are all there is to see: who tried it twice cannot be told from a member for sure.
    assert np.median(found[30:]) < 0.5 < np.quantile(found[:30], 0.1)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.permutations(range(24)))
def test_the_order_of_users_does_not_matter(seed: int, order: list[int]) -> None:
    traits = mixture(8, 8, 8, seed)
    turned = [TraitTable(t.name, t.bins[order], t.background[order], of_use=t.of_use) for t in traits]
    one, other = decide_members(traits, 24, RULE), decide_members(turned, 24, RULE)
    assert other.posterior.tolist() == pytest.approx(one.posterior[order].tolist(), abs=1e-4)


def test_what_is_unknown_weighs_nothing_and_no_trait_weighs_too_much() -> None:
    traits = mixture(20, 0, 0)
    traits[2].bins[:5] = -1
    # Controls never have this bin: the ratio is as large as one makes it.
    traits.append(TraitTable("client", np.zeros(20, np.int64), np.tile([1e-300, 1.0], (20, 1)), of_use=False))
    found = decide_members(traits, 20, RULE)
    assert (found.weights[:5, 2] == 0).all()
    assert found.weights[:, -1].tolist() == pytest.approx([RULE.max_weight] * 20)
    assert np.abs(found.weights).max() <= RULE.max_weight
    assert found.names == ("repetition", "dedication", "young", "rhythm", "network", "client")


def test_the_posterior_is_that_of_the_weights_shown() -> None:
    """What a person is told as reasons is what decided."""
    found = decide_members(mixture(30, 0, 30), 60, RULE)
    order = np.argsort(found.weights.sum(axis=1))
    assert (np.diff(found.posterior[order]) >= -1e-9).all()
