"""Members told by use alone, many candidates side by side: `decide_members` one after the other as oracle."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.counting import Ints
from refrain.members import MemberRule, TraitTable, decide_members
from refrain.regulars import members_by_use
from refrain.settings import load_settings

_SCORE = load_settings().config.score
RULE = MemberRule(
    (_SCORE.prior_bystanders, _SCORE.prior_regulars, _SCORE.prior_members), _SCORE.member_shrink_users,
    _SCORE.member_max_weight, _SCORE.member_rounds, _SCORE.member_start_parts, _SCORE.regulars_gain,
)  # fmt: skip


def traits_of(users: int, rng: np.random.Generator) -> list[TraitTable]:
    return [
        TraitTable(name, rng.integers(bins, size=users), rng.dirichlet(np.ones(bins), users), of_use=True)
        for name, bins in (("repetition", 6), ("dedication", 5))
    ]


def some(trait: TraitTable, rows: Ints) -> TraitTable:
    return TraitTable(trait.name, trait.bins[rows], trait.background[rows], of_use=True)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
def test_side_by_side_is_one_after_the_other(sizes: list[int], seed: int) -> None:
    traits = traits_of(sum(sizes), np.random.default_rng(seed))
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    found = members_by_use(traits, bounds, RULE)
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        alone = decide_members([some(trait, np.arange(start, end)) for trait in traits], end - start, RULE)
        assert found[start:end] == pytest.approx(alone.posterior, abs=1e-6)
