"""Recurrent units: the pieces of text of which templates are made.

A unit is, in this order of preference, a segment text that recurs over owners (equal after `squeezed`), a span of words
that recurs inside segments that do not, or a cluster of reworded segments, none of which recurs enough alone. Every
segment belongs to at most one unit of the first and third kind and may hold several spans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refrain.config import MineConfig
from refrain.counting import distinct_pairs, group_sizes
from refrain.segments import tokens
from refrain.spans import find_spans, shingle
from refrain.text import squeezed

Ints = NDArray[np.int64]
EXACT, SPAN, CLUSTER = "exact", "span", "cluster"


@dataclass(frozen=True)
class Units:
    """Units and the segments that hold them; a pair (segment, unit) occurs once, sorted by segment, then unit.

    `words` is the length of a unit's text in words (a cluster's: the median of its segments), `kinds` one of exact,
    span, cluster, `texts` a readable form. `whole` says of a pair whether the unit fills the segment.
    """

    segment_rows: Ints
    unit_rows: Ints
    whole: NDArray[np.bool_]
    words: Ints
    kinds: list[str]
    texts: list[str]


@dataclass(frozen=True)
class SegmentTexts:
    """The distinct segments: normalised and readable text, cluster (-1 for none), aligned with segment_row."""

    texts: list[str]
    readable: list[str]
    clusters: Ints


def find_units(segments: SegmentTexts, occurrence_segments: Ints, occurrence_owners: Ints, config: MineConfig) -> Units:
    """The units over `occurrence_*`, aligned arrays with one entry a (request, segment): who sent which segment."""
    variants, keys = _variants(segments.texts)
    words = [tokens(key) for key in keys]
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    text_texts, text_owners = distinct_pairs(variants[occurrence_segments], occurrence_owners)
    recurrent = np.bincount(text_texts, minlength=len(keys)) >= config.min_owners
    first = np.unique(variants, return_index=True)[1]  # the first segment of each variant group, for its readable form

    exact_ids = np.cumsum(recurrent) - 1
    member_rows = np.flatnonzero(recurrent[variants])
    rows, units, whole = [member_rows], [exact_ids[variants[member_rows]]], [np.ones(len(member_rows), bool)]
    unit_words = list(lengths[recurrent])
    kinds = [EXACT] * len(unit_words)
    texts = [segments.readable[first[v]] for v in np.flatnonzero(recurrent)]

    shingles = shingle(words, config.span_words)
    spans = find_spans(
        shingles,
        text_texts,
        text_owners,
        min_owners=config.min_owners,
        min_ratio=config.span_min_ratio,
        min_part=config.span_min_part,
    )
    home = _homes(spans.span_texts, spans.span_ids, spans.count, recurrent, spans.ends - spans.starts, lengths, exact_ids)
    inside = ~recurrent[spans.span_texts]
    covered = np.zeros(len(keys), np.int64)
    np.maximum.at(covered, spans.span_texts[inside], (spans.ends - spans.starts)[inside])
    needed = np.unique(spans.span_ids[inside & (home[spans.span_ids] < 0)])
    new_ids = np.full(spans.count, -1)
    new_ids[needed] = len(unit_words) + np.arange(len(needed))
    target = np.where(home >= 0, home, new_ids)
    longest = _longest(spans.span_ids, spans.ends - spans.starts, spans.count)
    for span in needed:
        at = longest[span]
        text = words[spans.span_texts[at]][spans.starts[at] : spans.ends[at]]
        unit_words.append(len(text))
        kinds.append(SPAN)
        texts.append(" ".join(text))
    by_variant = np.argsort(variants, kind="stable")
    bounds = np.searchsorted(variants[by_variant], np.arange(len(keys) + 1))
    for at in np.flatnonzero(inside):
        text = spans.span_texts[at]
        held = by_variant[bounds[text] : bounds[text + 1]]
        rows.append(held)
        units.append(np.full(len(held), target[spans.span_ids[at]]))
        whole.append(np.full(len(held), bool(covered[text] >= config.span_whole_part * lengths[text])))

    # Clusters gather what neither recurs nor is mostly a span.
    mostly = covered >= config.span_whole_part * np.maximum(lengths, 1)
    free = (segments.clusters >= 0) & ~recurrent[variants] & ~mostly[variants]
    free_owner = free[occurrence_segments]
    count = int(segments.clusters.max(initial=-1)) + 1
    owners = group_sizes(
        segments.clusters[occurrence_segments[free_owner]], occurrence_owners[free_owner], count
    ) if count else np.zeros(0, np.int64)
    live = np.flatnonzero(owners >= config.min_owners)
    ids = np.full(count, -1)
    ids[live] = len(unit_words) + np.arange(len(live))
    held = np.flatnonzero(free & (ids[segments.clusters] >= 0)) if count else np.zeros(0, np.int64)
    held_units = ids[segments.clusters[held]]
    rows.append(held)
    units.append(held_units)
    whole.append(np.ones(len(held), bool))
    order = np.argsort(held_units, kind="stable")
    for members in np.split(held[order], np.flatnonzero(np.diff(held_units[order])) + 1) if len(held) else []:
        sizes = lengths[variants[members]]
        unit_words.append(int(np.median(sizes)))
        kinds.append(CLUSTER)
        texts.append(segments.readable[members[np.argsort(sizes, kind="stable")[len(sizes) // 2]]])
    return _sorted(np.concatenate(rows), np.concatenate(units), np.concatenate(whole), np.array(unit_words), kinds, texts)


def _variants(texts: list[str]) -> tuple[Ints, list[str]]:
    """The group of each text, equal where texts are equal after squeezing, and the squeezed form of each group."""
    ids: dict[str, int] = {}
    groups = np.fromiter((ids.setdefault(squeezed(t) or t, len(ids)) for t in texts), np.int64, len(texts))
    return groups, list(ids)


def _homes(texts: Ints, ids: Ints, count: int, recurrent: NDArray[np.bool_], covered: Ints, lengths: Ints, exact: Ints) -> Ints:
    """The recurrent text that each span is (most of) a part of, as its unit; -1 where none holds it."""
    home = np.full(count, -1)
    at = np.flatnonzero(recurrent[texts])
    # The text of which the span is the largest part; the smallest id wins among equals.
    part = covered[at] / lengths[texts[at]]
    order = np.lexsort((texts[at], -part, ids[at]))
    first = np.unique(ids[at][order], return_index=True)
    home[first[0]] = exact[texts[at][order][first[1]]]
    return home


def _longest(ids: Ints, lengths: Ints, count: int) -> Ints:
    """For each span the entry where it is longest, the first among equals."""
    order = np.lexsort((np.arange(len(ids)), -lengths, ids))
    found, first = np.unique(ids[order], return_index=True)
    out = np.full(count, -1)
    out[found] = order[first]
    return out


def _sorted(rows: Ints, units: Ints, whole: NDArray[np.bool_], words: Ints, kinds: list[str], texts: list[str]) -> Units:
    """The pairs sorted and once each."""
    order = np.lexsort((~whole, units, rows))
    rows, units, whole = rows[order], units[order], whole[order]
    new = np.ones(len(rows), bool)
    new[1:] = (rows[1:] != rows[:-1]) | (units[1:] != units[:-1])
    return Units(rows[new], units[new], whole[new], words, kinds, texts)
