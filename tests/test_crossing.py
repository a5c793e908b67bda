"""Two sets side by side: both directions of one search, near duplicates beyond number, and what steps lead to."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from embeddings.crossing import Crossing, Side, cross
from embeddings.edges import NONE, distances_of, numbers_of
from embeddings.edges import best_edges as edges_of_candidates
from embeddings.guessing import exact_graph, guess_graph
from embeddings.levels import Columns, Levels
from refrain.config import IndexConfig
from refrain.settings import load_settings

Floats = NDArray[np.float32]
CONFIG = replace(load_settings().config.index, neighbours=6, spare_neighbours=4, block_rows=128)


def unit(drawn: NDArray[np.float64]) -> Floats:
    found: Floats = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return found


def surface(count: int, seed: int) -> Floats:
    """Vectors near a surface of few dimensions, as texts' are; the surface is the same for every seed."""
    directions = np.random.default_rng(0).normal(size=(6, 32))
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(count, 6)) @ directions + rng.normal(scale=0.2, size=(count, 32)))


def side(vectors: Floats, config: IndexConfig) -> Side:
    make = exact_graph if len(vectors) < config.exact_below else guess_graph
    graph = make(vectors, config.neighbours + config.spare_neighbours, config, lambda rows: None)
    return Side(vectors, graph, np.zeros(len(vectors), bool))


def wanted(own: Side, other: Side, k: int) -> list[set[int]]:
    """For each row the others that are no farther than its own last neighbour, the nearest k of them."""
    cosines = own.vectors @ other.vectors.T
    limit = 1 - distances_of(np.asarray(own.graph.edges))[:, k - 1]
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return [{n for n in row.tolist() if cosines[at, n] >= limit[at]} for at, row in enumerate(near)]


def found_of(rows: NDArray[np.int64], edges: NDArray[np.uint64], count: int) -> list[set[int]]:
    out: list[set[int]] = [set() for _ in range(count)]
    for row, near, edge in zip(rows.tolist(), numbers_of(edges).tolist(), edges, strict=True):
        out[row] = {n for n, held in zip(near, edge != NONE, strict=True) if held}
    return out


def shares(found: Crossing, left: Side, right: Side, k: int) -> tuple[float, float]:
    """The shares of the wanted edges that were found, from the left and from the right."""
    pairs = (
        (wanted(left, right, k), found_of(found.left_rows, found.left_edges, len(left.vectors))),
        (wanted(right, left, k), found_of(found.right_rows, found.right_edges, len(right.vectors))),
    )
    here, there = (sum(len(a & b) for a, b in zip(*some, strict=True)) / sum(len(a) for a in some[0]) for some in pairs)
    return here, there


@pytest.mark.parametrize("exact_below", [1, 10_000])
def test_both_ends_find_what_is_no_farther_than_their_own(exact_below: int) -> None:
    config = replace(CONFIG, exact_below=exact_below)
    left, right = side(surface(700, 1), config), side(surface(2000, 2), config)
    told: list[int] = []
    found = cross(left, right, config, told.append)
    assert sum(told) == len(left.vectors) + len(right.vectors)
    assert min(shares(found, left, right, CONFIG.neighbours)) > 0.97
    turned = cross(right, left, config, told.append)
    assert all(np.array_equal(a, b) for a, b in (
        (found.left_rows, turned.right_rows), (found.left_edges, turned.right_edges),
        (found.right_rows, turned.left_rows), (found.right_edges, turned.left_edges),
    ))  # fmt: skip
    for rows, edges, own in ((found.left_rows, found.left_edges, left), (found.right_rows, found.right_edges, right)):
        limit = np.asarray(own.graph.edges)[rows, CONFIG.neighbours - 1]
        assert (edges[:, 0] != NONE).all()
        assert (distances_of(edges)[edges != NONE] <= np.broadcast_to(distances_of(limit)[:, None], edges.shape)[
            edges != NONE
        ]).all()  # fmt: skip


def test_steps_find_for_both_ends_what_few_cells_miss() -> None:
    config = replace(CONFIG, exact_below=1, crossing_probes_per_root=0.01)
    left, right = side(surface(700, 1), config), side(surface(2000, 2), config)
    rounds = [
        shares(cross(left, right, replace(config, crossing_rounds=n), lambda rows: None), left, right, 6)
        for n in (0, 1, 2)
    ]
    for before, after in itertools.pairwise(rounds):
        assert after[0] > before[0]
        assert after[1] > before[1]
    assert min(rounds[1]) > max(rounds[0]) + 0.1


def test_near_duplicates_beyond_number_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of either day is one text in variants that no level tells apart."""
    rng = np.random.default_rng(5)
    one = rng.normal(size=32)
    variants = [unit(one + rng.normal(scale=1e-3, size=(600, 32))) for _ in range(2)]
    left, right = (side(np.concatenate([v, surface(600, at)]), CONFIG) for at, v in enumerate(variants))
    widths: list[int] = []
    plain = edges_of_candidates

    def counted(own: NDArray[np.uint64], candidates: NDArray[np.int32], *more: object) -> NDArray[np.uint64]:
        widths.append(candidates.shape[1])
        return plain(own, candidates, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("embeddings.crossing.best_edges", counted)
    found = cross(left, right, CONFIG, lambda rows: None)
    assert max(widths) <= 4 * CONFIG.neighbours
    near = found_of(found.left_rows, found.left_edges, len(left.vectors))
    assert np.mean([len(held) > 0 for held in near[:600]]) > 0.4
    assert all(other < 600 for held in near[:600] for other in held)


def test_few_beside_many_make_only_the_cells_ready_that_they_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, exact_below=1)
    few, many = side(surface(3, 1), config), side(surface(3000, 2), config)
    assert many.graph.cells is not None
    ready: list[int] = []
    prepare = Levels.columns

    def counted(levels: Levels, vectors: Floats) -> Columns:
        ready.append(len(vectors))
        return prepare(levels, vectors)

    monkeypatch.setattr(Levels, "columns", counted)
    found = cross(few, many, config, lambda rows: None)
    nearest = np.argsort(-few.vectors @ many.vectors.T, axis=1, kind="stable")[:, : CONFIG.neighbours].tolist()
    held = found_of(found.left_rows, found.left_edges, len(few.vectors))
    assert sum(len(set(some) & has) for some, has in zip(nearest, held, strict=True)) > 0.9 * len(held) * len(
        nearest[0]
    )
    probes = int(config.crossing_probes_per_root * len(many.graph.cells) ** 0.5)
    assert 0 < len(ready) <= 3 * probes < len(many.graph.cells)
