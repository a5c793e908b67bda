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
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from refrain.squeezing import squeeze_all
from refrain.text import fold, normalise_folded

# Chinese, Japanese kana, Thai, Lao, Tibetan, Myanmar, Khmer: words are not separated by spaces.
_WITH_MARKS = "\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff"
_UNSPACED = _WITH_MARKS + "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Vowel signs and tone marks of these scripts: they belong to the letter before them.
_MARKS = "".join(
    char
    for char in map(chr, range(0x0E00, 0x3100))
    if unicodedata.category(char)[0] == "M" and re.match(f"[{_WITH_MARKS}]", char)
)
_LINES = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# After . ! ? ; or a colon and white space; at once after a full stop of a script that puts no space there, and before a
# letter of one (after NFKC its colon and question mark are the ASCII ones).
_SENTENCES = re.compile(
    rf"""(?<=[.!?:;\u061b\u061f]["')\]])\s+|(?<=[.!?:;\u061b\u061f])\s+
    |(?<=[\u3002\u0964\u0965\u06d4\u0589\u104b\u1362\u17d4])\s*|(?<=[.!?:;])(?=[{_UNSPACED}])""",
    re.VERBOSE,
)
_TOKEN = re.compile(rf"[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


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
    for line in _LINES.split(fold(text)):
        for sentence in _SENTENCES.split(line):
            if not sentence or sentence.isspace():
                continue
            for piece in _chunks(sentence, rules):
                readable = piece.strip()
                normalised = normalise_folded(readable)
                if any(map(str.isalnum, normalised)):
                    out.append((normalised, readable))
                if len(out) >= rules.max_segments:
                    return out
    return out


def _chunks(piece: str, rules: SegmentRules) -> list[str]:
    """The piece whole, or in parts of at most max_words words where it is longer."""
    spaced = piece.isascii() or not _HAS_UNSPACED.search(piece)
    if spaced and len(piece.split()) <= rules.max_words:
        return [piece]
    spans = token_spans(piece)
    if len(spans) <= rules.max_words:
        return [piece]
    words = [normalise_folded(piece[low:high]) for low, high in spans]
    # Squeezed, so that digits and doubled letters move no boundary. hashes[i] belongs to the gap before word i + 1.
    pairs = squeeze_all([f"{before} {after}" for before, after in pairwise(words)])
    hashes = np.fromiter((zlib.crc32(pair.encode("utf-8", "replace")) for pair in pairs), np.int64, len(words) - 1)
    edges = [0, *(spans[word][0] for word in _cuts(hashes, rules)), len(piece)]
    return [piece[low:high] for low, high in pairwise(edges)]


def _cuts(hashes: NDArray[np.int64], rules: SegmentRules) -> Iterator[int]:
    """The words before which a run of len(hashes) + 1 words is cut.

    A gap whose hash is the smallest within `reach` gaps on either side is a cut: neighbouring words alone decide on it.
    Where two such cuts lie more than max_words apart, the part between is cut from its left end at the smallest hash
    that leaves more than `reach` words on either side, as every part has.
    """
    reach = min(rules.window_words, rules.max_words - 1) // 2
    around = sliding_window_view(hashes, 2 * reach + 1)
    smallest = np.argmin(around, axis=1) == reach  # the first of equals
    start = 0
    for end in [*(np.flatnonzero(smallest) + reach + 1).tolist(), len(hashes) + 1]:
        while end - start > rules.max_words:
            low, high = start + reach, min(start + rules.max_words, end - reach - 1)
            start = low + int(np.argmin(hashes[low:high])) + 1
            yield start
        if end <= len(hashes):
            yield end
        start = end
