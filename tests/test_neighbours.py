"""Nearest neighbours: brute force as the oracle, equal vectors, ties, edges, and recall above the exact size."""

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from embeddings.neighbours import Neighbours, Part, nearest
from refrain.config import IndexConfig
from refrain.errors import StoreError
from refrain.settings import load_settings

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def config() -> IndexConfig:
    return replace(load_settings().config.index, neighbours=5)


def unit(values: NDArray[np.float64]) -> Floats:
    found: Floats = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return found


def brute_force(vectors: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
    """Every pair's cosine; the best k of each row by (similarity descending, position)."""
    n = len(vectors)
    similarities = np.einsum("id,jd->ij", vectors, vectors) if n else np.empty((0, 0), np.float32)
    # Pair by pair as the index computes them, or a last bit would break what is a tie.
    similarities = np.array([[np.einsum("d,d->", a, b) for b in vectors] for a in vectors], np.float32).reshape(n, n)
    indices, best = np.full((n, k), -1, np.int64), np.full((n, k), -1, np.float32)
    for row in range(n):
        others = [at for at in range(n) if at != row]
        ranked = sorted(others, key=lambda at: (-similarities[row, at], at))[:k]
        indices[row, : len(ranked)] = ranked
        best[row, : len(ranked)] = similarities[row, ranked]
    return indices, best


def assert_exact(found: Neighbours, vectors: Floats, k: int) -> None:
    indices, similarities = brute_force(vectors, k)
    assert np.array_equal(found.indices, indices)
    assert np.allclose(found.similarities, similarities, atol=1e-6)


def test_brute_force_agrees(config: IndexConfig) -> None:
    vectors = unit(np.random.default_rng(0).normal(size=(150, 12)))
    assert_exact(nearest(vectors, config), vectors, config.neighbours)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(1, 9))
def test_brute_force_agrees_where_vectors_repeat(seed: int, n: int, kinds: int) -> None:
    config = replace(load_settings().config.index, neighbours=5, spare_neighbours=9, block_rows=7)
    rng = np.random.default_rng(seed)
    vectors = unit(rng.normal(size=(kinds, 6)))[rng.integers(0, kinds, n)]
    assert_exact(nearest(vectors, config), vectors, config.neighbours)


def test_k_larger_than_n_and_single_and_none(config: IndexConfig) -> None:
    vectors = unit(np.random.default_rng(1).normal(size=(3, 4)))
    assert_exact(nearest(vectors, config), vectors, config.neighbours)
    alone = nearest(vectors[:1], config)
    assert alone.indices.tolist() == [[-1] * 5]
    none = nearest(np.empty((0, 4), np.float32), config)
    assert none.indices.shape == none.similarities.shape == (0, 5)
    assert none.indices.dtype == np.int64


def test_a_vector_without_direction_is_refused(config: IndexConfig) -> None:
    vectors = unit(np.random.default_rng(2).normal(size=(5, 4)))
    for wrong in (np.zeros(4), np.full(4, np.nan), np.full(4, 2.0)):
        vectors[3] = wrong
        with pytest.raises(StoreError, match="1 vectors are not of length 1"):
            nearest(vectors, config)


@pytest.fixture(scope="module")
def clumps() -> Floats:
    """4,000 vectors in clumps of all sizes, some of them equal."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(200, 32))
    vectors = centres[np.minimum(rng.zipf(1.4, 4000), 200) - 1] + rng.normal(scale=0.4, size=(4000, 32))
    vectors[500:600] = vectors[500]
    return unit(vectors)


def test_the_quantised_index_finds_nearly_all(config: IndexConfig, clumps: Floats) -> None:
    exact = nearest(clumps, config)
    found = nearest(clumps, replace(config, exact_below=1))
    assert (exact.kind, found.kind) == ("flat", "quantised")
    shared = [len(set(a) & set(b)) for a, b in zip(exact.indices.tolist(), found.indices.tolist(), strict=True)]
    assert np.mean(shared) / config.neighbours >= 0.95
    assert not (found.indices == np.arange(len(clumps))[:, None]).any()
    # Where both found a pair, they say the same of it, bit for bit.
    same = exact.indices == found.indices
    assert np.array_equal(exact.similarities[same].view(np.uint32), found.similarities[same].view(np.uint32))


def test_similarities_are_the_same_bits_in_both_directions(config: IndexConfig, clumps: Floats) -> None:
    found = nearest(clumps, config)
    pairs = {
        (row, int(at)): float(value)
        for row, (near, values) in enumerate(zip(found.indices, found.similarities, strict=True))
        for at, value in zip(near, values, strict=True)
    }
    mutual = [(a, b) for a, b in pairs if a < b and (b, a) in pairs]
    assert len(mutual) > len(clumps)
    assert all(pairs[a, b] == pairs[b, a] for a, b in mutual)


@pytest.mark.parametrize("exact_below", [1, 1_000_000])
def test_threads_and_blocks_change_no_byte(config: IndexConfig, clumps: Floats, exact_below: int) -> None:
    config = replace(config, exact_below=exact_below)
    before = faiss.omp_get_max_threads()
    found = []
    try:
        for threads in (1, 2, 2):
            faiss.omp_set_num_threads(threads)
            found.append(nearest(clumps, config))
    finally:
        faiss.omp_set_num_threads(before)
    found.append(nearest(clumps, replace(config, block_rows=333)))
    for other in found[1:]:
        assert np.array_equal(found[0].indices, other.indices)
        assert np.array_equal(found[0].similarities.view(np.uint32), other.similarities.view(np.uint32))


def test_what_the_stage_leaves_loads_equal(tmp_path: Path, clumps: Floats, config: IndexConfig) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from embeddings.neighbours import find_neighbours
    from embeddings.shards import as_digests, write_shard
    from embeddings.vectors import ENCODER, SCHEMA, VECTORS
    from refrain.artifacts import Store
    from refrain.progress import NoProgress

    vectors, store, print_ = clumps[:50], Store(tmp_path / "store"), "0" * 32
    raw = [row.to_bytes(16, "big") for row in range(50)]
    (store.vectors / print_).mkdir(parents=True)
    for part in (slice(0, 20), slice(20, 50)):
        write_shard(store.vectors / print_, as_digests(raw[part]), vectors[part])
    rows = np.arange(50) * 3 + 1
    pq.write_table(pa.table([rows, pa.array(raw, pa.binary(16))], schema=SCHEMA), tmp_path / VECTORS)
    (tmp_path / ENCODER).write_text(f'{{"dimension": 32, "fingerprint": "{print_}", "model": "none"}}')
    out = tmp_path / "out"
    out.mkdir()
    counts = find_neighbours(tmp_path, tmp_path, out, config, store=store, progress=NoProgress())
    assert counts == {"segments": 50, "distinct_vectors": 50, "neighbours": 250, "reused_parts": 0}
    direct = nearest(vectors, config)
    assert np.array_equal(np.load(out / "segment_rows.npy"), rows)
    assert np.array_equal(np.load(out / "indices.npy"), direct.indices)
    assert np.array_equal(np.load(out / "similarities.npy"), direct.similarities)


def test_parts_find_what_all_at_once_finds(config: IndexConfig, clumps: Floats) -> None:
    config = replace(config, exact_below=1, fetched=100)
    exact = nearest(clumps, replace(config, exact_below=10**6))
    rng = np.random.default_rng(5)
    home = rng.integers(0, 3, len(clumps))
    parts = [Part(np.flatnonzero((home == part) | (np.arange(len(clumps)) % 7 == 0)), str(part)) for part in range(3)]
    found = nearest(clumps, config, parts)
    shared = [len(set(a) & set(b)) for a, b in zip(exact.indices.tolist(), found.indices.tolist(), strict=True)]
    assert np.mean(shared) / config.neighbours >= 0.95
    same = exact.indices == found.indices
    assert np.array_equal(exact.similarities[same].view(np.uint32), found.similarities[same].view(np.uint32))
    # Equal vectors are one another's nearest, however many, whatever part they came in.
    assert (found.similarities[500:600] > 1 - 1e-6).all()
    assert (found.indices[500:600] == exact.indices[500:600]).all()
