"""Probe sentences by class, and which segments of a log they are near.

Two measures: cosine of the encoder's vectors, for scripts that the encoder reads, and cosine of character n-grams, for
every script. Both mean little as a number ("0.4" is near in one script and anything in another), so a segment is tagged
where its similarity is high and rare among the segments of its own script.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer

from refrain.counting import Ints
from refrain.errors import ConfigError
from refrain.scripts import LATIN, UNSPACED, script_of
from refrain.text import normalise

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Probes:
    """Sentences in normalised form, aligned with the class of each; `titles` say what a class asks for."""

    sentences: list[str]
    classes: Ints
    names: list[str]
    titles: list[str]


@dataclass(frozen=True)
class ProbeRule:
    """When a segment is near a class."""

    min_cosine: float  # of vectors
    min_ngram_cosine: float
    rarest_share: float  # of the segments of its script that may be as near
    ngrams: tuple[int, int]  # characters
    unspaced_ngrams: tuple[int, int]  # characters, in scripts without spaces: there one or two are a word
    block_rows: int


@dataclass(frozen=True)
class Tags:
    """Tagged segments: position of the segment, its class, the similarity, and its measure (vector or ngram)."""

    positions: Ints
    classes: Ints
    similarities: Floats
    by_vector: NDArray[np.bool_]


def read_probes(path: Path) -> Probes:
    """The probes of a TOML file; ConfigError where it is not of the form [class] title, sentences."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        names = sorted(tables)
        titles = [str(tables[name]["title"]) for name in names]
        pairs = [(normalise(str(s)), number) for number, name in enumerate(names) for s in tables[name]["sentences"]]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path.name} holds no probes", hint="each class is a table with a title and a list of sentences"
        ) from error
    return Probes([s for s, _ in pairs], np.array([c for _, c in pairs], np.int64), names, titles)


def tag_segments(
    texts: list[str],
    judged: Ints,
    vectors: Callable[[slice], Floats],
    probes: Probes,
    probe_vectors: Floats,
    rule: ProbeRule,
) -> Tags:
    """The tags of segments given as normalised texts, at most one a (segment, class).

    `judged` (m,) are the positions, ascending, of those that have a unit vector; `vectors` gives (rows, d) of a slice
    of them.
    """
    scripts = np.fromiter(map(script_of, texts), np.int64, len(texts))
    probe_scripts = np.fromiter(map(script_of, probes.sentences), np.int64, len(probes.sentences))
    count = len(probes.names)
    by_vector = np.full((len(texts), count), -1.0, np.float32)
    by_ngram = np.zeros((len(texts), count), np.float32)
    spaced, unspaced = (
        HashingVectorizer(analyzer="char_wb", ngram_range=lengths, norm="l2", alternate_sign=False)
        for lengths in (rule.ngrams, rule.unspaced_ngrams)
    )
    spaced_probes, unspaced_probes = spaced.transform(probes.sentences), unspaced.transform(probes.sentences)
    for start in range(0, len(texts), rule.block_rows):
        block = slice(start, start + rule.block_rows)
        letters = (spaced.transform(texts[block]) @ spaced_probes.T).toarray()
        signs = (unspaced.transform(texts[block]) @ unspaced_probes.T).toarray()
        grams = np.where(np.isin(scripts[block], UNSPACED)[:, None], signs, letters)
        for number in range(count):
            own = probes.classes == number
            by_ngram[block, number] = grams[:, own].max(axis=1)
    for start in range(0, len(judged), rule.block_rows):
        block = slice(start, start + rule.block_rows)
        near = _cosines(vectors(block), probe_vectors)
        for number in range(count):
            latin = (probes.classes == number) & (probe_scripts == LATIN)
            if latin.any():
                by_vector[judged[block], number] = near[:, latin].max(axis=1)
    by_vector[scripts != LATIN] = -1.0
    strong_vector = _high_and_rare(by_vector, scripts, rule.min_cosine, rule.rarest_share)
    strong_ngram = _high_and_rare(by_ngram, scripts, rule.min_ngram_cosine, rule.rarest_share)
    positions, classes = np.nonzero(strong_vector | strong_ngram)
    vector_wins = strong_vector[positions, classes]
    similarity = np.where(vector_wins, by_vector[positions, classes], by_ngram[positions, classes])
    return Tags(positions, classes, similarity.astype(np.float32), vector_wins)


def _cosines(left: Floats, right: Floats) -> Floats:
    """(n, m) inner products. One sum after the other: a matrix product of many threads may round as it likes."""
    return np.stack([np.einsum("nd,d->n", left, row) for row in right], axis=1)


def _high_and_rare(similarity: Floats, scripts: Ints, least: float, rarest_share: float) -> NDArray[np.bool_]:
    """Where a similarity is at least `least` and within the largest `rarest_share` of its script's column."""
    out = similarity >= least
    for script in np.unique(scripts):
        rows = scripts == script
        level = np.quantile(similarity[rows], 1 - rarest_share, axis=0)
        out[rows] &= similarity[rows] >= level
    return out
