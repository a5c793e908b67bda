"""Spans of words that recur over owners inside texts that do not recur as a whole.

A wrapper may stand in the middle of somebody's own sentence, and a slot may lie inside one: then no whole segment comes
back, but runs of words do. A shingle is `size` consecutive words; one that enough owners sent is recurrent. Shingles
that follow one another in a text and are about as common are one span (fingerprinting by shingles: Broder, "On the
resemblance and containment of documents", 1997; here every shingle is kept, and what selects is the count of owners).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refrain.cores import core_count
from refrain.counting import (
    Ints,
    distinct_pairs,
    group_sizes,
    group_starts,
    mix,
    portions,
    ranges,
    slices,
    stable_order,
)
from refrain.words import Words

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # splitmix64's increment: odd, so multiplication permutes 64-bit words
_PAIRS = 1 << 22  # pairs (shingle, owner) counted at a time: bounds the memory, changes no result
_SHINGLES = 1 << 20  # shingles hashed at a time: changes no result
_PARTS = 16  # that shingles are counted in, by their hashes, at most 256: likewise


@dataclass(frozen=True)
class SpanRules:
    """When shingles recur and belong together."""

    min_owners: int  # owners that make a shingle recurrent
    min_ratio: float  # neighbours are one span where the rarer one has this share of the other's owners
    min_part: float  # share of a span's shingles that a text must hold to contain it


@dataclass(frozen=True)
class Shingles:
    """Runs of `size` words of some texts: hash (equal for equal words), text and position of each, ordered by text,
    then position."""

    hashes: NDArray[np.uint64]
    texts: Ints
    positions: Ints
    size: int

    def take(self, chosen: Ints) -> "Shingles":
        """The chosen ones, by place."""
        return Shingles(self.hashes[chosen], self.texts[chosen], self.positions[chosen], self.size)


@dataclass(frozen=True)
class Spans:
    """Recurrent spans and the texts that contain them, ordered by text.

    `texts` and `ids` are aligned: text i contains span s. `starts` and `ends` give the words [start, end) of the text
    from the span's first to its last, `covered` how many of these the span's shingles cover, `held` how many of the
    span's shingles there are. Spans are numbered from 0 in the order of their first text.
    """

    texts: Ints
    ids: Ints
    starts: Ints
    ends: Ints
    covered: Ints
    held: Ints
    count: int


def shingle(words: Words, size: int) -> Shingles:
    """The shingles of texts; a text shorter than `size` has none."""
    counts = np.maximum(words.lengths - size + 1, 0)
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    found = Shingles(np.empty(total, np.uint64), np.empty(total, np.int64), np.empty(total, np.int64), size)

    def fill(some: slice) -> None:
        many = counts[some]
        here = slice(int(ends[some.start] - many[0]), int(ends[some.stop - 1]))
        if here.start == here.stop:
            return
        positions = ranges(many)
        at = np.repeat(words.bounds[some], many) + positions
        low = int(at[0])
        mixed = mix(words.ids[low : int(at[-1]) + size].astype(np.uint64))
        hashes = mixed[: len(mixed) - size + 1].copy()
        for offset in range(1, size):
            hashes *= _MULTIPLIER
            hashes += mixed[offset : offset + len(hashes)]
        found.hashes[here] = mix(hashes[at - low])
        found.texts[here] = np.repeat(np.arange(some.start, some.stop), many)
        found.positions[here] = positions

    with ThreadPoolExecutor(core_count()) as pool:
        list(pool.map(fill, portions(counts, _SHINGLES)))
    return found


def find_spans(shingles: Shingles, sent_texts: Ints, sent_owners: Ints, rules: SpanRules) -> Spans:
    """The recurrent spans in texts whose owners are given as pairs (text, owner), each once, ordered by text."""
    bounds = slices(sent_texts, int(shingles.texts.max(initial=-1)) + 1)
    shingles = shingles.take(_often_sent(shingles, np.diff(bounds), rules.min_owners))
    order = stable_order(shingles.hashes)
    starts = group_starts(shingles.hashes[order].view(np.int64))
    sizes = np.diff(np.append(starts, len(order)))
    owners = _owners_of_shingles(shingles.texts[order], starts, bounds, sent_owners)
    recurrent = owners >= rules.min_owners
    ids = np.empty(len(order), np.int64)
    ids[order] = np.repeat(np.where(recurrent, np.cumsum(recurrent) - 1, -1), sizes)
    here = np.flatnonzero(ids >= 0)
    texts, positions, ids = shingles.texts[here], shingles.positions[here], ids[here]
    span_of_shingle = _components(ids, texts, positions, owners[recurrent], rules.min_ratio)
    size = np.bincount(span_of_shingle)
    spans = span_of_shingle[ids]
    order = stable_order(texts * len(size) + spans)  # by text and position already
    texts, spans, positions, ids = texts[order], spans[order], positions[order], ids[order]
    first = group_starts(texts, spans)  # one a (text, span)
    last = np.append(first[1:], len(texts))[: len(first)] - 1
    group = np.repeat(np.arange(len(first)), last - first + 1)
    held = np.bincount(distinct_pairs(group, ids)[0], minlength=len(first))
    step = np.full(len(texts), shingles.size)  # words that a shingle adds to those of its span before it
    step[1:] = np.minimum(np.diff(positions), shingles.size)
    step[first] = shingles.size
    covered = np.bincount(group, step, len(first)).astype(np.int64)
    enough = np.flatnonzero(held >= rules.min_part * size[spans[first]])
    numbers, count = _by_first(spans[first[enough]])
    return Spans(
        texts=texts[first[enough]],
        ids=numbers,
        starts=positions[first[enough]],
        ends=positions[last[enough]] + shingles.size,
        covered=covered[enough],
        held=held[enough],
        count=count,
    )


def cut_from(words: Words, spans: Spans, home: Ints) -> Ints:
    """The text that each text is the beginning or the end of, (texts,); itself where there is none.

    Only the `home` of a span that makes up all of the shorter text comes into question, which -1 is where a span has
    none: so the two are about as common, and the shorter one is what a cut left of the longer. (A sentence put into
    somebody's own is cut with it where that grows too long for one segment.)
    """
    whole = np.arange(len(words.lengths))
    lengths = words.lengths
    held = home[spans.ids]
    full = (spans.starts == 0) & (spans.ends == lengths[spans.texts]) & (home[spans.ids] >= 0)
    for at in np.flatnonzero(full & (lengths[held] > lengths[spans.texts])):
        text, other = spans.texts[at], held[at]
        part = words.ids[words.bounds[text] : words.bounds[text + 1]]
        longer = words.ids[words.bounds[other] : words.bounds[other + 1]]
        if np.array_equal(part, longer[: len(part)]) or np.array_equal(part, longer[-len(part) :]):
            whole[text] = other
    while not np.array_equal(further := whole[whole], whole):  # texts grow along the way, so that it ends
        whole = further
    return whole


def _components(ids: Ints, texts: Ints, positions: Ints, owners: Ints, min_ratio: float) -> Ints:
    """The span of each recurrent shingle, (shingles,), given their occurrences and their owners."""
    follows = (texts[1:] == texts[:-1]) & (positions[1:] == positions[:-1] + 1)
    a, b = ids[:-1][follows], ids[1:][follows]
    a, b = distinct_pairs(a, b)
    joined = np.minimum(owners[a], owners[b]) >= min_ratio * np.maximum(owners[a], owners[b])
    links = coo_array((np.ones(joined.sum()), (a[joined], b[joined])), shape=(len(owners), len(owners)))
    if not len(owners):
        return np.zeros(0, np.int64)
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _by_first(values: Ints) -> tuple[Ints, int]:
    """The values numbered from 0 in the order in which they first come up, and how many they are."""
    _, first, at = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[at], len(first)


def _often_sent(shingles: Shingles, sent: Ints, least: int) -> Ints:
    """The places of the shingles that were sent at least `least` times, and of few others; `sent` (texts,) is how often
    each text was."""
    part = (shingles.hashes % np.uint64(_PARTS)).astype(np.uint8)

    def often(which: int) -> Ints:
        at = np.flatnonzero(part == which)
        bits = np.uint64(max(len(at) - 1, 1).bit_length())
        places = (np.uint64(1) << bits) - np.uint64(1)
        keys = (shingles.hashes[at] & ~places) | np.arange(len(at), dtype=np.uint64)  # alike ones may meet by chance
        keys.sort()
        at = at[(keys & places).view(np.int64)]
        starts = group_starts((keys >> bits).view(np.int64))
        total = np.add.reduceat(sent[shingles.texts[at]], starts) if len(at) else starts
        return at[np.repeat(total >= least, np.diff(np.append(starts, len(at))))]

    with ThreadPoolExecutor(core_count()) as pool:
        return np.sort(np.concatenate(list(pool.map(often, range(_PARTS)))))


def _owners_of_shingles(texts: Ints, starts: Ints, bounds: Ints, sent_owners: Ints) -> Ints:
    """How many distinct owners sent each shingle, (shingles,): shingle i stands in texts[starts[i]:starts[i + 1]], and
    text j was sent by sent_owners[bounds[j]:bounds[j + 1]]."""
    if not len(texts):
        return np.zeros(0, np.int64)
    sent = np.diff(bounds)
    total = np.add.reduceat(sent[texts], starts)
    starts = np.append(starts, len(texts))

    def counted(some: slice) -> Ints:
        part = texts[starts[some.start] : starts[some.stop]]
        many = sent[part]
        owner = sent_owners[np.repeat(bounds[part], many) + ranges(many)]
        return group_sizes(np.repeat(np.arange(len(total[some])), total[some]), owner, len(total[some]))

    with ThreadPoolExecutor(core_count()) as pool:
        return np.concatenate(list(pool.map(counted, portions(total, _PAIRS))))
