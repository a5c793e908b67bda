"""A text cut into segments: lines, sentences, what stands before a colon, and long runs at content-defined boundaries.

A boundary depends on the text near it alone, never on what stands before: a span put into a prompt shifts no later
cut. Long runs are cut where the hash of the words around a gap is small (content-defined chunking as in Muthitacharoen
et al., "A low-bandwidth network file system", SOSP 2001; winnowing, Schleimer et al., SIGMOD 2003: the smallest hash
in a window wins).
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from refrain.text import fold, normalise_folded

_LINES = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")
# Chinese, Japanese kana, Thai, Lao, Tibetan, Myanmar, Khmer: words are not separated by spaces.
_UNSPACED = r"\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# After . ! ? ; or a colon and white space; at once after a full stop of a script that puts no space there (after NFKC its
# colon and question mark are the ASCII ones).
_SENTENCES = re.compile(
    rf"""(?<=[.!?:;]["')\]])\s+|(?<=[.!?:;])\s+|(?<=[\u3002\u0964\u06d4])\s*|(?<=[.!?:;])(?=[{_UNSPACED}])"""
)
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_HAS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


@dataclass(frozen=True)
class SegmentRules:
    """How a text is cut. Lengths in words; a character of a script without spaces counts as one word."""

    max_words: int  # a longer run is cut
    window_words: int  # a cut is searched in the last window_words of max_words
    max_segments: int  # of one text; what follows is kept as text but forms no segment


def tokens(text: str) -> list[str]:
    """The words of a text; every character of a script without spaces is one."""
    return _TOKEN.findall(text) if _HAS_UNSPACED.search(text) else text.split()


def _chunks(piece: str, rules: SegmentRules) -> list[str]:
    """A long run in parts of at most max_words words, cut where the hash of the two words around the gap is smallest."""
    if len(piece.split()) <= rules.max_words and (piece.isascii() or not _HAS_UNSPACED.search(piece)):
        return [piece]  # nearly every piece; the general way below finds the same, slower
    spans = [m.span() for m in _TOKEN.finditer(piece)] if _HAS_UNSPACED.search(piece) else [m.span() for m in re.finditer(r"\S+", piece)]
    if len(spans) <= rules.max_words:
        return [piece]
    lowered = piece.lower()
    words = [lowered[a:b] for a, b in spans]
    gaps = [zlib.crc32(f"{words[i - 1]} {words[i]}".encode("utf-8", "replace")) for i in range(1, len(words))]  # gap before word i+1
    parts, start = [], 0
    while len(spans) - start > rules.max_words:
        low, high = start + rules.max_words - rules.window_words, start + rules.max_words
        cut = min(range(low, high), key=lambda i: (gaps[i - 1], i))
        parts.append(piece[spans[start][0] : spans[cut][0]])
        start = cut
    parts.append(piece[spans[start][0] :])
    return parts


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
