"""Who sings what, counted by hand."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from tables import START, Request, Template, log_of, write_run

from refrain.singers import clusters_of, of_clusters, of_templates

SONGS = {"a": ("one", "two"), "b": ("one", "two", "three"), "c": ("three",), "d": ()}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    log = log_of(
        Request(f"{account}{day}", account, START + timedelta(days=day), tuple(("user", text) for text in texts))
        for account, texts in SONGS.items()
        for day in range(2)
    )
    write_run(
        tmp_path, log, [{"one": 1.0}, {"three": 1.0}], [Template("both", ("one", "two")), Template("x", ("three",))]
    )
    return tmp_path


def test_clusters_and_templates_count_each_account_once(run: Path) -> None:
    clusters = of_clusters(run, [1, 0])
    assert clusters.uses.toarray().tolist() == [[0, 1, 1, 0], [1, 1, 0, 0]]
    assert clusters.shared.tolist() == [[2, 1], [1, 2]]
    templates = of_templates(run, [0, 1])
    assert templates.accounts.tolist() == [2, 2]
    assert np.allclose(templates.cosine(), [[1, 0.5], [0.5, 1]])
    assert np.allclose(templates.overlap(), [[1, 0.5], [0.5, 1]])


def test_nobody_asked_for_and_nobody_singing(run: Path) -> None:
    assert of_templates(run, []).overlap().shape == (0, 0)
    assert of_clusters(run, [7]).cosine().tolist() == [[0.0]]


def test_a_template_is_made_of_the_clusters_of_its_segments(run: Path) -> None:
    assert clusters_of(run, [0, 1]) == {0: [0], 1: [1]}
