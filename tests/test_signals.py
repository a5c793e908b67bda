"""Signals: the classes that a template's most widely sent segments are near, read when they are asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.counting import Ints
from refrain.signals import Signal, TemplateSignals, campaign_signals, template_signals

TRACES, TRACES_TOO = Signal("traces", 0.8, "vector"), Signal("traces", 0.5, "vector")
GRADING = Signal("grading", 0.6, "ngram")
OWNERS = [9, 9, 9, 4, 9, 9, 9, 7, 1, 4]  # by segment_row


@dataclass
class Near:
    """Segments 3 and 7 are near classes; keeps what was asked for."""

    asked: list[list[int]] = field(default_factory=list)

    def __call__(self, rows: Ints) -> Mapping[int, Sequence[Signal]]:
        self.asked.append(rows.tolist())
        found = {3: [TRACES], 7: [TRACES_TOO, GRADING]}
        return {row: found[row] for row in rows.tolist() if row in found}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Template 0 holds segments 3, 7 and 8, template 1 holds 7, template 2 neither, template 3 no segment."""
    held = {"template_id": [0, 0, 0, 1, 2], "segment_row": [3, 8, 7, 7, 4], "cluster_id": [-1] * 5}
    (tmp_path / "requests").mkdir()
    (tmp_path / "templates").mkdir()
    pq.write_table(pa.table({"owners": OWNERS}), tmp_path / "requests/segments.parquet")
    pq.write_table(pa.table(held), tmp_path / "templates/template_segments.parquet")
    pq.write_table(pa.table({"template_id": range(4)}), tmp_path / "templates/templates.parquet")
    return tmp_path / "requests", tmp_path / "templates"


def read(folders: tuple[Path, Path], most: int = 10) -> tuple[TemplateSignals, Near]:
    near = Near()
    return template_signals(*folders, near, most), near


def test_a_template_has_the_nearest_segment_of_each_class(folders: tuple[Path, Path]) -> None:
    signals, near = read(folders)
    assert (signals.known, near.asked) == ({}, [])
    signals.ask([0, 1, 2, 3])
    assert signals.known == {0: [TRACES, GRADING], 1: [GRADING, TRACES_TOO]}
    assert signals.tagged == {0, 1}
    assert near.asked == [[3, 4, 7, 8]]


def test_a_template_is_read_once_and_only_when_it_is_asked_for(folders: tuple[Path, Path]) -> None:
    signals, near = read(folders)
    signals.ask([1, 1])
    signals.ask([1, 3])
    signals.ask([])
    assert signals.tagged == {1}
    signals.ask([2, 1])
    assert near.asked == [[7], [4]]


def test_of_a_template_the_most_widely_sent_segments_are_read(folders: tuple[Path, Path]) -> None:
    for most, rows in ((1, [7]), (2, [3, 7]), (3, [3, 7, 8])):
        signals, near = read(folders, most)
        signals.ask([0])
        assert near.asked == [rows]


def test_a_campaign_has_its_templates_signals_once_each(folders: tuple[Path, Path]) -> None:
    signals, _ = read(folders)
    signals.ask(range(4))
    assert campaign_signals(signals.known, np.array([1, 2, 0])) == [TRACES, GRADING]
    assert campaign_signals(signals.known, np.array([2])) == []
