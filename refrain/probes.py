"""Probe sentences by class, and which segments of a log they are near.

Two measures: cosine of the encoder's vectors, for scripts that the encoder reads, and cosine of character n-grams, for
every script. Both mean little as a number ("0.4" is near in one script and anything in another), so a segment is tagged
where its similarity is high and rare among the segments of its own script, and higher than with any sentence that says
what everybody asks for: of "explain" and "answer" there is something in most prompts.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    """Sentences in normalised form, aligned with the class of each; `titles` say what a class asks for. Those that say
    what everybody asks for have no class: the number of names."""

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
    margin: float  # beyond what everybody asks for, and how far behind the nearest class


@dataclass(frozen=True)
class Nearness:
    """How near n segments are to each of c classes: `scripts` (n,), cosines of vectors (n, c), -1 where the script or
    the probe is not Latin, and of character n-grams (n, c); the same (n,) of what everybody asks for."""

    scripts: Ints
    by_vector: Floats
    by_ngram: Floats
    ordinary_by_vector: Floats
    ordinary_by_ngram: Floats


@dataclass(frozen=True)
class Levels:
    """By script, the cosine with each class (c,) from which a segment is among the rarest; of vectors and n-grams."""

    by_vector: Mapping[int, Floats]
    by_ngram: Mapping[int, Floats]


@dataclass(frozen=True)
class Tags:
    """Tagged segments: position of the segment, its class, the similarity, and its measure (vector or ngram)."""

    positions: Ints
    classes: Ints
    similarities: Floats
    by_vector: NDArray[np.bool_]


def read_probes(path: Path) -> Probes:
    """The probes of a TOML file; ConfigError where it is not of the form [class] title, sentences. A table with
    `tags = false` is no class: its sentences say what everybody asks for."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
        names = sorted(name for name, table in tables.items() if table.get("tags", True))
        titles = [str(tables[name]["title"]) for name in names]
        ordinary = sorted(tables.keys() - set(names))
        numbers = {name: number for number, name in enumerate(names)} | dict.fromkeys(ordinary, len(names))
        pairs = [(normalise(str(s)), number) for name, number in numbers.items() for s in tables[name]["sentences"]]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path.name} holds no probes", hint="each class is a table with a title and a list of sentences"
        ) from error
    return Probes([s for s, _ in pairs], np.array([c for _, c in pairs], np.int64), names, titles)


def nearness(
    texts: Sequence[str], vectors: Callable[[Sequence[str]], Floats], probes: Probes, rule: ProbeRule
) -> Nearness:
    """How near segments, given as normalised texts, are to the probes. `vectors` gives unit vectors of Latin texts."""
    scripts = _scripts(texts)
    classes = len(probes.names)
    by_vector = np.full((len(texts), classes + 1), -1, np.float32)
    by_ngram = np.zeros((len(texts), classes + 1), np.float32)
    latin = np.flatnonzero(scripts == LATIN)
    read = np.flatnonzero(_scripts(probes.sentences) == LATIN)
    with ThreadPoolExecutor(1) as beside:  # counting n-grams takes one core, and a tenth of the time
        if len(latin) and len(read):
            asked = [texts[row] for row in latin.tolist()] + [probes.sentences[at] for at in read.tolist()]
            coming = beside.submit(vectors, asked)
        unspaced = np.isin(scripts, UNSPACED)
        for rows, lengths in (
            (np.flatnonzero(~unspaced), rule.ngrams),
            (np.flatnonzero(unspaced), rule.unspaced_ngrams),
        ):
            if len(rows) and probes.sentences:
                grams = HashingVectorizer(analyzer="char_wb", ngram_range=lengths, norm="l2", alternate_sign=False)
                own = grams.transform([texts[row] for row in rows.tolist()])
                alike = (own @ grams.transform(probes.sentences).T).toarray()
                _into(by_ngram, rows, alike, probes.classes)
        if len(latin) and len(read):
            found = coming.result()
            _into(by_vector, latin, _cosines(found[: len(latin)], found[len(latin) :]), probes.classes[read])
    return Nearness(scripts, by_vector[:, :classes], by_ngram[:, :classes], by_vector[:, classes], by_ngram[:, classes])


def rare_levels(sample: Nearness, share: float) -> Levels:
    """The cosines that the nearest `share` of a sample of a log's segments have, by script."""
    found: tuple[dict[int, Floats], ...] = ({}, {})
    for script in np.unique(sample.scripts).tolist():
        rows = sample.scripts == script
        for levels, cosines in zip(found, (sample.by_vector, sample.by_ngram), strict=True):
            levels[script] = np.quantile(cosines[rows], 1 - share, axis=0)
    return Levels(*found)


def tag_segments(near: Nearness, levels: Levels, rule: ProbeRule) -> Tags:
    """The tags of segments, at most one a (segment, class): where a cosine is high, rare for its script, higher by the
    margin than with what everybody asks for, and not lower by it than with another class."""
    strong_vector = _high(near.by_vector, near.ordinary_by_vector, rule.min_cosine, rule.margin)
    strong_ngram = _high(near.by_ngram, near.ordinary_by_ngram, rule.min_ngram_cosine, rule.margin)
    strong_vector &= _rare(near.by_vector, near.scripts, levels.by_vector)
    strong_ngram &= _rare(near.by_ngram, near.scripts, levels.by_ngram)
    positions, classes = np.nonzero(strong_vector | strong_ngram)
    vector_wins = strong_vector[positions, classes]
    similarity = np.where(vector_wins, near.by_vector[positions, classes], near.by_ngram[positions, classes])
    return Tags(positions, classes, similarity.astype(np.float32), vector_wins)


def _scripts(texts: Sequence[str]) -> Ints:
    return np.fromiter(map(script_of, texts), np.int64, len(texts))


def _into(near: Floats, rows: Ints, cosines: Floats, classes: Ints) -> None:
    """Nothing; `near` then holds the largest cosine of some rows with the probes of each class."""
    for number in np.unique(classes):
        near[rows, number] = cosines[:, classes == number].max(axis=1)


def _cosines(left: Floats, right: Floats) -> Floats:
    """(n, m) inner products. One sum after the other: a matrix product of many threads may round as it likes."""
    return np.stack([np.einsum("nd,d->n", left, row) for row in right], axis=1)


def _high(cosines: Floats, ordinary: Floats, least: float, margin: float) -> NDArray[np.bool_]:
    """(n, c) where a cosine is high in itself, beside what everybody asks for, and beside the other classes."""
    nearest = cosines.max(axis=1, initial=-1)
    return np.asarray(cosines >= np.maximum(np.maximum(least, ordinary + margin), nearest - margin)[:, None])


def _rare(cosines: Floats, scripts: Ints, levels: Mapping[int, Floats]) -> NDArray[np.bool_]:
    """Where a cosine is at least its script's level; everywhere in a script of which the sample holds nothing."""
    out = np.ones(cosines.shape, bool)
    for script, level in levels.items():
        rows = scripts == script
        out[rows] = cosines[rows] >= level
    return out
