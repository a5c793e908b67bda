"""Which encoder a configuration means."""

from pathlib import Path

from embeddings.encoder import Encoder, open_transformer
from embeddings.static import open_static_encoder
from refrain.config import EmbedConfig


def open_encoder(config: EmbedConfig, folder: Path) -> Encoder:
    """The encoder of the configured tier, loaded; what is distilled for it is kept in `folder`.

    ConfigError where there is no such model, where it would have to be unpickled, or where it is no transformer with
    a fast tokenizer. The network is used for a model on the hub only.
    """
    return open_static_encoder(config, folder) if config.tier == "static" else open_transformer(config)
