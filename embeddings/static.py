"""A static encoder: a vector for each word piece, distilled from a transformer; a text is the mean of its pieces.

Distillation as in model2vec (Tulkens and van Dongen, 2024): each piece of the vocabulary goes through the transformer
alone, principal components keep what tells pieces apart, and smooth inverse frequency (Arora, Liang and Ma, 2017, "A
simple but tough-to-beat baseline for sentence embeddings") makes common pieces light. How common a piece is follows
from its rank by Zipf's law: word-piece vocabularies are ordered by frequency. No log is read, so a text's vector is the
same in every store.

It reads no word order and no context. It is over fifty times as fast as its teacher, and rewordings of one sentence
share most of their words: its clusters of them are as pure (docs/log.md).
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from embeddings.encoder import Pieces, SentenceEncoder, Vectors
from refrain.artifacts import digest_json, sync_folder
from refrain.config import EmbedConfig
from refrain.cores import core_count
from refrain.errors import RefrainError

logger = logging.getLogger(__name__)

VERSION = 1  # of what a distillation computes
TABLE = "vectors"
_CHECK = "blake2b"  # the digest of the table, in the file's metadata
_PARTIAL_SUMS, _PAIRWISE_BLOCK = 8, 128  # of numpy: another number is another order, and other bits
_BLOCK_TEXTS = 1024  # texts whose pieces are held at a time by each core


@dataclass(frozen=True)
class StaticEncoder:
    """A table of weighted vectors by piece (pieces, d), with the tokenizer whose ids are its rows."""

    model: str
    fingerprint: str
    table: Vectors
    tokenizer: Any  # tokenizers.Tokenizer

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.table.shape[1])

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors (n, d) in the order of `texts`; RefrainError where a text's vectors add up to nothing.

        Blocks of texts side by side: cutting into pieces and adding up need no interpreter. A text is added up alone,
        so neither its neighbours nor the number of cores change a bit.
        """
        out = np.empty((len(texts), self.dimension), dtype=np.float32)

        def encode_block(start: int) -> None:
            out[start : start + _BLOCK_TEXTS] = self._block(list(texts[start : start + _BLOCK_TEXTS]))

        with ThreadPoolExecutor(core_count()) as pool:
            list(pool.map(encode_block, range(0, len(texts), _BLOCK_TEXTS)))
        return out

    def _block(self, texts: list[str]) -> Vectors:
        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        pieces = Pieces.of([encoding.ids for encoding in encodings])
        if not pieces.counts.all():
            raise RefrainError("a text has no piece that the encoder knows")
        sums = added_up(self.table, pieces)
        norms = np.sqrt(np.einsum("nd,nd->n", sums, sums))
        if not (norms > 0).all():
            raise RefrainError("the vectors of a text's pieces add up to nothing")
        return np.asarray(sums / norms[:, None])


def added_up(table: Vectors, pieces: Pieces) -> Vectors:
    """The sums (n, d) of the rows of each text's pieces, of which every text has one at least.

    Texts of one length side by side, each in the order of np.add.reduceat, which takes four times as long: a text's
    neighbours change no bit of its sum.
    """
    out = np.empty((len(pieces.counts), table.shape[1]), dtype=np.float32)
    for count in np.unique(pieces.counts).tolist():
        chosen = np.flatnonzero(pieces.counts == count)
        rows = np.take(table, pieces.ids[pieces.starts[chosen] + np.arange(count)[:, None]], axis=0)
        out[chosen] = rows[0] + _pairwise(rows[1:]) if count > 1 else rows[0]
    return out


def _pairwise(rows: Vectors) -> Vectors:
    """The sum over the first axis, which is not empty: eight partial sums a block and halves of what is longer, as
    numpy's pairwise summation has it."""
    many = len(rows)
    if many > _PAIRWISE_BLOCK:
        half = many // 2 // _PARTIAL_SUMS * _PARTIAL_SUMS
        return np.asarray(_pairwise(rows[:half]) + _pairwise(rows[half:]))
    whole = many // _PARTIAL_SUMS * _PARTIAL_SUMS
    if whole:
        r = rows[:_PARTIAL_SUMS].copy()
        for start in range(_PARTIAL_SUMS, whole, _PARTIAL_SUMS):
            r += rows[start : start + _PARTIAL_SUMS]
        total = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
    else:
        total, whole = rows[0].copy(), 1
    for row in rows[whole:]:
        total += row
    return np.asarray(total)


def distilled(teacher: SentenceEncoder, config: EmbedConfig, folder: Path) -> StaticEncoder:
    """The static encoder of a transformer; distilled once and kept in `folder`."""
    fingerprint = digest_json({
        "version": VERSION,
        "teacher": teacher.fingerprint,
        "dimensions": config.static_dimensions,
        "frequency": config.static_frequency,
    })  # fmt: skip
    path = folder / f"{fingerprint}.safetensors"
    table = _load(path)
    if table is None:
        logger.info("distilling a static encoder, once for each model and store")
        table = distil(teacher, config.static_dimensions, config.static_frequency)
        _save(path, table)
    return StaticEncoder(config.model, fingerprint, table, teacher.tokenizer)


def distil(teacher: SentenceEncoder, dimensions: int, frequency: float) -> Vectors:
    """The weighted vectors (pieces, d) of the teacher's vocabulary, d at most `dimensions`.

    `frequency` is SIF's constant a: a piece of probability p weighs a / (a + p).
    """
    pieces = teacher.encode_pieces(np.arange(teacher.tokenizer.get_vocab_size())).astype(np.float64)
    centred = pieces - pieces.mean(axis=0)
    values, directions = np.linalg.eigh(centred.T @ centred)
    kept = directions[:, np.argsort(-values, kind="stable")[:dimensions]]
    # An eigenvector's sign is arbitrary: the largest part of each is made positive.
    kept = kept * np.sign(kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])])
    probability = 1 / np.arange(1, len(pieces) + 1)
    probability /= probability.sum()
    weights = frequency / (frequency + probability)
    return np.ascontiguousarray(centred @ kept * weights[:, None], dtype=np.float32)


def _load(path: Path) -> Vectors | None:
    """The table in a file of ours, None where there is none that is whole."""
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            table: NDArray[np.float32] = file.get_tensor(TABLE)
            written = (file.metadata() or {}).get(_CHECK)  # none in a file of an older version
        if written is not None and written != _digest(table):
            raise ValueError("not the table that was written")
    except (OSError, SafetensorError, ValueError):
        logger.warning("a distilled encoder cannot be read and is distilled again")
        return None
    return table


def _save(path: Path, table: Vectors) -> None:
    from safetensors.numpy import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: several stores may share the folder, and two may distil at once.
    temporary = path.with_name(f"{path.stem}-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        save_file({TABLE: table}, temporary, metadata={_CHECK: _digest(table)})
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _digest(table: Vectors) -> str:
    return hashlib.blake2b(np.ascontiguousarray(table).tobytes(), digest_size=16).hexdigest()
