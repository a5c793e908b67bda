"""Which encoder a configuration means."""

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
