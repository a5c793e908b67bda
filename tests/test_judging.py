"""What recurs is read by the judging encoder, once, and nothing else is."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from embeddings.judging import judge_segments
from refrain.artifacts import Store
from refrain.config import EmbedConfig
from refrain.progress import NoProgress
from refrain.settings import load_settings


@dataclass
class Reader:
    """An encoder that keeps what it was asked for: a vector says how long the text is."""

    model: str = "reader"
    fingerprint: str = "reader"
    dimension: int = 3
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        return np.array([[len(text), 1, 0] for text in texts], np.float32)


@pytest.fixture
def config() -> EmbedConfig:
    return replace(load_settings().config.embed, probe_owners=3, shard_rows=2)


def write(folder: Path, rows: list[tuple[str, int]]) -> Path:
    folder.mkdir()
    pq.write_table(
        pa.table({
            "segment_row": pa.array(range(len(rows)), pa.int64()),
            "text": [text for text, _ in rows],
            "owners": pa.array([owners for _, owners in rows], pa.int64()),
            "digest": pa.array([text.encode().ljust(16, b"\1")[-16:] for text, _ in rows], pa.binary(16)),
        }),
        folder / "segments.parquet",
    )  # fmt: skip
    return folder


def test_what_recurs_in_latin_script_is_read_once(tmp_path: Path, config: EmbedConfig) -> None:
    texts = [
        ("explain each step", 3),
        ("seldom seen", 2),
        ("объясни шаг за шагом", 9),
        ("grade a and b", 4),
        ("why", 5),
    ]
    requests, store, reader = write(tmp_path / "requests", texts), Store(tmp_path / "store"), Reader()
    rows = np.array([0, 1, 2, 3])  # the last one has no vector: it is not asked for
    judged = judge_segments(reader, rows, requests, config, store=store, progress=NoProgress())
    assert judged.positions.tolist() == [0, 3]
    assert judged.vectors[:, 0].tolist() == [len("explain each step"), len("grade a and b")]
    assert sorted(reader.asked) == ["explain each step", "grade a and b"]

    more = write(tmp_path / "more", [("new and frequent", 7), *texts])
    judged = judge_segments(reader, np.arange(5), more, config, store=store, progress=NoProgress())
    assert judged.positions.tolist() == [0, 1, 4]
    assert judged.vectors[:, 0].tolist() == [len("new and frequent"), len("explain each step"), len("grade a and b")]
    assert sorted(reader.asked) == ["explain each step", "grade a and b", "new and frequent"]


def test_nothing_that_recurs_is_nothing_to_read(tmp_path: Path, config: EmbedConfig) -> None:
    requests, reader = write(tmp_path / "requests", [("seldom seen", 1)]), Reader()
    judged = judge_segments(
        reader, np.arange(1), requests, config, store=Store(tmp_path / "store"), progress=NoProgress()
    )
    assert (judged.positions.tolist(), judged.vectors.shape, reader.asked) == ([], (0, 3), [])
