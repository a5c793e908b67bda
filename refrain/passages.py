"""The distinct texts of a task, cut into segments together.

A text is given once and named by its position from then on; what can be said of all texts at once (cutting and
normalising plain ones) is done for all at once when the task is at its end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refrain.config import IngestConfig
from refrain.counting import ranges
from refrain.cutting import cut_plain, normalise_plain, words_and_speech
from refrain.fields import keyed_all
from refrain.segments import SegmentRules, cut, folded_pieces, says_something, tokens
from refrain.text import fold, normalise_folded, repair

DIGEST = pa.binary(16)
FORMS = pa.schema([("digest", DIGEST), ("text", pa.string()), ("raw", pa.string()), ("words", pa.int32())])
TEXTS = pa.schema([("digest", DIGEST), ("text", pa.string())])
_NOTHING = -1  # the form of a piece without a letter or digit
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Told:
    """The texts: `wholes` and `digests` are digests of each before and after it was cut to size, `kept` what was kept,
    `mended` and `cut` whether something had to be mended or cut."""

    wholes: list[bytes]
    digests: list[bytes]
    kept: list[str]
    mended: Flags
    cut: Flags


@dataclass(frozen=True)
class Spoken:
    """Segments of texts: `counts` (texts,) of each, `forms` (segments,) the row of each in the table `table` (FORMS).

    `normal` (forms,) numbers the distinct normalised texts."""

    counts: Places
    forms: Places
    normal: Places
    table: pa.Table


class Passages:
    """Holds the distinct texts of a task."""

    def __init__(self, rules: SegmentRules, max_characters: int, key: bytes) -> None:
        self._rules, self._limit, self._key = rules, max_characters, key
        self._places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """The position of a text."""
        return self._places.setdefault(text, len(self._places))

    def tell(self) -> Told:
        """All texts in the order of their positions, mended and cut to size."""
        repaired = [repair(text) for text in self._places]
        wholes = keyed_all((text.encode() for text, _ in repaired), self._key)
        kept = [text[: self._limit] for text, _ in repaired]
        cut = np.array([len(text) > self._limit for text, _ in repaired], bool)
        digests = wholes.copy()
        for at in np.flatnonzero(cut).tolist():
            (digests[at],) = keyed_all([kept[at].encode()], self._key)
        return Told(wholes, digests, kept, np.array([mended for _, mended in repaired], bool), cut)

    def speak(self, kept: Sequence[str]) -> Spoken:
        """The segments of these texts, each distinct form once."""
        counts, readable = self._pieces(kept)
        distinct = pc.dictionary_encode(readable)
        places, normal, table = self._forms(distinct.dictionary)
        forms = places[distinct.indices.to_numpy()]
        says = forms != _NOTHING
        owners = np.repeat(np.arange(len(kept)), counts)
        kept_counts = np.bincount(owners[says], minlength=len(kept))
        within = ranges(kept_counts) < self._rules.max_segments
        return Spoken(np.minimum(kept_counts, self._rules.max_segments), forms[says][within], normal, table)

    def _pieces(self, kept: Sequence[str]) -> tuple[Places, pa.StringArray]:
        """How many pieces each text has, and the pieces of all, in the order of the texts."""
        folded = [fold(text) for text in kept]
        plain = np.array([text.isascii() for text in folded], bool)
        together = list(cut_plain([text for text in folded if text.isascii()], self._rules))
        apart = [list(folded_pieces(text, self._rules)) for text in folded if not text.isascii()]
        counts = np.zeros(len(kept), np.int64)
        counts[plain] = np.concatenate([np.zeros(0, np.int64), *(part.counts for part in together)])
        counts[~plain] = [len(found) for found in apart]
        found = [part.readable for part in together] + [
            pa.array([piece for one in apart for piece in one], pa.string())
        ]
        # First the pieces of all plain texts, then those of the others: put back into the order of the texts.
        texts = np.concatenate([np.flatnonzero(plain), np.flatnonzero(~plain)])
        lengths = counts[texts]
        starts = np.zeros(len(kept), np.int64)
        starts[texts] = np.cumsum(lengths) - lengths
        order = np.repeat(starts, counts) + ranges(counts)
        return counts, pa.concat_arrays(found).take(pa.array(order))

    def _forms(self, distinct: pa.StringArray) -> tuple[Places, Places, pa.Table]:
        """The row of each distinct piece among those that say something; of these the distinct normalised text, and the
        table."""
        plain = pc.string_is_ascii(distinct)
        normalised = normalise_plain(distinct.filter(plain))
        words, says = words_and_speech(normalised)
        others = [normalise_folded(text) for text in distinct.filter(pc.invert(plain)).to_pylist()]
        normalised = pa.concat_arrays([normalised, pa.array(others, pa.string())])
        words = np.concatenate([words, np.array([len(tokens(text)) for text in others], np.int64)])
        says = np.concatenate([says, np.array([says_something(text) for text in others], bool)])
        at = np.asarray(plain)
        given = np.concatenate([np.flatnonzero(at), np.flatnonzero(~at)])[says]  # the pieces that say something
        rows = np.full(len(distinct), _NOTHING)
        rows[given] = np.arange(len(given))
        texts = pc.dictionary_encode(normalised.filter(pa.array(says)))
        digests = digest_column(keyed_all(_encoded(texts.dictionary), self._key)).take(texts.indices)
        columns = [digests, texts.dictionary_decode(), distinct.take(pa.array(given)), words[says].astype(np.int32)]
        return rows, texts.indices.to_numpy().astype(np.int64), pa.table(columns, schema=FORMS)


def _encoded(texts: pa.StringArray) -> Iterator[bytes]:
    return iter(texts.cast(pa.binary()).to_pylist())


def segment_digests(text: str, config: IngestConfig, key: bytes) -> Iterator[str]:
    """The digests, in hex, of the segments of one text, as the tables of ingest have them."""
    rules = SegmentRules(config.segment_max_words, config.segment_window_words, config.max_segments)
    kept = repair(text)[0][: config.max_text_characters]
    for digest in keyed_all((normal.encode() for normal, _ in cut(kept, rules)), key):
        yield digest.hex()


def digest_column(digests: Sequence[bytes]) -> Any:
    """An Arrow column of digests, 16 bytes each."""
    return pa.FixedSizeBinaryArray.from_buffers(DIGEST, len(digests), [None, pa.py_buffer(b"".join(digests))])
