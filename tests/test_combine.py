"""Combining p-values: formulas written another way, slow loops, and the error rates that they promise."""

from math import atan, pi, tan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from refrain.coordination.combine import (
    adaptive_q_values,
    cauchy_combination,
    cauchy_rows,
    partial_conjunction,
    partial_conjunction_rows,
    selection_threshold,
)

P_VALUES = st.floats(1e-12, 1, allow_nan=False)


@given(st.lists(P_VALUES, min_size=2, max_size=8))
def test_cauchy_combination_is_the_tail_of_the_mean_cotangent(p_values: list[float]) -> None:
    clipped = [min(max(p, 1e-15), 0.9) for p in p_values]
    mean = sum(1 / tan(pi * p) for p in clipped) / len(clipped)
    assert cauchy_combination(p_values) == pytest.approx(max(0.5 - atan(mean) / pi, 1e-15), rel=1e-3, abs=1e-15)


def test_cauchy_combination_keeps_the_smallest_p_values_apart() -> None:
    # Near 0 the combination of k p-values of which one counts is k times that one.
    for smallest in (1e-6, 1e-9, 1e-12):
        assert cauchy_combination([smallest, 0.5, 0.5]) == pytest.approx(3 * smallest, rel=1e-3)
    assert cauchy_combination([0.0, 0.5]) > 0


def test_one_p_value_near_one_does_not_drown_the_rest() -> None:
    assert cauchy_combination([1e-4, 1 - 1e-12]) < 1e-3
    assert cauchy_combination([0.004, 1, 1, 1, 1]) == pytest.approx(5 * 0.004, rel=0.2)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.99])
def test_cauchy_combination_stands_dependence(correlation: float) -> None:
    rng = np.random.default_rng(0)
    common, own = rng.standard_normal((20_000, 1)), rng.standard_normal((20_000, 4))
    p_values = stats.norm.sf(np.sqrt(correlation) * common + np.sqrt(1 - correlation) * own)
    combined = np.array([cauchy_combination(row) for row in p_values.tolist()])
    for level in (0.05, 0.01, 0.001):
        # The method is exact in the limit only: a tenth more is its own error (Liu and Xie, table 1).
        assert (combined <= level).sum() <= stats.binom.isf(1e-8, len(combined), 1.1 * level)


@given(st.lists(P_VALUES, max_size=6), st.integers(1, 4))
def test_partial_conjunction_is_simes_without_the_smallest(p_values: list[float], families: int) -> None:
    largest = sorted(p_values)[families - 1 :]  # Simes over what is left when the strongest are granted
    expected = min([1.0, *(len(largest) * p / rank for rank, p in enumerate(largest, 1))])
    assert partial_conjunction(p_values, families) == pytest.approx(expected)


@given(st.lists(st.lists(st.one_of(P_VALUES, st.just(np.nan)), min_size=4, max_size=4), max_size=6), st.integers(1, 4))
def test_rows_are_each_of_the_p_values_that_are_there(rows: list[list[float]], families: int) -> None:
    table = np.array(rows).reshape(-1, 4)
    there = [[p for p in row if not np.isnan(p)] for row in rows]
    combined = cauchy_rows(table).tolist()
    assert combined == pytest.approx([cauchy_combination(row) if row else np.nan for row in there], nan_ok=True)
    assert combined == pytest.approx([cauchy_rows(np.array([row]))[0] for row in rows], rel=0, abs=0, nan_ok=True)
    assert partial_conjunction_rows(table, families).tolist() == [partial_conjunction(row, families) for row in there]


def test_partial_conjunction_is_uniform_when_all_families_but_one_speak() -> None:
    rng = np.random.default_rng(1)
    p_values = [partial_conjunction([0.0, p], 2) for p in rng.random(20_000)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-6


@given(st.lists(st.tuples(P_VALUES, P_VALUES), min_size=1, max_size=12))
def test_adaptive_q_values_against_every_threshold_in_turn(pairs: list[tuple[float, float]]) -> None:
    selections = [max(pair) for pair in pairs]
    filters = [min(pair) for pair in pairs]
    found = adaptive_q_values(np.array(filters), np.array(selections))
    for own, q_value in zip(selections, found, strict=True):
        rates = [
            min(1.0, t * sum(f <= t for f in filters) / sum(s <= t for s in selections)) for t in selections if t >= own
        ]
        assert q_value == pytest.approx(min(rates))


@given(st.lists(st.tuples(P_VALUES, P_VALUES), min_size=1, max_size=12), st.sampled_from([0.01, 0.1, 0.5]))
def test_the_selection_threshold_is_the_largest_that_keeps_the_rate(
    pairs: list[tuple[float, float]], rate: float
) -> None:
    selections, filters = [max(pair) for pair in pairs], [min(pair) for pair in pairs]
    chosen = adaptive_q_values(np.array(filters), np.array(selections)) <= rate
    threshold = selection_threshold(np.array(filters), np.array(selections), rate)
    found = int(chosen.sum())
    if not found:
        assert threshold == 0
        return
    assert threshold >= max(s for s, c in zip(selections, chosen, strict=True) if c) * (1 - 1e-9)
    assert threshold * sum(f <= threshold for f in filters) / found <= rate * (1 + 1e-9)
    for higher in np.linspace(threshold, 1, 50)[1:].tolist():
        assert higher * sum(f <= higher for f in filters) / found > rate * (1 - 1e-9)


@pytest.mark.parametrize("speaking", [0.0, 0.3])
def test_the_false_discovery_rate_is_kept(speaking: float) -> None:
    """Candidates with no signal, with one of a single kind, and with two; only the last are no false discovery."""
    rng = np.random.default_rng(2)
    shares, found_any = [], 0
    for _ in range(400):
        one, two = rng.random(200) < speaking, rng.random(200) < 0.05 * (speaking > 0)
        p_values = rng.random((200, 3))
        p_values[one, 0] = 1e-9
        p_values[two, :2] = 1e-6
        selections = np.array([partial_conjunction(row, 2) for row in p_values.tolist()])
        filters = np.minimum(selections, 2 * np.sort(p_values, axis=1)[:, 0])
        chosen = adaptive_q_values(filters, selections) <= 0.1
        found_any += bool((chosen & two).any())
        shares.append((chosen & ~two).sum() / max(chosen.sum(), 1))
    assert np.mean(shares) <= 0.1 + 5 * np.std(shares) / np.sqrt(len(shares))
    assert found_any == 0 if not speaking else found_any > 390
