"""The store of vectors: every text once, shards whole or not at all, and a result that no earlier night can change."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import START, Request, log_of, write_requests

from embeddings import vectors
from embeddings.encoder import Vectors
from embeddings.sampling import SAMPLE
from embeddings.shards import Places, as_digests, digests_of, open_shards, write_shard
from embeddings.vectors import ENCODER, VECTORS, embed_segments, embed_with, has_letter, open_vectors
from refrain.artifacts import Store
from refrain.config import EmbedConfig
from refrain.errors import StoreError
from refrain.progress import NoProgress
from refrain.settings import load_settings

FINGERPRINT = "0" * 32
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
TEXTS = [f"segment number {word}" for word in WORDS]


@dataclass
class HashEncoder:
    """A true encoder of one line: the text's hash as a direction.

    Keeps what it was asked for, and stops where it is told.
    """

    fingerprint: str = FINGERPRINT
    dimension: int = 8
    model: str = "hash"
    asked: list[str] = field(default_factory=list)
    stop_after: int = 1_000_000

    def encode(self, texts: Sequence[str]) -> Vectors:
        if len(self.asked) + len(texts) > self.stop_after:
            raise KeyboardInterrupt
        self.asked.extend(texts)
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        raw = np.frombuffer(b"".join(hashlib.blake2b(t.encode(), digest_size=8).digest() for t in texts), np.uint8)
        vectors = raw.reshape(len(texts), 8).astype(np.float32) + 1
        unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        return unit


@pytest.fixture
def config() -> EmbedConfig:
    return replace(load_settings().config.embed, shard_rows=3)


Embed = Callable[..., dict[str, int]]


@pytest.fixture
def embed(tmp_path: Path, config: EmbedConfig) -> Embed:
    """embed(texts, encoder, name) -> counts; the result lies in tmp_path/name, the store in tmp_path/store."""

    def run(texts: Sequence[str], encoder: HashEncoder, name: str = "vectors") -> dict[str, int]:
        requests, out = tmp_path / f"{name}.requests", tmp_path / name
        for folder in (requests, out):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        moments = (START + timedelta(minutes=at) for at in range(len(texts)))
        log = log_of(
            Request(f"r{at}", f"a{at}", moment, (("user", text),))
            for at, (moment, text) in enumerate(zip(moments, texts, strict=True))
        )
        write_requests(requests, log)
        return embed_with(encoder, requests, out, config, store=Store(tmp_path / "store"), progress=NoProgress())

    return run


def shard_files(tmp_path: Path, suffix: str) -> list[Path]:
    return sorted((tmp_path / "store" / "vectors" / FINGERPRINT).glob(f"*{suffix}"))


def test_every_segment_finds_its_own_vector(embed: Embed, tmp_path: Path) -> None:
    encoder = HashEncoder()
    counts = embed([*TEXTS, "1234 --- !!", "漢字"], encoder)
    assert {"segments": 13, "without_letters": 1, "encoded": 12, "damaged_shards": 0}.items() <= counts.items()
    opened = open_vectors(tmp_path / "vectors", Store(tmp_path / "store"))
    table = pq.read_table(tmp_path / "vectors.requests" / "segments.parquet").to_pylist()
    texts = [table[row]["text"] for row in opened.segment_rows]
    assert texts == sorted([*TEXTS, "漢字"])
    assert np.array_equal(opened.gather(np.arange(len(texts))), HashEncoder().encode(texts))
    backwards = np.arange(len(texts))[::-1]
    assert np.array_equal(opened.gather(backwards), HashEncoder().encode(texts[::-1]))


def test_only_new_text_is_encoded(embed: Embed) -> None:
    embed(TEXTS[:6], HashEncoder())
    encoder = HashEncoder()
    assert embed(TEXTS[:6], encoder)["encoded"] == 0
    assert encoder.asked == []
    assert embed(TEXTS, encoder)["encoded"] == 5
    assert sorted(encoder.asked) == sorted(TEXTS[6:])


def test_what_the_store_knew_before_changes_no_byte(embed: Embed, tmp_path: Path) -> None:
    embed(TEXTS, HashEncoder(), "cold")
    shutil.rmtree(tmp_path / "store")
    embed(TEXTS[4:7], HashEncoder(), "earlier")
    embed(TEXTS, HashEncoder(), "warm")
    for name in (VECTORS, ENCODER, SAMPLE):
        assert (tmp_path / "cold" / name).read_bytes() == (tmp_path / "warm" / name).read_bytes()


def test_a_run_that_is_cut_off_loses_one_shard_at_most_and_leaves_the_same_store(embed: Embed, tmp_path: Path) -> None:
    embed(TEXTS, HashEncoder())
    whole = {path.name: path.read_bytes() for path in shard_files(tmp_path, "")}
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        embed(TEXTS, HashEncoder(stop_after=8))
    assert len(shard_files(tmp_path, ".json")) == 2
    assert embed(TEXTS, HashEncoder())["encoded"] == len(TEXTS) - 6
    assert {path.name: path.read_bytes() for path in shard_files(tmp_path, "")} == whole


@pytest.mark.parametrize("part", [".vectors.npy", ".digests.npy", ".json"])
@pytest.mark.parametrize("harm", ["torn", "altered", "missing"])
def test_a_damaged_shard_is_encoded_again(embed: Embed, tmp_path: Path, part: str, harm: str) -> None:
    embed(TEXTS[:9], HashEncoder())
    target = shard_files(tmp_path, part)[1]
    content = target.read_bytes()
    if harm == "missing":
        target.unlink()
    else:
        target.write_bytes(content[:-7] if harm == "torn" else content[:-1] + bytes([content[-1] ^ 1]))
    if (part, harm) == (".json", "altered"):
        target.write_bytes(content.replace(b'"blake2b": "', b'"blake2b": "0', 1))
    encoder = HashEncoder()
    counts = embed(TEXTS[:9], encoder)
    assert counts["encoded"] == 3
    assert counts["damaged_shards"] == (0 if (part, harm) == (".json", "missing") else 1)
    opened = open_vectors(tmp_path / "vectors", Store(tmp_path / "store"))
    assert np.array_equal(opened.gather(np.arange(9)), HashEncoder().encode(sorted(TEXTS[:9])))
    assert embed(TEXTS[:9], HashEncoder())["damaged_shards"] == 0


def test_half_written_files_are_swept(embed: Embed, tmp_path: Path) -> None:
    embed(TEXTS[:3], HashEncoder())
    folder = tmp_path / "store" / "vectors" / FINGERPRINT
    (folder / "dead.vectors.npy.tmp").write_bytes(b"half")
    assert embed(TEXTS[:3], HashEncoder())["damaged_shards"] == 0
    assert shard_files(tmp_path, ".tmp") == []


def test_a_pickle_in_the_store_is_never_opened(tmp_path: Path) -> None:
    write_shard(tmp_path, as_digests([b"a" * 16]), np.ones((1, 2), np.float32))
    target = next(tmp_path.glob("*.vectors.npy"))
    record = next(tmp_path.glob("*.json"))
    old = hashlib.blake2b(target.read_bytes(), digest_size=16).hexdigest()
    size = target.stat().st_size
    np.save(target, np.array([{}], dtype=object), allow_pickle=True)
    new = hashlib.blake2b(target.read_bytes(), digest_size=16).hexdigest()
    text = record.read_text().replace(old, new).replace(f'"size": {size}', f'"size": {target.stat().st_size}')
    record.write_text(text)
    opened = open_shards(tmp_path)
    assert (opened.shards, opened.damaged) == ([], 1)


def test_vectors_that_are_gone_are_missed(embed: Embed, tmp_path: Path) -> None:
    embed(TEXTS, HashEncoder())
    shard_files(tmp_path, ".json")[0].unlink()
    with pytest.raises(StoreError, match="3 vectors are missing"):
        open_vectors(tmp_path / "vectors", Store(tmp_path / "store"))


def test_nothing_to_embed(embed: Embed, tmp_path: Path) -> None:
    assert embed([], HashEncoder())["encoded"] == 0
    opened = open_vectors(tmp_path / "vectors", Store(tmp_path / "store"))
    assert opened.gather(opened.segment_rows).shape == (0, 8)


def test_the_sample_has_segments_with_a_letter_of_every_script(
    embed: Embed, tmp_path: Path, config: EmbedConfig
) -> None:
    embed([*TEXTS, "1234 --- !!", "漢字", "привет"], HashEncoder())
    table = pq.read_table(tmp_path / "vectors.requests" / "segments.parquet").to_pylist()
    rows = pq.read_table(tmp_path / "vectors" / SAMPLE)["segment_row"].to_pylist()
    assert [table[row]["text"] for row in rows] == sorted([*TEXTS, "漢字", "привет"])
    assert config.probe_sample >= len(TEXTS)


@given(st.text(max_size=3))
def test_only_text_with_a_letter_is_embedded(text: str) -> None:
    """Whatever is fast must say what `str.isalpha` says of every character."""
    assert has_letter(text) == any(char.isalpha() for char in text)


def test_every_character_that_is_a_letter_is_one() -> None:
    for point in range(sys.maxunicode + 1):
        assert has_letter(chr(point)) == chr(point).isalpha()


@given(st.data())
def test_digests_are_found_as_by_looking_into_one_shard_after_the_other(data: st.DataObject) -> None:
    """Digests of few distinct bytes, so that halves agree and shards hold the same."""
    digest = st.lists(st.sampled_from([0, 1, 255]), min_size=16, max_size=16).map(bytes) | st.sampled_from(
        [bytes(16), bytes(8) + b"\1" * 8, b"\1" * 8 + bytes(8), b"\1" * 16, b"\1" * 15 + b"\2"]
    )
    shards = data.draw(st.lists(st.sets(digest, max_size=5).map(sorted), max_size=4))
    asked = data.draw(st.lists(digest, max_size=8))
    owner, offset = Places.of([as_digests(shard) for shard in shards]).find(as_digests(asked))
    for one, at, row in zip(asked, owner.tolist(), offset.tolist(), strict=True):
        wanted = next(((n, shard.index(one)) for n, shard in enumerate(shards) if one in shard), (-1, -1))
        assert (at, row) == wanted


def test_a_column_of_digests_is_read_from_any_part_of_it() -> None:
    values = [bytes([n]) * 16 for n in range(5)]
    column = pa.chunked_array([pa.array(values[:2], pa.binary(16)), pa.array(values, pa.binary(16)).slice(2, 3)])
    assert digests_of(column).tolist() == as_digests(values).tolist()
    assert digests_of(column.slice(1, 3)).tolist() == as_digests(values[1:4]).tolist()
    assert digests_of(pa.array([], pa.binary(16))).tolist() == []


def test_a_shard_that_is_written_to_after_it_was_checked_is_checked_again(embed: Embed, tmp_path: Path) -> None:
    embed(TEXTS, HashEncoder())
    store = Store(tmp_path / "store")
    open_vectors(tmp_path / "vectors", store)
    target = shard_files(tmp_path, ".vectors.npy")[0]
    content = target.read_bytes()
    os.utime(target, ns=(0, 0))  # whatever the clock's steps
    target.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(StoreError, match="3 vectors are missing"):
        open_vectors(tmp_path / "vectors", store)


def test_digests_that_end_in_zeros_are_told_apart(tmp_path: Path) -> None:
    digests = as_digests(sorted([bytes(16), b"\x01" + bytes(15), b"\x01\x00\x02" + bytes(13), b"\xff" * 16]))
    write_shard(tmp_path, digests, np.eye(4, dtype=np.float32))
    owner, offset = open_shards(tmp_path).find(
        as_digests([b"\x01\x00\x02" + bytes(13), b"\x01\x00\x01" + bytes(13), bytes(16)])
    )
    assert owner.tolist() == [0, -1, 0]
    assert offset[owner >= 0].tolist() == [2, 0]


@pytest.mark.parametrize("last", [None, FINGERPRINT, "1" * 32, "../keys", 7])
def test_whatever_encoder_came_last_the_result_is_the_same(
    last: object, embed: Embed, config: EmbedConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store is looked up for the last result's encoder while this night's is opened."""
    store = Store(tmp_path / "store")
    embed(TEXTS[:6], HashEncoder("1" * 32))
    embed(TEXTS[:4], HashEncoder())
    if last is not None:
        result = store.stages / "vectors" / "earlier"
        result.mkdir(parents=True)
        (result / ENCODER).write_text(json.dumps({"fingerprint": last}), encoding="utf-8")
    encoder = HashEncoder()
    embed(TEXTS, HashEncoder("2" * 32), "plain")
    monkeypatch.setattr(vectors, "open_encoders", lambda config, folder: (encoder, None))
    out = tmp_path / "out"
    out.mkdir()
    counts = embed_segments(tmp_path / "plain.requests", out, config, store=store, progress=NoProgress())
    assert counts["encoded"] == len(TEXTS) - 4
    assert sorted(encoder.asked) == sorted(TEXTS[4:])
    assert (out / VECTORS).read_bytes() == (tmp_path / "plain" / VECTORS).read_bytes()
    assert json.loads((out / ENCODER).read_text(encoding="utf-8"))["fingerprint"] == FINGERPRINT
