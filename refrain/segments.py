"""A text cut into segments: lines, sentences, what stands before a colon, and long runs at content-defined boundaries.

A boundary depends on the text near it alone, never on what stands far before: a span put into a prompt shifts no later
cut but those close by. Long runs are cut where the hash of the words around a gap is the smallest in its neighbourhood
(content-defined chunking as in Muthitacharoen et al., "A low-bandwidth network file system", SOSP 2001; local minima
as in Schleimer et al., "Winnowing", SIGMOD 2003, and Bjorner et al., "Content-dependent chunking for differential
compression, the local maximum approach", 2010).
"""

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from refrain.text import fold, normalise_folded, squeezed

# Chinese, Japanese kana, Thai, Lao, Tibetan, Myanmar, Khmer: words are not separated by spaces.
_WITH_MARKS = "\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff"
_UNSPACED = _WITH_MARKS + "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Vowel signs and tone marks of these scripts: they belong to the letter before them.
_MARKS = "".join(
    char
    for char in map(chr, range(0x0E00, 0x3100))
    if unicodedata.category(char)[0] == "M" and re.match(f"[{_WITH_MARKS}]", char)
)
# Ends of sentences, with the white space behind them: . ! ? ; or a colon before white space; a full stop of a script
# that puts no space there; and the former before a letter of such a script (after NFKC its colon and question mark are
# the ASCII ones). One set of characters at the front, so that the search skips to the next of them.
_ENDS = re.compile(
    rf"""[.!?:;\u061b\u061f\u3002\u0964\u0965\u06d4\u0589\u104b\u1362\u17d4](?:
    (?<=[.!?:;\u061b\u061f])["')\]]?\s+
    |(?<=[\u3002\u0964\u0965\u06d4\u0589\u104b\u1362\u17d4])\s*|(?<=[.!?:;])(?=[{_UNSPACED}]))""",
    re.VERBOSE,
)
_ASCII_ENDS = re.compile(r"""[.!?:;]["')\]]?\s+""")
_TOKEN = re.compile(rf"[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_SHORT_WORD = 32  # characters up to which a squeezed word is remembered: bounds the memory


@dataclass(frozen=True)
class SegmentRules:
    """How a text is cut. Lengths in words; a character of a script without spaces counts as one word."""

    max_words: int  # a longer run is cut
    window_words: int  # a cut's hash is the smallest within a window of so many words
    max_segments: int  # of one text; what follows is kept as text but forms no segment


def tokens(text: str) -> list[str]:
    """The words of a text; every character of a script without spaces is one, with the marks that it carries."""
    return _TOKEN.findall(text) if _HAS_UNSPACED.search(text) else text.split()


def token_spans(text: str) -> list[tuple[int, int]]:
    """Where each of the `tokens` of a text starts and ends, in characters."""
    return [match.span() for match in _TOKEN.finditer(text)]


def cut(text: str, rules: SegmentRules) -> list[tuple[str, str]]:
    """The segments of a text in order, as (normalised, readable): equal segments have equal normalised forms, the
    readable form keeps case and digits. Pieces without a letter or digit are left out."""
    out: list[tuple[str, str]] = []
    for readable in pieces(text, rules):
        normalised = normalise_folded(readable)
        if says_something(normalised):
            out.append((normalised, readable))
        if len(out) >= rules.max_segments:
            break
    return out


def pieces(text: str, rules: SegmentRules) -> Iterator[str]:
    """The readable forms of a text's segments in order, with the pieces that have no letter or digit."""
    return folded_pieces(fold(text), rules)


def folded_pieces(text: str, rules: SegmentRules) -> Iterator[str]:
    """`pieces` for text that `fold` has seen."""
    plain = text.isascii()
    ends = [match.end() for match in (_ASCII_ENDS if plain else _ENDS).finditer(text)]
    # So few characters hold no more than max_words words; in ASCII there is white space between any two.
    short = 2 * rules.max_words if plain else rules.max_words
    start = 0
    for end in [*ends, len(text)]:
        for line in text[start:end].splitlines():
            piece = line.strip()
            if len(piece) > short:
                yield from map(str.strip, _chunks(piece, rules))
            elif piece:
                yield piece
        start = end


def says_something(normalised: str) -> bool:
    """Whether there is a letter or a digit in a text."""
    return normalised[:1].isalnum() or any(map(str.isalnum, normalised))


def _chunks(piece: str, rules: SegmentRules) -> list[str]:
    """The piece whole, or in parts of at most max_words words where it is longer."""
    spaced = piece.isascii() or not _HAS_UNSPACED.search(piece)
    if spaced and len(piece.split()) <= rules.max_words:
        return [piece]
    spans = token_spans(piece)
    if len(spans) <= rules.max_words:
        return [piece]
    if spaced:
        cuts = inner_cuts(piece, rules)
    else:
        cuts = _cuts(_gaps([normalise_folded(piece[low:high]) for low, high in spans]), rules)
    edges = [0, *(spans[word][0] for word in cuts), len(piece)]
    return [piece[low:high] for low, high in pairwise(edges)]


def inner_cuts(piece: str, rules: SegmentRules) -> Iterator[int]:
    """The words before which a piece is cut, in a script with spaces."""
    # Neither lower case nor digits written as 0 move a space.
    return _cuts(_gaps(normalise_folded(piece).split()), rules)


def _gaps(words: Sequence[str]) -> list[int]:
    """A hash of the words on both sides of every gap; the one at i belongs to the gap before word i + 1.

    They are squeezed, so that digits and doubled letters move no boundary.
    """
    plain = [(_squeezed_word(word) if len(word) <= _SHORT_WORD else squeezed(word)) for word in words]
    pairs = (f"{before} {after}".strip() for before, after in pairwise(plain))
    return [zlib.crc32(pair.encode("utf-8", "replace")) for pair in pairs]


_squeezed_word = lru_cache(maxsize=1 << 16)(squeezed)


def _cuts(hashes: Sequence[int], rules: SegmentRules) -> Iterator[int]:
    """The words before which a run of len(hashes) + 1 words is cut.

    A gap whose hash is the smallest within `reach` gaps on either side is a cut: neighbouring words alone decide on it.
    Where two such cuts lie more than max_words apart, the part between is cut from its left end at the smallest hash
    that leaves more than `reach` words on either side, as every part has.
    """
    reach = min(rules.window_words, rules.max_words - 1) // 2
    start = 0
    for end in [*(gap + 1 for gap in _minima(hashes, reach)), len(hashes) + 1]:
        while end - start > rules.max_words:
            low, high = start + reach, min(start + rules.max_words, end - reach - 1)
            start = min(range(low, high), key=hashes.__getitem__) + 1
            yield start
        if end <= len(hashes):
            yield end
        start = end


def _minima(hashes: Sequence[int], reach: int) -> Iterator[int]:
    """The gaps with `reach` gaps on either side among which theirs is the first of the smallest hashes."""
    at = reach
    while at < len(hashes) - reach:
        around = hashes[at - reach : at + reach + 1]
        first = around.index(min(around)) + at - reach
        if first == at:
            yield at
        # To the right of `at` the next that can be one is the smallest itself; to its left, the first beyond its reach.
        at = first if first > at else first + reach + 1
