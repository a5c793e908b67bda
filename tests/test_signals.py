"""Signals: the classes that a template's segments are near, each once, nearest first."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.signals import Signal, campaign_signals, template_signals


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Segments 3 and 7 are near classes; template 0 holds 3 and 7, template 1 holds 7, template 2 neither."""
    (tmp_path / "vectors").mkdir()
    (tmp_path / "templates").mkdir()
    near = {
        "segment_row": [7, 3, 7, 9],
        "tag": ["traces", "traces", "grading", "traces"],
        "similarity": [0.5, 0.8, 0.6, 0.9],
        "measure": ["vector", "vector", "ngram", "vector"],
    }
    pq.write_table(pa.table(near), tmp_path / "vectors/probes.parquet")
    held = {"template_id": [0, 0, 1, 2], "segment_row": [3, 7, 7, 4], "cluster_id": [-1, -1, -1, -1]}
    pq.write_table(pa.table(held), tmp_path / "templates/template_segments.parquet")
    return tmp_path / "vectors", tmp_path / "templates"


def test_a_template_has_the_nearest_segment_of_each_class(folders: tuple[Path, Path]) -> None:
    assert template_signals(*folders) == {
        0: [Signal("traces", 0.8, "vector"), Signal("grading", 0.6, "ngram")],
        1: [Signal("grading", 0.6, "ngram"), Signal("traces", 0.5, "vector")],
    }


def test_a_campaign_has_its_templates_signals_once_each(folders: tuple[Path, Path]) -> None:
    signals = template_signals(*folders)
    assert campaign_signals(signals, np.array([1, 2, 0])) == signals[0]
    assert campaign_signals(signals, np.array([2])) == []
