"""Spans of words that recur over owners inside texts that do not recur as a whole.

A wrapper may stand in the middle of somebody's own sentence, and a slot may lie inside one: then no whole segment comes
back, but runs of words do. A shingle is `size` consecutive words; one that enough owners sent is recurrent. Shingles
that follow one another in a text and are about as common are one span (fingerprinting by shingles: Broder, "On the
resemblance and containment of documents", 1997; here every shingle is kept, and what selects is the count of owners).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refrain.counting import distinct_pairs, ranges

Ints = NDArray[np.int64]
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment: odd, so multiplication permutes 64-bit words


@dataclass(frozen=True)
class Shingles:
    """All shingles of some texts: hash, text and position of each, ordered by text, then position."""

    hashes: NDArray[np.uint64]
    texts: Ints
    positions: Ints
    size: int


@dataclass(frozen=True)
class Spans:
    """Recurrent spans and the texts that contain them.

    `span_texts` and `span_ids` are aligned: text i contains span s. `starts` and `ends` give the words [start, end) of
    the text that the span covers. Spans are numbered from 0 in the order of their first text.
    """

    span_texts: Ints
    span_ids: Ints
    starts: Ints
    ends: Ints
    count: int


def shingle(words: list[list[str]], size: int) -> Shingles:
    """The shingles of texts given as lists of words; a text shorter than `size` has none."""
    vocabulary: dict[str, int] = {}
    flat = np.fromiter((vocabulary.setdefault(w, len(vocabulary)) for text in words for w in text), np.int64)
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    counts = np.maximum(lengths - size + 1, 0)
    texts = np.repeat(np.arange(len(words)), counts)
    positions = ranges(counts)
    starts = (np.cumsum(lengths) - lengths)[texts] + positions
    mixed = _mix(flat.astype(np.uint64))
    hashes = np.zeros(len(texts), np.uint64)
    for offset in range(size):
        hashes = hashes * _MULTIPLIER + mixed[starts + offset]
    return Shingles(_mix(hashes), texts, positions, size)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's finaliser (Steele, Lea and Flood, OOPSLA 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def find_spans(
    shingles: Shingles, text_owner_texts: Ints, text_owner_owners: Ints, *, min_owners: int, min_ratio: float, min_part: float
) -> Spans:
    """The recurrent spans in texts whose owners are given as aligned pairs (text, owner), each pair once.

    Neighbouring shingles belong to one span where the rarer one has at least `min_ratio` of the owners of the other.
    A text contains a span where it holds at least `min_part` of the span's shingles.
    """
    distinct, shingle_ids = np.unique(shingles.hashes, return_inverse=True)
    owners = _owners_of_shingles(shingles, shingle_ids, len(distinct), text_owner_texts, text_owner_owners)
    recurrent = owners >= min_owners
    here = np.flatnonzero(recurrent[shingle_ids])
    ids, texts, positions = shingle_ids[here], shingles.texts[here], shingles.positions[here]
    follows = (texts[1:] == texts[:-1]) & (positions[1:] == positions[:-1] + 1)
    low, high = np.minimum(owners[ids[1:]], owners[ids[:-1]]), np.maximum(owners[ids[1:]], owners[ids[:-1]])
    joined = follows & (low >= min_ratio * high)
    links = coo_array((np.ones(joined.sum()), (ids[:-1][joined], ids[1:][joined])), shape=(len(distinct),) * 2)
    _, component = connected_components(links, directed=False)
    size = np.bincount(component[recurrent.nonzero()[0]], minlength=component.max(initial=-1) + 1)
    # One row a (text, span): how many of the span's shingles it holds, and from where to where.
    key = texts * (len(size) + 1) + component[ids]
    order = np.lexsort((positions, key))
    key, positions = key[order], positions[order]
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    ends = np.append(starts[1:], len(key)) if len(starts) else starts
    held = np.array([len(np.unique(ids[order[a:b]])) for a, b in zip(starts, ends, strict=True)], np.int64)
    span_texts, span_ids = key[starts] // (len(size) + 1), key[starts] % (len(size) + 1)
    enough = held >= min_part * size[span_ids]
    span_texts, span_ids = span_texts[enough], span_ids[enough]
    first, last = positions[starts[enough]], positions[ends[enough] - 1] + shingles.size
    _, first_seen, renumbered = np.unique(span_ids, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first_seen, kind="stable"), kind="stable")
    return Spans(span_texts, rank[renumbered] if len(rank) else span_ids, first, last, len(first_seen))


def _owners_of_shingles(shingles: Shingles, shingle_ids: Ints, count: int, texts: Ints, owners: Ints) -> Ints:
    """How many distinct owners sent each shingle."""
    order = np.argsort(texts, kind="stable")
    texts, owners = texts[order], owners[order]
    low = np.searchsorted(texts, shingles.texts, "left")
    many = np.searchsorted(texts, shingles.texts, "right") - low
    pair_owner = owners[np.repeat(low, many) + ranges(many)]
    pair_shingle, _ = distinct_pairs(np.repeat(shingle_ids, many), pair_owner)
    return np.bincount(pair_shingle, minlength=count)
