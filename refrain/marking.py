"""A request's text in pieces: what is the template's, and what is the request's own.

Words are compared in the form by which templates are counted (refrain.text.squeezed), so case, digits, punctuation,
doubled and look-alike letters make no difference, and the pieces together are the text as it stood in the log.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, chain

from refrain.segments import token_spans
from refrain.text import normalise, squeezed

FIXED, OWN, CUT = "fixed", "own", "cut"
_CACHED_WORDS = 1 << 16  # the words of templates come up again in every request
_CACHED_LINES = 1 << 12  # and whole lines of them
_SHORT_LINE = 512  # characters up to which a line is remembered: bounds the memory
_CACHED_UNITS = 1 << 10  # of a template, sought in each of its requests


@dataclass(frozen=True)
class Unit:
    """A fixed part of a template; `piece` is the position of the skeleton's text that it is of, None for a rewording
    of which the skeleton shows another."""

    text: str
    piece: int | None


@dataclass(frozen=True)
class Mark:
    """Where a unit stands in a text, in characters."""

    start: int
    end: int
    piece: int | None


def units_of(pieces: Sequence[Sequence[str]], rewordings: Sequence[str] = ()) -> list[Unit]:
    """The fixed parts of a skeleton's pieces, and further texts that stand for one of them."""
    texts = [text for kind, text in pieces if kind == "text"]
    units = [Unit(line, number) for number, text in enumerate(texts) for line in text.splitlines() if line.strip()]
    return [*units, *(Unit(text, None) for text in rewordings)]


def marks(text: str, units: Sequence[Unit]) -> list[Mark]:
    """Where the units stand in the text, once each, in the text's order and without overlap.

    Units of the skeleton come first, the longest before the others; a rewording that touches one of them is left out.
    """
    lines = _lines(text)
    words = list(chain.from_iterable(line.words for line in lines))
    wanted = [(unit, _unit_words(unit.text)) for unit in units]
    places: dict[str, list[int]] = {own[0]: [] for _, own in wanted if own}
    for at, word in enumerate(words):
        if word in places:
            places[word].append(at)
    taken = [False] * len(words)
    found: list[tuple[int, int, int | None]] = []  # words
    for unit, own in sorted(wanted, key=lambda item: (item[0].piece is None, -len(item[1]))):
        for at in places.get(own[0], ()) if own else ():
            end = at + len(own)
            if words[at:end] == own and not any(taken[at:end]):
                taken[at:end] = [True] * len(own)
                found.append((at, end, unit.piece))
                break
    spans = _Spans(lines)
    placed = [Mark(spans.of(at)[0], spans.of(end - 1)[1], piece) for at, end, piece in found]
    return sorted(placed, key=lambda mark: mark.start)


def marked(text: str, units: Sequence[Unit]) -> list[list[str]]:
    """The text as ["fixed", ...] and ["own", ...] in order; joined they are the text."""
    out: list[list[str]] = []
    at = 0
    for mark in marks(text, units):
        between = text[at : mark.start]
        if between.strip() or not out or out[-1][0] == OWN:
            out += [[OWN, between]] if between else []
            out.append([FIXED, text[mark.start : mark.end]])
        else:
            out[-1][1] += text[at : mark.end]
        at = mark.end
    return [*out, [OWN, text[at:]]] if at < len(text) else out


def shortened(pieces: Sequence[Sequence[str]], limit: int) -> list[list[str]]:
    """The pieces with at most `limit` characters of text: what is a request's own is cut before what is fixed.

    ["cut", "120"] stands where 120 characters are left out; nothing follows the one with which the room ends.
    """
    fixed = sum(len(text) for kind, text in pieces if kind != OWN)
    share = max(limit - fixed, 0) // max(sum(kind == OWN for kind, _ in pieces), 1)
    out: list[list[str]] = []
    room, left = limit, sum(len(text) for _, text in pieces)
    for kind, text in pieces:
        keep = min(len(text), room, share if kind == OWN else limit)
        if keep or not text:
            out.append([kind, text[:keep]])
        room, left = room - keep, left - len(text)
        if not room:
            missing = len(text) - keep + left
            return [*out, [CUT, str(missing)]] if missing else out
        if keep < len(text):
            out.append([CUT, str(len(text) - keep)])
    return out


def fillings(text: str, units: Sequence[Unit], pieces: Sequence[Sequence[str]]) -> dict[int, str]:
    """What fills the skeleton's slots in this text, by the slot's position among the slots; empty ones are left out."""
    slot_after: dict[int, int] = {}  # number of texts before a slot -> the slot
    texts = 0
    for kind, _ in pieces:
        if kind == "slot":
            slot_after.setdefault(texts, len(slot_after))
        texts += kind == "text"
    found = marks(text, units)
    out: dict[int, str] = {}
    at = passed = 0
    for mark in [*found, None] if found else []:
        between = text[at : mark.start if mark else len(text)].strip()
        filled = any(map(str.isalnum, between))
        # The slot before a text of the skeleton, where that is known; a gap inside such a text is no slot.
        known = mark is not None and mark.piece is not None
        after = passed if mark is None or mark.piece is None else mark.piece
        if filled and after >= passed and after in slot_after:
            out.setdefault(slot_after[after], between)
        if mark is None:
            break
        # A rewording is of the next text where something stands before it, else of the same.
        passed = min(after + 1 if known or filled or not passed else passed, texts)
        at = mark.end
    return out


@dataclass(frozen=True)
class _Line:
    """The words of a line of text in the compared form, where each stands in it, and how many characters it takes."""

    words: list[str]
    spans: list[tuple[int, int]]
    size: int


class _Spans:
    """Where the words of a text stand."""

    def __init__(self, lines: Sequence[_Line]) -> None:
        self._lines = lines
        self._words = list(accumulate((len(line.words) for line in lines), initial=0))
        self._characters = list(accumulate((line.size for line in lines), initial=0))

    def of(self, word: int) -> tuple[int, int]:
        """The characters [start, end) of a word."""
        line = bisect_right(self._words, word) - 1
        start, end = self._lines[line].spans[word - self._words[line]]
        return self._characters[line] + start, self._characters[line] + end


def _lines(text: str) -> list[_Line]:
    """The lines of a text; no word goes on in the next."""
    return [_short(line) if len(line) <= _SHORT_LINE else _line(line) for line in text.split("\n")]


def _line(line: str) -> _Line:
    tokens = token_spans(line)
    parts = [_compared(line[start:end]) for start, end in tokens]
    words = list(chain.from_iterable(parts))
    if len(words) != len(tokens) or not all(parts):
        tokens = [span for span, own in zip(tokens, parts, strict=True) for _ in own]
    return _Line(words, tokens, len(line) + 1)


_short = lru_cache(maxsize=_CACHED_LINES)(_line)


@lru_cache(maxsize=_CACHED_UNITS)
def _unit_words(text: str) -> list[str]:
    return [word for line in _lines(text) for word in line.words]


@lru_cache(maxsize=_CACHED_WORDS)
def _compared(word: str) -> tuple[str, ...]:
    return tuple(squeezed(normalise(word)).split())
