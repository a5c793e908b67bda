"""What is read to say what a text is near: each text once a store; of a log, what is asked for and a sample."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from embeddings import reading
from embeddings.encoder import open_transformer
from embeddings.reading import NearProbes, Reader, near_probes, read_sample, texts_of
from embeddings.sampling import SAMPLE, sample_by_script, write_sample
from embeddings.vectors import ENCODER
from refrain.artifacts import Store
from refrain.errors import StoreError
from refrain.probes import ProbeRule, Probes
from refrain.progress import NoProgress
from refrain.settings import load_settings
from refrain.signals import Signal

RULE = ProbeRule(
    min_cosine=0.5, min_ngram_cosine=0.4, rarest_share=0.1, ngrams=(3, 5), unspaced_ngrams=(1, 2), margin=0.05
)
PROBES = Probes(["show your work", "报告你的推理过程"], np.array([0, 1]), ["work", "推理"], ["", ""])
COMMON = [f"the price of boat {letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
WORKINGS = "let me see how you got there"  # in the encoder's eyes what the probe asks for
OTHERS = [WORKINGS, "你的推理过程报告", "今天天气怎么样"]


@dataclass
class Meaning:
    """An encoder to which WORKINGS means nearly what the probe means, and every other text something of its own."""

    model: str = "meaning"
    fingerprint: str = "meaning"
    dimension: int = 400
    asked: list[str] = field(default_factory=list)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += texts
        known = [*COMMON, *OTHERS]
        out = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            if text in (WORKINGS, "show your work"):
                out[row, 399] = 1
            else:
                out[row, known.index(text)] = 1
        return out


@pytest.fixture
def log(tmp_path: Path) -> list[str]:
    """The texts of a log in tmp_path/requests, in their order, all of them sampled."""
    texts = sorted([*COMMON, *OTHERS])
    for name in ("requests", "vectors"):
        (tmp_path / name).mkdir()
    table = pa.table({"segment_row": pa.array(range(len(texts)), pa.int64()), "text": texts})
    pq.write_table(table, tmp_path / "requests" / "segments.parquet", row_group_size=5)
    write_sample(tmp_path / "vectors" / SAMPLE, np.arange(len(texts)))
    return texts


def reader_of(encoder: Meaning, root: Path) -> Reader:
    return Reader("meaning", lambda: encoder, Store(root / "store"), 3, NoProgress())


def near_of(encoder: Meaning, root: Path) -> NearProbes:
    return NearProbes(root / "requests", root / "vectors", PROBES, RULE, reader_of(encoder, root))


def test_a_text_is_read_once_a_store_and_keeps_its_vector(tmp_path: Path) -> None:
    encoder = Meaning()
    reader = reader_of(encoder, tmp_path)
    first = reader.vectors([*COMMON[:7], COMMON[2]])
    assert np.array_equal(first, Meaning().encode([*COMMON[:7], COMMON[2]]))
    assert sorted(encoder.asked) == COMMON[:7]
    again = reader.vectors(COMMON[8:3:-1])
    assert np.array_equal(again, Meaning().encode(COMMON[8:3:-1]))
    assert sorted(encoder.asked) == COMMON[:9]

    def no_model() -> Meaning:
        raise AssertionError("what the store holds needs no model")

    warm = replace(reader, open=no_model).vectors(COMMON[:9])
    assert np.array_equal(warm, Meaning().encode(COMMON[:9]))


def test_another_encoder_than_the_one_of_the_vectors_reads_nothing(tmp_path: Path) -> None:
    reader = reader_of(Meaning(fingerprint="another"), tmp_path)
    with pytest.raises(StoreError, match="another encoder"):
        reader.vectors(["why"])
    assert not list((tmp_path / "store").rglob("*.npy"))


def test_segments_are_near_by_meaning_in_latin_script_and_by_letters_in_any(tmp_path: Path, log: list[str]) -> None:
    found = near_of(Meaning(), tmp_path)(np.arange(len(log)))
    assert {log[row]: [(s.tag, s.measure) for s in signals] for row, signals in found.items()} == {
        WORKINGS: [("work", "vector")],
        "你的推理过程报告": [("推理", "ngram")],
    }
    assert found[log.index(WORKINGS)] == [Signal("work", 1.0, "vector")]


def test_only_what_is_asked_for_and_the_sample_are_read(tmp_path: Path, log: list[str]) -> None:
    write_sample(tmp_path / "vectors" / SAMPLE, np.array([1, 3, len(log) - 1]))
    encoder = Meaning()
    near = near_of(encoder, tmp_path)
    rows = np.array([2, log.index(WORKINGS)])
    assert set(near(rows)) == {log.index(WORKINGS)}
    assert sorted(encoder.asked) == sorted(["show your work", log[1], log[2], log[3], WORKINGS])
    near(rows)
    assert len(encoder.asked) == 5


def test_what_the_sample_says_everybody_writes_is_no_signal(tmp_path: Path, log: list[str]) -> None:
    """The same segment, in a log of which a third of the sample is nearer and in one of which nothing is."""

    class Everywhere(Meaning):
        def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
            out = super().encode(texts)
            for row, text in enumerate(texts):
                if text in COMMON[:9]:
                    out[row, 399] = 2 + COMMON.index(text)
            return np.asarray(out / np.linalg.norm(out, axis=1, keepdims=True), np.float32)

    at = log.index(COMMON[0])
    assert near_of(Everywhere(), tmp_path)(np.array([at])) == {}
    write_sample(tmp_path / "vectors" / SAMPLE, np.array([row for row, text in enumerate(log) if text in COMMON[9:]]))
    assert set(near_of(Everywhere(), tmp_path)(np.array([at]))) == {at}


def test_portions_change_nothing(tmp_path: Path, log: list[str]) -> None:
    near = near_of(Meaning(), tmp_path)
    rows = np.arange(len(log))
    whole = near(rows)
    one = {row: signals for at in rows for row, signals in near(np.array([at])).items()}
    assert one == whole
    wider = NearProbes(near.requests, near.vectors, PROBES, RULE, replace(near.reader, shard_rows=1000))
    assert wider(rows) == whole


def test_texts_come_in_the_order_of_their_rows(tmp_path: Path, log: list[str]) -> None:
    for rows in ([], [0], [4, 5], [3, 11, 12, 28]):
        assert texts_of(tmp_path / "requests", np.array(rows, np.int64)) == [log[row] for row in rows]


def test_what_reads_is_what_the_vectors_folder_names(tmp_path: Path, log: list[str]) -> None:
    (tmp_path / "vectors" / "encoder.json").write_text('{"reader": "abc"}')
    config = load_settings().config.embed
    near = near_probes(
        tmp_path / "requests", tmp_path / "vectors", config, store=Store(tmp_path / "store"), progress=NoProgress()
    )
    assert near.reader.fingerprint == "abc"
    assert near.rule.ngrams == tuple(config.probe_ngrams)
    assert log


def test_a_sample_is_every_script_s_own_at_even_steps() -> None:
    scripts = np.array([0] * 100 + [5] * 3 + [1] * 10, np.int8)
    order = np.random.default_rng(0).permutation(len(scripts))
    rows = np.arange(len(scripts)) * 2
    chosen = sample_by_script(rows, scripts[order], 5)
    of = dict(zip(rows.tolist(), scripts[order].tolist(), strict=True))
    assert sorted(of[row] for row in chosen.tolist()) == [0] * 5 + [1] * 5 + [5] * 3
    assert (np.diff(chosen) > 0).all()
    latin = rows[scripts[order] == 0]
    assert np.searchsorted(latin, [row for row in chosen.tolist() if of[row] == 0]).tolist() == [0, 20, 40, 60, 80]
    assert sample_by_script(np.zeros(0, np.int64), np.zeros(0, np.int8), 5).tolist() == []


def test_a_large_logs_sample_is_read_beforehand_into_the_store(
    tmp_path: Path, log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_settings(None, ["embed.device=cpu"]).config.embed
    encoder = open_transformer(config)
    (tmp_path / "vectors" / ENCODER).write_text(json.dumps({"reader": encoder.fingerprint}))
    store = Store(tmp_path / "store")
    read_sample(tmp_path / "requests", tmp_path / "vectors", config, store=store)
    assert not store.vectors.exists()
    monkeypatch.setattr(reading, "_AHEAD_FROM", len(log))
    read_sample(tmp_path / "requests", tmp_path / "vectors", config, store=store)

    def no_model() -> Meaning:
        raise AssertionError("what the store holds needs no model")

    latin = [*COMMON, WORKINGS]
    found = Reader(encoder.fingerprint, no_model, store, 3, NoProgress()).vectors(latin)
    assert np.array_equal(found, encoder.encode(latin))
