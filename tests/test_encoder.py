"""The encoder on the real, bundled model: the law of the batch, truncation, hostile text, what is refused."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embeddings.encoder import SentenceEncoder, model_folder, open_transformer
from refrain.config import EmbedConfig
from refrain.errors import ConfigError
from refrain.settings import load_settings

WORDS = (
    "please",
    "think",
    "about",
    "the",
    "grade",
    "of",
    "answer",
    "b",
    "under",
    "this",
    "rubric",
    "and",
    "show",
    "notes",
)


@pytest.fixture(scope="module")
def config() -> EmbedConfig:
    # Small batches: every length costs a whole one.
    return replace(load_settings().config.embed, device="cpu", batch_tokens=256)


@pytest.fixture(scope="module")
def encoder(config: EmbedConfig) -> SentenceEncoder:
    return open_transformer(config)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Distinct texts of every padded length, many of the short ones."""
    draw = random.Random(0)
    lengths = [*range(1, 60, 2), 100, 300, *(draw.randrange(1, 12) for _ in range(90))]
    return [" ".join(draw.choices(WORDS, k=length)) + f" {at}" for at, length in enumerate(lengths)]


def assert_a_vector_depends_on_its_text_alone(encoder: SentenceEncoder, texts: list[str]) -> None:
    together = encoder.encode(texts)
    shuffled = list(range(len(texts)))
    random.Random(1).shuffle(shuffled)
    for order in (shuffled, shuffled[:20], shuffled[-1:], shuffled[-2:-1]):
        again = encoder.encode([texts[at] for at in order])
        assert np.array_equal(again.view(np.uint32), together[order].view(np.uint32))


def test_a_vector_depends_on_its_text_alone(encoder: SentenceEncoder, texts: list[str]) -> None:
    assert_a_vector_depends_on_its_text_alone(encoder, texts)


@pytest.mark.slow
def test_a_vector_depends_on_its_text_alone_in_batches_as_configured(config: EmbedConfig, texts: list[str]) -> None:
    encoder = open_transformer(replace(config, batch_tokens=load_settings().config.embed.batch_tokens))
    assert_a_vector_depends_on_its_text_alone(encoder, [*texts[:12], *texts[30:]])


def test_threads_change_no_bit(encoder: SentenceEncoder, texts: list[str]) -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(encoder.encode(texts[::6]))
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0].view(np.uint32), found[1].view(np.uint32))


def test_agrees_with_sentence_transformers(encoder: SentenceEncoder, texts: list[str]) -> None:
    some = texts[2:40:4]
    plain = encoder.transformer.encode(some, batch_size=1, normalize_embeddings=True, show_progress_bar=False)
    ours = encoder.encode(some)
    assert np.abs(ours - plain).max() < 1e-5
    assert np.abs(np.linalg.norm(ours, axis=1) - 1).max() < 1e-5
    assert ours.dtype == np.float32


def test_half_the_precision_is_nearly_the_same_vector_and_obeys_the_law_of_the_batch(
    config: EmbedConfig, encoder: SentenceEncoder, texts: list[str]
) -> None:
    """The arithmetic of cuda, on the processor: nearly the same directions, under a fingerprint of its own."""
    half = open_transformer(config, dtype="bfloat16")
    assert half.fingerprint != encoder.fingerprint
    assert next(half.transformer.parameters()).dtype == torch.bfloat16
    some = texts[2:60:3]
    found = half.encode(some)
    assert found.dtype == np.float32
    assert (found * encoder.encode(some)).sum(axis=1).min() > 0.995
    assert np.abs(np.linalg.norm(found, axis=1) - 1).max() < 1e-5
    again = half.encode(some[5:8])
    assert np.array_equal(again.view(np.uint32), found[5:8].view(np.uint32))


def test_meaning_is_nearer_than_words(encoder: SentenceEncoder) -> None:
    asked, reworded, other = encoder.encode(
        [
            "explain your reasoning step by step",
            "walk me through how you got there, one step at a time",
            "a red steel step",
        ]
    )
    assert asked @ reworded > asked @ other


def test_what_is_over_long_is_cut_and_nothing_breaks(encoder: SentenceEncoder) -> None:
    long = "word " * 300
    odd = [
        "",
        " ",
        "\x00",
        "\u200b\u202e",
        "[SEP] [PAD] [MASK]",
        "\U0010ffff",
        "a" * 100_000,
        "漢字かな",
        long,
        long + "more",
    ]
    vectors = encoder.encode(odd)
    assert np.isfinite(vectors).all()
    assert np.array_equal(vectors[-1], vectors[-2])
    assert encoder.encode([]).shape == (0, encoder.dimension)
    # A special token's name in a prompt is text: it must not end the text or vanish as padding.
    marked, plain = encoder.tokenizer.encode("a [SEP] b"), encoder.tokenizer.encode("a b")
    assert len(marked.ids) > len(plain.ids) + 1


def test_the_fingerprint_names_all_that_decides_a_vector(
    config: EmbedConfig, tmp_path: Path, encoder: SentenceEncoder
) -> None:
    assert open_transformer(config).fingerprint == encoder.fingerprint
    assert open_transformer(replace(config, shard_rows=1)).fingerprint == encoder.fingerprint
    folder = tmp_path / "model"
    shutil.copytree(model_folder(config.model), folder)
    assert open_transformer(replace(config, model=str(folder))).fingerprint == encoder.fingerprint
    others = [replace(config, max_tokens=64), replace(config, batch_tokens=128), replace(config, padded_tokens=(64,))]
    prints = {open_transformer(other).fingerprint for other in others}
    settings = folder / "1_Pooling" / "config.json"
    pooling = json.loads(settings.read_text())
    pooling.update(pooling_mode_mean_tokens=False, pooling_mode_cls_token=True)
    settings.write_text(json.dumps(pooling))
    prints.add(open_transformer(replace(config, model=str(folder))).fingerprint)
    assert len(prints - {encoder.fingerprint}) == len(others) + 1


def test_weights_that_would_be_unpickled_are_refused(config: EmbedConfig, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(ConfigError, match="safetensors"):
        open_transformer(replace(config, model=str(tmp_path)))


def test_a_name_that_is_no_model_says_so_without_a_network(config: EmbedConfig) -> None:
    with pytest.raises(ConfigError, match="neither a folder"):
        open_transformer(replace(config, model="nobody/no-such-model"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused(config: EmbedConfig) -> None:
    with pytest.raises(ConfigError, match="cuda"):
        open_transformer(replace(config, device="cuda"))
