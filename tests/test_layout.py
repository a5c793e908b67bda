"""A map keeps together what is similar, apart what overlaps, and everything on the page."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refrain.layout import Box, placed

BOX = Box(width=900.0, height=500.0, margin=20.0)


def blocks(sizes: list[int], within: float) -> np.ndarray:
    """Similarities of groups that share nothing with each other."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(group[:, None] == group[None, :], within, 0.0)


def test_the_nearest_of_a_point_is_of_its_own_group() -> None:
    sizes = [6, 6, 6, 6, 6]
    where = placed(blocks(sizes, 0.9), np.full(30, 4.0), BOX)
    group = np.repeat(np.arange(5), sizes)
    distance = np.linalg.norm(where[:, None] - where[None, :], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (group[distance.argmin(axis=1)] == group).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 40), st.floats(0, 1), st.integers(0, 10**6))
def test_discs_stay_in_the_box_and_do_not_overlap(n: int, level: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    half = random.random((n, n)) * level
    similarity = (half + half.T) / 2
    radii = random.uniform(3, 12, n)
    where = placed(similarity, radii, BOX)
    assert where.shape == (n, 2)
    assert (where >= BOX.margin).all()
    assert (where <= np.array([BOX.width, BOX.height]) - BOX.margin).all()
    distance = np.linalg.norm(where[:, None] - where[None, :], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (distance >= radii[:, None] + radii[None, :]).all()
    assert (placed(similarity, radii, BOX) == where).all()


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_points_that_are_all_alike_or_all_strangers_are_parted(level: float) -> None:
    where = placed(np.full((25, 25), level), np.full(25, 8.0), BOX)
    distance = np.linalg.norm(where[:, None] - where[None, :], axis=2)
    assert distance[np.triu_indices(25, k=1)].min() >= 16
