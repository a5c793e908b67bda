"""The upper tails, against scipy.stats."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from refrain.coordination import distributions as tails


@given(st.floats(-6, 30))
def test_normal(x: float) -> None:
    assert tails.normal_upper(np.array([x]))[0] == pytest.approx(float(stats.norm.sf(x)), rel=1e-9)
    assert tails.normal_density(np.array([x]))[0] == pytest.approx(float(stats.norm.pdf(x)), rel=1e-9)


@given(st.integers(1, 400), st.floats(1e-6, 1), st.data())
def test_binomial(trials: int, share: float, data: st.DataObject) -> None:
    counts = np.array(data.draw(st.lists(st.integers(0, trials), min_size=1, max_size=4)))
    shares = np.full(len(counts), share)
    expected = stats.binom.sf(counts - 1, trials, shares)
    assert tails.binomial_upper(counts, trials, shares) == pytest.approx(expected, rel=1e-7, abs=1e-280)


@given(st.data(), st.integers(1, 300))
def test_hypergeometric(data: st.DataObject, total: int) -> None:
    drawn, marked = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    count = data.draw(st.integers(0, min(drawn, marked)))
    expected = float(stats.hypergeom.sf(count - 1, total, marked, drawn))
    assert tails.hypergeometric_upper(count, drawn, marked, total) == pytest.approx(expected, rel=1e-7, abs=1e-280)


@given(st.floats(0, 300), st.floats(1e-4, 300), st.floats(1e-2, 1e3))
def test_counts(count: float, mean: float, size: float) -> None:
    at = np.floor(count) - 1
    counts, means, sizes = np.array([count]), np.array([mean]), np.array([size])
    expected = float(stats.poisson.sf(at, mean))
    assert tails.poisson_upper(counts, means)[0] == pytest.approx(expected, rel=1e-7, abs=1e-280)
    expected = float(stats.nbinom.sf(at, size, size / (size + mean)))
    assert tails.negative_binomial_upper(counts, sizes, means)[0] == pytest.approx(expected, rel=1e-6, abs=1e-280)


@given(st.floats(-5, 40), st.one_of(st.just(0.0), st.floats(1e-3, 20)))
def test_pearson(x: float, skew: float) -> None:
    expected = float(stats.pearson3.sf(x, skew))
    assert tails.pearson_upper(np.array([x]), np.array([skew]))[0] == pytest.approx(expected, rel=1e-6, abs=1e-280)


@given(st.lists(st.floats(-1e6, 1e6, allow_nan=False), min_size=1, max_size=9))
def test_the_median_is_numpys(values: list[float]) -> None:
    assert tails.median(np.array(values)) == np.median(values)


def test_a_tail_of_many_is_each_ones() -> None:
    rng = np.random.default_rng(0)
    x, mean, size = rng.normal(3, 4, 50), rng.uniform(0.1, 9, 50), rng.uniform(0.1, 9, 50)
    skew = np.where(rng.random(50) < 0.3, 0.0, size)
    counts, trials = rng.integers(0, 9, 50), rng.integers(9, 20, 50)
    everything = slice(None)
    found: list[Callable[[slice], NDArray[np.float64]]] = [
        lambda at: tails.normal_upper(x[at]),
        lambda at: tails.binomial_upper(counts[at], trials[at], mean[at] / 9),
        lambda at: tails.poisson_upper(counts[at].astype(float), mean[at]),
        lambda at: tails.negative_binomial_upper(counts[at].astype(float), size[at], mean[at]),
        lambda at: tails.pearson_upper(x[at], skew[at]),
    ]
    for tail in found:
        assert tail(everything).tolist() == [tail(slice(i, i + 1))[0] for i in range(50)]
