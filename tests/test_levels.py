"""Levels of cosines: whole numbers that are the same however they were made, and close enough to propose by."""

import numpy as np
import pytest
from numpy.typing import NDArray

from embeddings import levels as module
from embeddings.levels import Levels

Floats = NDArray[np.float32]
DIMENSIONS = (8, 32, 256, 384)


def unit(count: int, dimension: int, seed: int, common: float = 1.0) -> Floats:
    """Unit vectors with a mean that is not zero, as texts' are, and one large component each."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=(count, dimension)) / dimension**0.5
    drawn[:, 0] += common
    found: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return found


def between(levels: Levels, some: Floats, others: Floats) -> NDArray[np.uint8]:
    return levels.between(levels.rows(some), np.arange(len(some)), levels.columns(others))


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_product_of_floats_gives_the_same_bytes(dimension: int, monkeypatch: pytest.MonkeyPatch) -> None:
    some, others = unit(130, dimension, 0), unit(75, dimension, 1)
    levels = Levels(dimension, seed=3)
    first = between(levels, some, others)
    assert len(np.unique(first)) > 20
    monkeypatch.setattr(module, "_has_integer_products", lambda: False)
    assert (between(levels, some, others) == first).all()


def test_a_level_depends_on_its_two_vectors_alone() -> None:
    some, others = unit(200, 64, 2), unit(90, 64, 3)
    levels = Levels(64, seed=0)
    every = between(levels, some, others)
    assert (between(levels, some[7:8], others[5:6]) == every[7, 5]).all()
    picked = levels.between(levels.rows(some), np.array([150, 3]), levels.columns(others[20:40]))
    assert (picked == every[[150, 3], 20:40]).all()


@pytest.mark.parametrize("dimension", DIMENSIONS[1:])
def test_levels_order_pairs_by_cosine_but_for_rounding(dimension: int) -> None:
    some, others = unit(300, dimension, 4), unit(300, dimension, 5)
    others[:100] = some[:100]  # cosines of 1 among them
    levels, cosines = Levels(dimension, seed=0), some @ others.T
    found = between(levels, some, others)
    inside = found > 0
    slope, start = np.polyfit(cosines[inside], found[inside].astype(float), 1)
    errors = (found[inside] - start) / slope - cosines[inside]
    assert 200 < slope < 310
    assert errors.std() < 0.04 / dimension**0.5
    assert np.abs(errors).max() < 0.2 / dimension**0.5
    assert inside[cosines > 0.3].all()
    assert found.max() == found[np.arange(100), np.arange(100)].max()  # rounding does not carry 1 past the top


def test_nearly_every_pair_is_proposed_at_its_own_cosine() -> None:
    some, others = unit(400, 256, 6), unit(400, 256, 7)
    levels, cosines = Levels(256, seed=0), some @ others.T
    found, wanted = between(levels, some, others), levels.of(cosines)
    far = cosines < 0.3
    assert (found >= wanted)[~far].mean() > 0.97
    assert (found >= levels.of(cosines - np.float32(0.02)))[~far].all()
    assert (found >= levels.of(cosines + np.float32(0.02)))[~far].mean() < 0.01


def test_what_is_too_far_to_be_told_apart_is_not_proposed_to_those_who_take_anything() -> None:
    levels = Levels(256, seed=0)
    opposite = unit(5, 256, 8)
    found = between(levels, opposite, -opposite)
    assert (found < levels.of(np.full(5, -1, np.float32))).all()
