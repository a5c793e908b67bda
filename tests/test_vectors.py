"""The store of vectors: every text once, shards whole or not at all, and a result that no earlier night can change."""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tables import START, Request, log_of, write_requests

from embeddings.encoder import Vectors
from embeddings.shards import as_digests, open_shards, write_shard
from embeddings.vectors import ENCODER, VECTORS, embed_with, open_vectors
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

    Keeps which segments of these tests it was asked for (not the probe sentences), and stops where it is told.
    """

    fingerprint: str = FINGERPRINT
    dimension: int = 8
    model: str = "hash"
    asked: list[str] = field(default_factory=list)
    stop_after: int = 1_000_000

    def encode(self, texts: Sequence[str]) -> Vectors:
        segments = [text for text in texts if text in TEXTS]
        if len(self.asked) + len(segments) > self.stop_after:
            raise KeyboardInterrupt
        self.asked.extend(segments)
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
    for name in (VECTORS, ENCODER):
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


def test_digests_that_end_in_zeros_are_told_apart(tmp_path: Path) -> None:
    digests = as_digests(sorted([bytes(16), b"\x01" + bytes(15), b"\x01\x00\x02" + bytes(13), b"\xff" * 16]))
    write_shard(tmp_path, digests, np.eye(4, dtype=np.float32))
    owner, offset = open_shards(tmp_path).find(
        as_digests([b"\x01\x00\x02" + bytes(13), b"\x01\x00\x01" + bytes(13), bytes(16)])
    )
    assert owner.tolist() == [0, -1, 0]
    assert offset[owner >= 0].tolist() == [2, 0]
