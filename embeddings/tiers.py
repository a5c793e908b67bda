"""Which encoder a configuration means."""

import importlib
import os
from pathlib import Path

from embeddings.encoder import Encoder, open_transformer
from embeddings.static import distilled
from refrain.config import EmbedConfig


def open_encoders(config: EmbedConfig, folder: Path) -> tuple[Encoder, Encoder | None]:
    """The encoder of the configured tier, loaded, and the transformer that reads what may be near a probe, where it is
    another. What is distilled is kept in `folder`.

    ConfigError where there is no such model, where it would have to be unpickled, or where it is no transformer with
    a fast tokenizer. The network is used for a model on the hub only.
    """
    transformer = open_transformer(config)
    return (distilled(transformer, config, folder), transformer) if config.tier == "static" else (transformer, None)


def load_libraries() -> None:
    """Nothing; what opening an encoder imports is imported then: eight processor seconds, and one core's alone."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the libraries are first imported
    importlib.import_module("sentence_transformers")
