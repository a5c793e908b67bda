"""Members: planted mixtures of members, honest regulars and people who tried it once, and a plain fit as oracle."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refrain.counting import Ints
from refrain.members import (
    BYSTANDER,
    MEMBER,
    REGULAR,
    MemberRule,
    Membership,
    TraitTable,
    _Evidence,
    _Fit,
    _fit,
    _starts,
    decide_members,
)
from refrain.settings import load_settings

_SCORE = load_settings().config.score
RULE = MemberRule(
    (_SCORE.prior_bystanders, _SCORE.prior_regulars, _SCORE.prior_members), _SCORE.member_shrink_users,
    _SCORE.member_max_weight, _SCORE.member_rounds, _SCORE.member_start_parts,
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


def bounds_of(*sizes: int) -> Ints:
    return np.cumsum([0, *sizes])


def decide(traits: list[TraitTable]) -> Membership:
    return decide_members(traits, bounds_of(len(traits[0].bins)), RULE).one(0)


def chosen(traits: list[TraitTable]) -> NDArray[np.bool_]:
    return decide(traits).posterior >= _SCORE.member_posterior


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
    evidence, prior = _Evidence.of(traits, bounds_of(80)), np.array(RULE.prior)
    alone = prior[[BYSTANDER, MEMBER]]

    def climbed(start: NDArray[np.float64]) -> _Fit:
        return _fit(evidence, prior if len(start) > len(alone) else alone, start, RULE)

    without = climbed(np.repeat(alone[:, None] / alone.sum(), 80, axis=1))
    starts = _starts(evidence, without, np.array([t.of_use for t in traits]), RULE)
    kinds = np.repeat([MEMBER, REGULAR, BYSTANDER], [30, 20, 30])
    truth = climbed(np.eye(3)[:, kinds])
    assert max(climbed(start).likelihood[0] for start in starts) >= truth.likelihood[0] - 1e-3


@pytest.mark.parametrize("seed", range(5))
def test_a_pure_pool_is_not_split(seed: int) -> None:
    assert chosen(mixture(25, 0, 0, seed)).all()


@pytest.mark.parametrize("seed", range(5))
def test_members_among_many_who_tried_it_once(seed: int) -> None:
    found = chosen(mixture(15, 0, 100, seed))
    assert found[:15].mean() >= 0.8
    assert found[15:].mean() <= 0.1


def test_a_pool_that_only_its_use_betrays_is_found() -> None:
    found = decide(mixture(0, 30, 30)[:2]).posterior
    assert (found[:30] >= _SCORE.member_posterior).mean() >= 0.9
    # Two of four bins are all there is to see: who tried it twice cannot be told from a member for sure.
    assert np.median(found[30:]) < 0.5 < np.quantile(found[:30], 0.1)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.permutations(range(24)))
def test_the_order_of_users_does_not_matter(seed: int, order: list[int]) -> None:
    traits = mixture(8, 8, 8, seed)
    turned = [TraitTable(t.name, t.bins[order], t.background[order], of_use=t.of_use) for t in traits]
    one, other = decide(traits), decide(turned)
    assert other.posterior.tolist() == pytest.approx(one.posterior[order].tolist(), abs=1e-4)


def test_what_is_unknown_weighs_nothing_and_no_trait_weighs_too_much() -> None:
    traits = mixture(20, 0, 0)
    traits[2].bins[:5] = -1
    # Controls never have this bin: the ratio is as large as one makes it.
    traits.append(TraitTable("client", np.zeros(20, np.int64), np.tile([1e-300, 1.0], (20, 1)), of_use=False))
    found = decide(traits)
    assert (found.weights[:5, 2] == 0).all()
    assert found.weights[:, -1].tolist() == pytest.approx([RULE.max_weight] * 20)
    assert np.abs(found.weights).max() <= RULE.max_weight
    assert found.names == ("repetition", "dedication", "young", "rhythm", "network", "client")


def test_the_posterior_is_that_of_the_weights_shown() -> None:
    """What a person is told as reasons is what decided."""
    traits = mixture(30, 10, 30)
    found = decide(traits)
    of_use = np.array([t.of_use for t in traits])
    use, being = found.weights[:, of_use].sum(axis=1), found.weights[:, ~of_use].sum(axis=1)
    less = (use[:, None] <= use) & (being[:, None] <= being)
    assert (found.posterior[:, None] <= found.posterior + 1e-9)[less].all()


def some(trait: TraitTable, rows: Ints) -> TraitTable:
    return replace(trait, bins=trait.bins[rows], background=trait.background[rows])


def candidates_of(sizes: list[int], rng: np.random.Generator) -> list[TraitTable]:
    """Users of several candidates, with traits of several widths and what is not known, some of no user of a candidate;
    half of the users behave as members do, and some of these are regulars."""
    users, group = sum(sizes), np.repeat(np.arange(len(sizes)), sizes)
    uses, odd = rng.random(users) < 0.6, rng.random(users) < 0.6
    traits = []
    for number, (bins, of_use) in enumerate([(6, True), (5, True), (4, False), (7, False), (30, False)]):
        background = rng.dirichlet(np.linspace(8, 1, bins), users)
        drawn = (background.cumsum(axis=1) < rng.random(users)[:, None]).sum(axis=1).clip(0, bins - 1)
        found = np.where(uses if of_use else uses & odd, bins - 1, drawn)
        if not of_use:
            unknown = (rng.random(users) < 0.2) | (rng.random(len(sizes)) < 0.3)[group]
            found[unknown], background[unknown] = -1, 0
        traits.append(TraitTable(f"trait {number}", found, background, of_use))
    return traits


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@settings(max_examples=50)
@given(SIZES, st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 9, 100]), st.data())
def test_what_stands_beside_a_candidate_changes_no_bit(
    sizes: list[int], seed: int, rounds: int, data: st.DataObject
) -> None:
    traits, bounds = candidates_of(sizes, np.random.default_rng(seed)), bounds_of(*sizes)
    rule = replace(RULE, rounds=rounds)
    found = decide_members(traits, bounds, rule)
    order = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=4))
    rows = np.concatenate([np.arange(bounds[i], bounds[i + 1]) for i in order])
    other = decide_members([some(t, rows) for t in traits], bounds_of(*(sizes[i] for i in order)), rule)
    for place, i in enumerate(order):
        one, again = found.one(i), other.one(place)
        assert again.names == one.names
        assert again.posterior.tolist() == one.posterior.tolist()
        assert again.weights.tolist() == one.weights.tolist()


@settings(max_examples=50)
@given(SIZES, st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 9, 100]))
def test_side_by_side_is_the_plain_fit(sizes: list[int], seed: int, rounds: int) -> None:
    traits, bounds = candidates_of(sizes, np.random.default_rng(seed)), bounds_of(*sizes)
    rule = replace(RULE, rounds=rounds)
    found = decide_members(traits, bounds, rule)
    for i in range(len(sizes)):
        own = [some(t, np.arange(bounds[i], bounds[i + 1])) for t in traits]
        own = [t for t in own if (t.bins >= 0).any()]
        posterior, weights = plainly(own, rule)
        one = found.one(i)
        assert one.names == tuple(t.name for t in own)
        assert one.posterior == pytest.approx(posterior, abs=1e-6)
        assert one.weights == pytest.approx(weights, abs=1e-5)


def plainly(traits: list[TraitTable], rule: MemberRule) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posterior and weights of one candidate, one climb after the other."""
    users = len(traits[0].bins)
    prior = np.array(rule.prior)
    alone = prior * [1, 0, 1]
    without = plain_fit(traits, np.tile(alone / alone.sum(), (users, 1)), alone, rule)
    best = without
    being = [not t.of_use for t in traits]
    if any(being):
        order = np.argsort(-without[1][:, being].sum(axis=1), kind="stable")
        starts = [np.tile(prior / prior.sum(), (users, 1))]
        for part in rule.start_parts:
            start = without[0].copy()
            for user in order[max(1, round(part * users)) :]:
                start[user] = start[user][[BYSTANDER, MEMBER, REGULAR]]
            starts.append(start)
        best = max((plain_fit(traits, start, prior, rule) for start in starts), key=lambda fit: fit[2])
    return best[0][:, MEMBER], best[1]


def plain_fit(
    traits: list[TraitTable], posteriors: NDArray[np.float64], prior: NDArray[np.float64], rule: MemberRule
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    users = len(posteriors)
    weights, likelihood = np.zeros((users, len(traits))), 0.0
    for _ in range(rule.rounds):
        share = (posteriors.sum(axis=0) + prior) / (users + prior.sum())
        for column, trait in enumerate(traits):
            known = np.flatnonzero(trait.bins >= 0)
            part = posteriors[:, [REGULAR, MEMBER] if trait.of_use else [MEMBER]].sum(axis=1)
            law = rule.shrink_users * trait.background[known].mean(axis=0)
            for user in known:
                law[trait.bins[user]] += part[user]
            law /= part[known].sum() + rule.shrink_users
            for user in known:
                bin_ = trait.bins[user]
                weights[user, column] = np.log(law[bin_] / trait.background[user, bin_])
        weights = weights.clip(-rule.max_weight, rule.max_weight)
        ratios = np.zeros((users, 3))
        for column, trait in enumerate(traits):
            for kind in (REGULAR, MEMBER) if trait.of_use else (MEMBER,):
                ratios[:, kind] += weights[:, column]
        joint = share * np.exp(ratios)
        likelihood = float(np.log(joint.sum(axis=1)).sum())
        updated = joint / joint.sum(axis=1, keepdims=True)
        if np.abs(updated - posteriors).max() < np.finfo(np.float32).eps:
            break
        posteriors = updated
    return posteriors, weights, likelihood


def test_no_candidates() -> None:
    traits = [some(trait, np.zeros(0, np.int64)) for trait in mixture(1, 1, 1)]
    assert decide_members(traits, bounds_of(), RULE).posterior.shape == (0,)
