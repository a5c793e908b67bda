"""Recurrent units: the pieces of text of which templates are made.

A unit is, in this order of preference, a segment text that recurs over owners (equal after `squeezed`), a span of words
that recurs inside segments that do not, or a cluster of reworded segments, none of which recurs enough alone. Every
segment belongs to at most one unit of the first and third kind and may hold several spans. A text without a letter is
no unit: its digits were taken off, so that any two lists of as many numbers would be equal.
"""

from dataclasses import dataclass
from itertools import compress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refrain.config import MineConfig
from refrain.counting import Ints, distinct_pairs, group_sizes, group_starts, ranges, slices, stable_order
from refrain.distinct_texts import number_texts
from refrain.spans import SpanRules, Spans, cut_from, find_spans, shingle
from refrain.squeezing import squeeze_all
from refrain.words import Words, excerpts, split_words

Flags = NDArray[np.bool_]
EXACT, SPAN, CLUSTER = "exact", "span", "cluster"


@dataclass(frozen=True)
class Units:
    """Units and the segments that hold them; a pair (segment, unit) occurs once, sorted by segment, then unit.

    `words` is the length of a unit's text in words (a cluster's: the median of its segments), `fixed` how many of these
    come back word for word (a cluster's: those that at least half of its segments hold), `kinds` one of exact, span,
    cluster, `texts` a readable form. `whole` says of a pair whether the unit fills the segment.
    """

    segment_rows: Ints
    unit_rows: Ints
    whole: Flags
    words: Ints
    fixed: Ints
    kinds: list[str]
    texts: list[str]


@dataclass(frozen=True)
class SegmentTexts:
    """The distinct segments: normalised and readable text, cluster (-1 for none), aligned with segment_row."""

    texts: pa.ChunkedArray
    readable: pa.ChunkedArray
    clusters: Ints


@dataclass(frozen=True)
class Variants:
    """Segments that are equal after squeezing, as one text each.

    `of_segment` gives each segment's variant, `keys` the squeezed forms, `segments` the most widely used segment of
    each variant; a variant's owners are sent_owners where sent_variants is it.
    """

    of_segment: Ints
    keys: pa.LargeStringArray
    segments: Ints
    sent_variants: Ints
    sent_owners: Ints


@dataclass(frozen=True)
class Sent:
    """Who sent which segment, aligned arrays, and how many owners make a unit."""

    segments: Ints
    owners: Ints
    min_owners: int


@dataclass(frozen=True)
class _Found:
    """Units of one kind, and pairs (segment, unit) that they account for; units are numbered on from those before."""

    segment_rows: Ints
    unit_rows: Ints
    whole: Flags
    words: Ints  # of each new unit
    fixed: Ints
    texts: list[str]


def find_units(
    segments: SegmentTexts,
    occurrence_segments: Ints,
    occurrence_owners: Ints,
    config: MineConfig,
    given: Flags | None = None,
) -> Units:
    """The units over `occurrence_*`, aligned arrays with one entry a (request, segment): who sent which segment.

    Of those that are `given` by the log (none, where it is None) spans are not told: a template recurs whole, and what
    its renderings share is a span of theirs and not a small part of its own.
    """
    variants = _variants(segments.texts, occurrence_segments, occurrence_owners)
    words = split_words(variants.keys)
    lengths = words.lengths
    recurrent = np.bincount(variants.sent_variants, minlength=len(lengths)) >= config.min_owners
    often = np.flatnonzero(recurrent)
    recurrent[often] = [_has_letter(key) for key in variants.keys.take(pa.array(often)).to_pylist()]
    rules = SpanRules(config.min_owners, config.span_min_ratio, config.span_min_part)
    sent_variants, sent_owners = variants.sent_variants, variants.sent_owners
    if given is not None and given.any():
        said = variants.of_segment[occurrence_segments[~given]]
        sent_variants, sent_owners = distinct_pairs(said, occurrence_owners[~given])
    spans = find_spans(shingle(words, config.span_words), sent_variants, sent_owners, rules)
    covered = np.zeros(len(lengths), np.int64)
    np.maximum.at(covered, spans.texts, spans.covered)
    mostly = ~recurrent & (covered >= config.span_whole_part * np.maximum(lengths, 1))

    fills = spans.covered >= config.span_whole_part * lengths[spans.texts]
    home = _homes(spans, recurrent[spans.texts] & fills, lengths)
    unit_of_variant = _exact_numbers(recurrent, cut_from(words, spans, home))
    exact = _exact_units(segments, variants, unit_of_variant, lengths)
    unit_of_span = np.where(home >= 0, unit_of_variant[home], -1)
    inner = _span_units(segments, variants, spans, lengths, fills, recurrent, unit_of_span, len(exact.words))
    free = (segments.clusters >= 0) & ~(recurrent | mostly)[variants.of_segment]
    before = len(exact.words) + len(inner.words)
    sent = Sent(occurrence_segments, occurrence_owners, config.min_owners)
    reworded = _cluster_units(segments, free, words, variants.of_segment, sent, before)
    return _in_order({EXACT: exact, SPAN: inner, CLUSTER: reworded})


def _variants(texts: pa.ChunkedArray, occurrence_segments: Ints, occurrence_owners: Ints) -> Variants:
    """The variants, numbered in the order of their first segments."""
    forms = squeeze_all(texts)
    of_segment, keys = number_texts(pc.if_else(pc.equal(forms, ""), texts, forms).cast(pa.large_string()))
    sent_segments, owners = distinct_pairs(occurrence_segments, occurrence_owners)
    usage = np.bincount(sent_segments, minlength=len(texts))
    most = np.zeros(len(keys), np.int64)
    np.maximum.at(most, of_segment, usage)
    widely = np.flatnonzero(usage == most[of_segment])
    widest = np.empty(len(keys), np.int64)
    widest[of_segment[widely[::-1]]] = widely[::-1]  # of several values for one place the last stays: the first segment
    sent_variants, sent_owners = distinct_pairs(of_segment[sent_segments], owners)
    return Variants(of_segment, keys, widest, sent_variants, sent_owners)


def _exact_numbers(recurrent: Flags, whole: Ints) -> Ints:
    """The unit of each variant, -1 for none: one each for those that recur, but one for what is cut from a `whole`."""
    own = recurrent & (whole == np.arange(len(whole)))
    return np.where(recurrent, (np.cumsum(own) - 1)[whole], -1)


def _exact_units(segments: SegmentTexts, variants: Variants, unit_of_variant: Ints, lengths: Ints) -> _Found:
    """The units of recurrent variants, each as long as the longest that it stands for, and read like it."""
    found = np.flatnonzero(unit_of_variant >= 0)
    order = found[np.lexsort((-lengths[found], unit_of_variant[found]))]
    longest = order[group_starts(unit_of_variant[order])]
    units = unit_of_variant[variants.of_segment]
    rows = np.flatnonzero(units >= 0)
    texts = segments.readable.take(pa.array(variants.segments[longest])).to_pylist()
    return _Found(rows, units[rows], np.ones(len(rows), bool), lengths[longest], lengths[longest], texts)


def _span_units(
    segments: SegmentTexts,
    variants: Variants,
    spans: Spans,
    lengths: Ints,
    fills: Flags,
    recurrent: Flags,
    unit_of_span: Ints,
    before: int,
) -> _Found:
    """One unit a span that variants hold which do not recur themselves, but where the span fills a variant that recurs:
    then it stands for that one's unit, `unit_of_span`, which is -1 elsewhere."""
    inside = np.flatnonzero(~recurrent[spans.texts])
    needed = np.unique(spans.ids[inside][unit_of_span[spans.ids[inside]] < 0])
    fullest = _fullest(spans)[needed]
    quoted = segments.readable.take(pa.array(variants.segments[spans.texts[fullest]])).combine_chunks()
    texts = excerpts(quoted, spans.starts[fullest], spans.ends[fullest], lengths[spans.texts[fullest]])
    lettered = np.array([_has_letter(text) for text in texts], bool)
    texts, needed, fullest = list(compress(texts, lettered)), needed[lettered], fullest[lettered]
    sizes = spans.ends[fullest] - spans.starts[fullest]
    unit_of_span = unit_of_span.copy()
    unit_of_span[needed] = before + np.arange(len(needed))
    inside = inside[unit_of_span[spans.ids[inside]] >= 0]

    by_variant = stable_order(variants.of_segment)
    edges = slices(variants.of_segment[by_variant], len(variants.keys))
    held = spans.texts[inside]
    many = edges[held + 1] - edges[held]
    rows = by_variant[np.repeat(edges[held], many) + ranges(many)]
    held_units, whole = np.repeat(unit_of_span[spans.ids[inside]], many), np.repeat(fills[inside], many)
    return _Found(rows, held_units, whole, sizes, sizes, texts)


def _has_letter(text: str) -> bool:
    return any(map(str.isalpha, text))


def _homes(spans: Spans, able: Flags, lengths: Ints) -> Ints:
    """The variant of which each span is the largest part, and of these the most complete, among the entries that are
    `able`; -1 where there is none."""
    at = np.flatnonzero(able)
    part = (spans.ends[at] - spans.starts[at]) / lengths[spans.texts[at]]
    at = at[np.lexsort((spans.texts[at], -spans.held[at], -part, spans.ids[at]))]
    at = at[group_starts(spans.ids[at])]
    home = np.full(spans.count, -1)
    home[spans.ids[at]] = spans.texts[at]
    return home


def _fullest(spans: Spans) -> Ints:
    """The entry in which each span is most complete, the tightest and first among equals, (spans.count,)."""
    order = np.lexsort((spans.ends - spans.starts, -spans.held, spans.ids))
    return order[group_starts(spans.ids[order])]


def _cluster_units(
    segments: SegmentTexts, free: Flags, words: Words, variant_of_segment: Ints, sent: Sent, before: int
) -> _Found:
    """One unit a cluster whose segments, those that are `free`, enough owners sent. It reads like its segment of median
    length."""
    here = free[sent.segments]
    count = int(segments.clusters.max(initial=-1)) + 1
    owners = group_sizes(segments.clusters[sent.segments[here]], sent.owners[here], count)
    live = owners >= sent.min_owners
    rows = np.flatnonzero(free)
    rows = rows[live[segments.clusters[rows]]]
    units = (np.cumsum(live) - 1)[segments.clusters[rows]]
    sizes = words.lengths[variant_of_segment]
    order = np.lexsort((sizes[rows], units))
    edges = slices(units[order], int(live.sum()))
    shared = _shared_words(words, variant_of_segment[rows], units, int(live.sum()))
    below, above = rows[order[(edges[1:] + edges[:-1] - 1) // 2]], rows[order[(edges[1:] + edges[:-1]) // 2]]
    texts = segments.readable.take(pa.array(above)).to_pylist()
    return _Found(rows, before + units, np.ones(len(rows), bool), (sizes[below] + sizes[above]) // 2, shared, texts)


def _shared_words(words: Words, texts: Ints, groups: Ints, count: int) -> Ints:
    """How many words at least half of the texts of each of `count` groups hold, (count,)."""
    many = words.lengths[texts]
    entry = np.repeat(np.arange(len(texts)), many)
    entry, word = distinct_pairs(entry, words.ids[words.bounds[texts[entry]] + ranges(many)])
    width = int(word.max(initial=0)) + 1
    keys = np.sort(groups[entry] * width + word)  # words and groups are fewer than 2^31 each
    first = group_starts(keys)
    holders, group = np.diff(np.append(first, len(keys))), keys[first] // width
    often = 2 * holders >= np.bincount(groups, minlength=count)[group]
    return np.bincount(group[often], minlength=count)


def _in_order(found: dict[str, _Found]) -> Units:
    """The units of all kinds, the pairs sorted and once each: whole where one of equals is."""
    rows = np.concatenate([part.segment_rows for part in found.values()])
    units = np.concatenate([part.unit_rows for part in found.values()])
    whole = np.concatenate([part.whole for part in found.values()])
    order = np.lexsort((~whole, units, rows))
    order = order[group_starts(rows[order], units[order])]
    return Units(
        segment_rows=rows[order],
        unit_rows=units[order],
        whole=whole[order],
        words=np.concatenate([part.words for part in found.values()]),
        fixed=np.concatenate([part.fixed for part in found.values()]),
        kinds=[kind for kind, part in found.items() for _ in part.texts],
        texts=[text for part in found.values() for text in part.texts],
    )
