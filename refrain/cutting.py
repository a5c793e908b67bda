"""Many plain texts at once: `refrain.segments.pieces` and `refrain.text.normalise_folded` by arithmetic on bytes.

Plain is ASCII that `refrain.text.fold` has seen. What the two functions say of one text is what these say of each; the
tests hold them together.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refrain.segments import SegmentRules, inner_cuts

_BATCH = 4 << 20  # bytes cut at a time: bounds the memory, changes no result
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


def _table(holds: Callable[[str], bool]) -> Flags:
    return np.array([code < 128 and holds(chr(code)) for code in range(256)])  # noqa: PLR2004 (ASCII)


_SPACE = _table(str.isspace)
_BREAK = _table(lambda char: len(f"a{char}a".splitlines()) > 1)
_END = _table(lambda char: char in ".!?:;")
_CLOSING = _table(lambda char: char in "\"')]")
_DIGIT = _table(str.isdigit)
_POINT = _table(lambda char: char in ".,:")
_SPEAKS = _table(str.isalnum)
_LOWER = np.array([ord(chr(code).lower()) if code < 128 else code for code in range(256)], np.uint8)  # noqa: PLR2004


@dataclass(frozen=True)
class Pieces:
    """The readable pieces of texts, one text after the other, and how many each text has, (texts,)."""

    readable: pa.StringArray
    counts: Places


def cut_plain(texts: Sequence[str], rules: SegmentRules) -> Iterator[Pieces]:
    """The pieces of plain texts, in order, some megabytes of text at a time."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text) + 1
        if size >= _BATCH:
            yield _cut(held, rules)
            held, size = [], 0
    if held:
        yield _cut(held, rules)


def _cut(texts: Sequence[str], rules: SegmentRules) -> Pieces:
    ends = np.cumsum([len(text) + 1 for text in texts])
    # A line a text: a line's end ends a piece.
    codes = np.frombuffer(("\n".join(texts) + "\n").encode("ascii"), np.uint8)
    space = _SPACE[codes]
    changes = np.empty(len(codes), bool)
    changes[0] = not space[0]
    np.not_equal(space[1:], space[:-1], out=changes[1:])
    edges = np.flatnonzero(changes)  # where words begin and end, in turns
    starts, stops = edges[0::2], edges[1::2]
    if not len(starts):
        return Pieces(pa.array([], pa.string()), np.zeros(len(texts), np.int64))
    last = codes[stops - 1]
    # The character before the last one, of words that have two.
    before = np.where(stops - starts > 1, codes[np.maximum(stops - 2, 0)], 0)
    ended = _END[last] | (_CLOSING[last] & _END[before])
    after = np.searchsorted(starts, np.flatnonzero(_BREAK[codes]))  # the word after each break
    ended[after[after > 0] - 1] = True
    firsts = np.concatenate([[0], np.flatnonzero(ended[:-1]) + 1])  # the first word of each piece
    words = np.diff(firsts, append=len(starts))
    cuts = [
        first + np.fromiter(inner_cuts(_text(codes, starts[first], stops[first + count - 1]), rules), np.int64)
        for first, count in zip(*_longer(firsts, words, rules.max_words), strict=True)
    ]
    if cuts:
        firsts = np.sort(np.concatenate([firsts, *cuts]))
    begin, stop = starts[firsts], stops[np.append(firsts[1:], len(starts)) - 1]
    counts = np.diff(np.searchsorted(begin, ends), prepend=0)
    return Pieces(coded_texts(codes[_inside(begin, stop, len(codes))], stop - begin), counts)


def _longer(firsts: Places, words: Places, limit: int) -> tuple[list[int], list[int]]:
    long = np.flatnonzero(words > limit)
    return firsts[long].tolist(), words[long].tolist()


def _text(codes: Bytes, start: int, stop: int) -> str:
    return codes[start:stop].tobytes().decode("ascii")


def _inside(begin: Places, stop: Places, size: int) -> Flags:
    """Which of `size` characters lie in one of the stretches; no two touch or overlap."""
    steps = np.zeros(size + 1, np.int8)
    steps[begin] = 1
    steps[stop] = -1
    return np.cumsum(steps[:-1], dtype=np.int8).astype(bool)


def normalise_plain(readable: pa.StringArray) -> pa.StringArray:
    """`normalise_folded` of plain pieces that neither begin nor end with white space; none of them is empty."""
    codes, ends = text_codes(readable)
    if not len(codes):
        return readable
    first = np.zeros(len(codes) + 1, bool)  # of its piece
    first[0], first[ends] = True, True
    space, digit = _SPACE[codes], _DIGIT[codes]
    inner = ~first[:-1]
    number = digit.copy()
    point = np.flatnonzero(_POINT[codes[1:-1]] & digit[:-2] & digit[2:]) + 1
    number[point[inner[point] & ~first[point + 1]]] = True
    kept = np.ones(len(codes), bool)
    kept[1:] = ~(inner[1:] & ((space[1:] & space[:-1]) | (number[1:] & number[:-1])))
    plain = _LOWER[codes]
    plain[space], plain[number] = ord(" "), ord("0")
    lengths = np.add.reduceat(kept, np.concatenate([[0], ends[:-1]]), dtype=np.int64)
    return coded_texts(plain[kept], lengths)


def words_and_speech(normalised: pa.StringArray) -> tuple[Places, Flags]:
    """Of plain normalised texts, none of them empty: how many words each has, and whether one has a letter or digit."""
    codes, ends = text_codes(normalised)
    if not len(codes):
        return np.zeros(0, np.int64), np.zeros(0, bool)
    starts = np.concatenate([[0], ends[:-1]])
    words = np.add.reduceat(codes == ord(" "), starts, dtype=np.int64) + 1
    return words, np.logical_or.reduceat(_SPEAKS[codes], starts)


def text_codes(texts: pa.StringArray) -> tuple[Bytes, Places]:
    """The bytes of texts, one text after the other, and where each ends."""
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    if not len(texts) or data is None:
        return np.zeros(0, np.uint8), np.zeros(0, np.int64)
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]], places[1:] - places[0]


def coded_texts(codes: Bytes, lengths: Any) -> pa.StringArray:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(codes)))
