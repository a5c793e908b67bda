"""The static encoder: its laws on the real model's vocabulary, and its distillation against the definition."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from embeddings import static
from embeddings.encoder import Pieces as WordPieces
from embeddings.encoder import SentenceEncoder, open_transformer
from embeddings.static import StaticEncoder, _load, _save, added_up, distil, distilled
from embeddings.tiers import open_encoders
from refrain.config import EmbedConfig
from refrain.errors import RefrainError
from refrain.settings import load_settings


@pytest.fixture(scope="module")
def config() -> EmbedConfig:
    return replace(load_settings().config.embed, device="cpu")


@pytest.fixture(scope="module")
def teacher(config: EmbedConfig) -> SentenceEncoder:
    return open_transformer(config)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def encoder(config: EmbedConfig, folder: Path) -> StaticEncoder:
    return distilled(open_transformer(config), config, folder)


@pytest.mark.slow
def test_a_vector_is_of_length_one_and_depends_on_its_text_alone(encoder: StaticEncoder) -> None:
    draw = random.Random(0)
    words = ["please", "explain", "your", "reasoning", "step", "before", "the", "answer", "回答", "🙂", "naïve"]
    texts = [" ".join(draw.choices(words, k=draw.randrange(1, 60))) for _ in range(300)]
    together = encoder.encode(texts)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    order = draw.sample(range(len(texts)), 77)
    again = encoder.encode([texts[at] for at in order])
    assert np.array_equal(again.view(np.uint32), together[order].view(np.uint32))
    assert encoder.encode([]).shape == (0, encoder.dimension)


class Pieces:
    """A tokenizer of single characters, a to z as 0 to 25."""

    class Encoding:
        def __init__(self, text: str) -> None:
            self.ids = [ord(char) - ord("a") for char in text]

    @classmethod
    def encode_batch_fast(cls, texts: list[str], *, add_special_tokens: bool) -> list[Encoding]:
        assert not add_special_tokens
        return [cls.Encoding(text) for text in texts]


@pytest.mark.parametrize("cores", [1, 2, 5])
def test_a_text_is_the_sum_of_its_pieces_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch, cores: int) -> None:
    """Against the definition, and the same bits on any number of cores; more texts than a block has."""
    monkeypatch.setattr(static, "core_count", lambda: cores)
    table = np.random.default_rng(0).normal(size=(26, 8)).astype(np.float32)
    draw = random.Random(0)
    texts = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(1, 40))) for _ in range(2500)]
    encoder = StaticEncoder("pieces", "pieces", table, Pieces)
    found = encoder.encode(texts)
    for text, vector in zip(texts[::7], found[::7], strict=True):
        total = table.astype(float)[[ord(char) - ord("a") for char in text]].sum(axis=0)
        np.testing.assert_allclose(vector, total / np.linalg.norm(total), atol=1e-5)
        assert np.array_equal(vector, encoder.encode([text])[0])


@pytest.mark.parametrize("texts", [["a", ""], ["z"]])
def test_a_text_that_adds_up_to_nothing_has_no_direction(texts: list[str]) -> None:
    table = np.ones((26, 8), np.float32)
    table[25] = 0
    with pytest.raises(RefrainError):
        StaticEncoder("pieces", "pieces", table, Pieces).encode(texts)


@pytest.mark.slow
def test_rewordings_are_nearer_than_other_sentences(encoder: StaticEncoder) -> None:
    asked, reworded, other = encoder.encode(
        [
            "explain every step of your reasoning before you state the answer",
            "before stating the answer, explain your reasoning in every step",
            "the committee postponed the vote on the harbour bridge until spring",
        ]
    )
    assert asked @ reworded > 0.8
    assert asked @ other < 0.4


@pytest.mark.slow
def test_it_is_distilled_once_and_again_where_the_file_is_damaged(
    config: EmbedConfig, encoder: StaticEncoder, folder: Path
) -> None:
    (path,) = folder.glob("*.safetensors")
    before = path.stat().st_mtime_ns
    assert np.array_equal(distilled(open_transformer(config), config, folder).table, encoder.table)
    assert path.stat().st_mtime_ns == before
    path.write_bytes(path.read_bytes()[:100])
    assert np.array_equal(distilled(open_transformer(config), config, folder).table, encoder.table)


def test_a_table_that_was_altered_or_cut_short_is_not_loaded(tmp_path: Path) -> None:
    table = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    path = tmp_path / "deep" / "table.safetensors"
    _save(path, table)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    loaded = _load(path)
    assert loaded is not None
    assert np.array_equal(loaded, table)
    whole = path.read_bytes()
    for at in (len(whole) - 1, len(whole) - table.nbytes):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert _load(path) is None
    path.write_bytes(whole[:-1])
    assert _load(path) is None


def test_distillation_against_its_definition() -> None:
    """A teacher of five pieces whose vectors are known: centred, on principal axes, weighted by Zipf's law."""
    pieces = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)

    class Teacher:
        class tokenizer:  # noqa: N801
            @staticmethod
            def get_vocab_size() -> int:
                return len(pieces)

        @staticmethod
        def encode_pieces(ids: np.ndarray) -> np.ndarray:
            return np.asarray(pieces[ids])

    table = distil(Teacher(), 2, 0.1)  # type: ignore[arg-type]
    centred = pieces.astype(float) - pieces.astype(float).mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    probability = 1 / np.arange(1, 6) / (1 / np.arange(1, 6)).sum()
    wanted = centred @ axes[:2].T * (0.1 / (0.1 + probability))[:, None]
    np.testing.assert_allclose(np.abs(table), np.abs(wanted), atol=1e-5)
    # A share of a piece's weight is its rarity: halved at the constant.
    assert table.dtype == np.float32


def test_the_tier_decides(config: EmbedConfig, tmp_path: Path, teacher: SentenceEncoder) -> None:
    chosen, reader = open_encoders(replace(config, tier="transformer"), tmp_path)
    assert reader is None
    assert chosen.fingerprint == teacher.fingerprint
    assert not list(tmp_path.iterdir())
    encoder, reader = open_encoders(config, tmp_path)
    assert isinstance(encoder, StaticEncoder)
    assert reader is not None
    assert reader.fingerprint == teacher.fingerprint
    with pytest.raises(ValueError, match="tier"):
        replace(config, tier="magic")


@pytest.mark.parametrize("most", [9, 40, 600])
def test_sums_have_the_bits_that_numpy_gives_one_text_after_the_other(most: int) -> None:
    """Stores hold vectors that were added up by np.add.reduceat."""
    rng = np.random.default_rng(most)
    table = rng.normal(size=(100, 24)).astype(np.float32)
    counts = np.concatenate([np.arange(1, most), rng.integers(1, most, 50)])
    pieces = WordPieces(rng.integers(0, len(table), counts.sum()), counts)
    expected = np.add.reduceat(table[pieces.ids], pieces.starts, axis=0)
    assert added_up(table, pieces).tobytes() == expected.tobytes()
