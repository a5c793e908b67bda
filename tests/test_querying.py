"""Nearest stored vectors: brute force as the oracle, and no bit that depends on how the store was cut up."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from embeddings.querying import exact_cosines, open_stored, rows_within
from embeddings.shards import as_digests, write_shard
from embeddings.vectors import SCHEMA
from refrain.artifacts import Store
from refrain.errors import StoreError

DIMENSION = 8


def unit(rows: int, seed: int) -> NDArray[np.float32]:
    """Unit vectors (rows, DIMENSION), every third equal to the one before it."""
    vectors = np.random.default_rng(seed).normal(size=(rows, DIMENSION)).astype(np.float32)
    vectors[1::3] = vectors[: len(vectors[1::3]) * 3 : 3][: len(vectors[1::3])]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32), np.float32)


def stored(root: Path, vectors: NDArray[np.float32], shard_rows: int, *, strangers: int = 0) -> tuple[Path, Store]:
    """A `vectors` folder whose segment 2i has vector i, and a store with these, and others that no segment has."""
    store, folder = Store(root / "store"), root / "vectors"
    folder.mkdir(parents=True)
    everything = np.concatenate([vectors, unit(strangers, 99)])
    digests = [at.to_bytes(16, "big") for at in range(len(everything))]
    order = np.random.default_rng(shard_rows).permutation(len(everything))
    for start in range(0, len(order), shard_rows):
        part = np.sort(order[start : start + shard_rows])
        (store.vectors / "print").mkdir(parents=True, exist_ok=True)
        write_shard(store.vectors / "print", as_digests([digests[at] for at in part]), everything[part])
    rows = pa.array(np.arange(len(vectors)) * 2)
    pq.write_table(
        pa.table([rows, pa.array(digests[: len(vectors)], pa.binary(16))], schema=SCHEMA), folder / "vectors.parquet"
    )
    (folder / "encoder.json").write_text(json.dumps({"fingerprint": "print", "dimension": DIMENSION}))
    return folder, store


@pytest.mark.parametrize("top", [1, 5, 40, 60, 200])
@pytest.mark.parametrize("queries", [1, 3])
def test_the_nearest_are_those_of_brute_force(tmp_path: Path, top: int, queries: int) -> None:
    vectors = unit(60, 0)
    asked = unit(queries, 1)
    folder, store = stored(tmp_path, vectors, 7, strangers=50)
    near = open_stored(folder, store).nearest(asked, top)
    cosines = (vectors.astype(np.float64)[:, None, :] * asked.astype(np.float64)[None]).sum(axis=2)
    best = cosines.max(axis=1)
    wanted = sorted(range(60), key=lambda at: (-best[at], at))[:top]
    assert near.segment_rows.tolist() == [2 * at for at in wanted]
    np.testing.assert_allclose(near.cosines, best[wanted], atol=1e-12)
    assert near.queries.tolist() == [int(cosines[at].argmax()) for at in wanted]


def test_how_the_store_was_cut_up_changes_no_bit(tmp_path: Path) -> None:
    vectors, asked = unit(200, 2), unit(2, 3)
    answers = []
    for at, (rows, strangers) in enumerate([(1, 0), (9, 0), (64, 300), (1000, 7)]):
        near = open_stored(*stored(tmp_path / str(at), vectors, rows, strangers=strangers)).nearest(asked, 20)
        answers.append((near.segment_rows.tobytes(), near.cosines.tobytes(), near.queries.tobytes()))
    assert len(set(answers)) == 1


def test_a_run_without_vectors_has_nothing_near(tmp_path: Path) -> None:
    folder, store = stored(tmp_path, unit(0, 0), 7, strangers=5)
    near = open_stored(folder, store).nearest(unit(1, 1), 5)
    assert len(near.segment_rows) == len(near.cosines) == len(near.queries) == 0
    assert rows_within(folder, store, unit(1, 1), 0.1)[0].tolist() == []


@pytest.mark.parametrize("least", [0.2, 0.6, 1.0])
def test_all_that_is_near_enough_is_found(tmp_path: Path, least: float) -> None:
    vectors, asked = unit(80, 4), unit(2, 5)
    folder, store = stored(tmp_path, vectors, 11, strangers=30)
    rows, largest = rows_within(folder, store, asked, least)
    best = exact_cosines(vectors, asked).max(axis=1)
    assert rows.tolist() == (2 * np.flatnonzero(best >= least)).tolist()
    assert largest == best.max()


def test_a_vector_that_was_changed_or_is_gone_is_said_and_not_left_out(tmp_path: Path) -> None:
    folder, store = stored(tmp_path, unit(20, 6), 20)
    [path] = (store.vectors / "print").glob("*.vectors.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError) as caught:
        open_stored(folder, store).nearest(unit(1, 7), 3)
    assert str(path) in caught.value.message
    path.unlink()
    with pytest.raises(StoreError, match="20 vectors are missing"):
        open_stored(folder, store)
