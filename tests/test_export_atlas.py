"""The map for Embedding Atlas: the columns that it reads, neighbours as the run has them, the same bytes again."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from exported import make_run, options_for, tables
from tables import HARNESS, HOSTILE, NOTES, RUBRIC

from refrain.errors import InputError
from refrain.exporters.map import on_a_map
from refrain.exporters.registry import export_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run whose segments have made-up neighbours: the four fixed texts know one another, and every second
    segment of the others, which is in no cluster, was searched as well."""
    made = make_run(tmp_path_factory.mktemp("run"))
    texts = pq.read_table(made / "requests" / "segments.parquet")["raw"].to_pylist()
    fixed = [texts.index(text) for text in (HARNESS, RUBRIC, NOTES, HOSTILE)]
    searched = np.array(sorted({*fixed, *range(0, len(texts), 2)}), np.int64)
    assert len(searched) > len(fixed)
    places = np.searchsorted(searched, fixed).tolist()
    indices = np.full((len(searched), 4), -1, np.int64)
    similarities = np.zeros((len(searched), 4), np.float32)
    stranger = next(place for place in range(len(searched)) if place not in places)
    for place in places:
        others = [other for other in places if other != place]
        indices[place] = [others[0], stranger, *others[1:]]
        similarities[place] = [0.75, 0.625, 0.5, 0.25]
    folder = made / "neighbours"
    folder.mkdir()
    np.save(folder / "segment_rows.npy", searched)
    np.save(folder / "indices.npy", indices)
    np.save(folder / "similarities.npy", similarities)
    return made


def test_every_clustered_segment_with_its_neighbours(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "map.parquet"
    assert export_run(run, path, "atlas", options_for(run)) == {"segments": 4}
    frame = pd.read_parquet(path)
    segments = pq.read_table(run / "requests" / "segments.parquet").to_pylist()
    clusters = {row["exemplar"]: row["cluster_id"] for row in tables(run)["clusters"]}
    templates = {row["template_id"]: row for row in tables(run)["templates"]}
    assert set(frame["text"]) == {HARNESS, RUBRIC, NOTES, HOSTILE}
    for row in frame.to_dict("records"):
        segment = segments[row["segment"]]
        assert (row["text"], row["accounts"], row["requests"]) == (
            segment["raw"],
            segment["accounts"],
            segment["requests"],
        )
        assert row["cluster"] == clusters[row["text"]]
        held = [number for number, one in templates.items() if row["text"] in one["skeleton"]]
        assert list(row["templates"]) == held
        assert list(row["campaigns"]) == sorted({one for number in held for one in templates[number]["campaigns"]})
        near: dict[str, Any] = row["neighbors"]
        assert list(near["distances"]) == [0.25, 0.5, 0.75]
        fixed = (HARNESS, RUBRIC, NOTES, HOSTILE)
        assert [frame["text"][position] for position in near["ids"]] == [text for text in fixed if text != row["text"]]
    assert np.isfinite(frame[["x", "y"]].to_numpy()).all()


def test_twice_is_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for name in ("1", "2"):
        export_run(run, tmp_path / name, "atlas", options_for(run))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("landmarks", [120, 45], ids=["all by t-SNE", "most follow"])
def test_what_is_similar_stands_together_and_the_map_is_the_same_again(landmarks: int) -> None:
    """Three planted groups of directions: every point stands nearest to the middle of its own group."""
    random = np.random.default_rng(7)
    vectors = np.concatenate([centre + 0.2 * random.normal(size=(40, 16)) for centre in random.normal(size=(3, 16))])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    ids = np.argsort(-cosines, axis=1, kind="stable")[:, :10].astype(np.int64)
    distances = 1 - np.take_along_axis(cosines, ids, axis=1)
    groups, owners = np.repeat(np.arange(3), 40), random.integers(1, 9, 120)
    places = on_a_map(ids, distances, groups, owners, landmarks)
    middles = np.stack([places[groups == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(places[:, None] - middles[None], axis=2).argmin(axis=1)
    assert nearest.tolist() == groups.tolist()
    assert np.array_equal(places, on_a_map(ids, distances, groups, owners, landmarks))


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_points_and_points_without_neighbours_have_places(n: int) -> None:
    ids = np.full((n, 5), -1, np.int64)
    places = on_a_map(ids, np.zeros((n, 5)), np.arange(n), np.ones(n, np.int64), 2)
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()
    assert len({tuple(place) for place in places.tolist()}) == n


def test_a_map_needs_the_run_and_a_number(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be shared"):
        export_run(run, tmp_path / "x", "atlas", options_for(run, folder=None))
    with pytest.raises(InputError, match="whole number"):
        export_run(run, tmp_path / "x", "atlas", options_for(run, more={"landmarks": "many"}))
