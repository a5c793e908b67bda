"""Text as a reader sees it, and text as two equal segments share it.

Three steps, each a function: `repair` makes valid text of whatever a log holds, `fold` undoes what hides text from a
comparison but not from a reader (compatibility forms, invisible characters, look-alike letters), `normalise` removes
what two instances of one template may differ in (case, digit runs, white space). `squeezed` goes one step further, to
the form by which templates are counted.
"""

import re
import unicodedata
from functools import lru_cache

from refrain.lookalikes import fold_lookalikes

# Characters that are not drawn: format characters (Cf, found through unicodedata), and from Unicode's property
# Default_Ignorable_Code_Point and the blank Braille pattern, what is no Cf: joiners, fillers, selectors, tags.
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
_SURROGATES = re.compile("[\ud800-\udfff]")
# All but what separates words or lines: tab to carriage return, the four separators, next line.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")
_CONTROL_BYTES = bytes(code for code in range(128) if _CONTROLS.match(chr(code)))
# One digit at the front, not \d+: the search for a first character from a set is the fast one.
_DIGITS = re.compile(r"\d\d*(?:[.,:]\d+)*")
_ASCII_DIGITS = re.compile(r"[0-9][0-9]*(?:[.,:][0-9]+)*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
# What well-typeset English has; a text with nothing else needs no normalisation.
_COMMON = frozenset("\u2018\u2019\u201c\u201d\u2013\u2014\u2022\u2026\u00a0")
_PLAIN = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2013": "-",
    "\u2014": "-",
    "\u2212": "-",
    "\u2026": "...",
    "\u00a0": " ",
}
_FEW = 16  # characters up to which one replacement each is faster than a translation


def repair(value: str | bytes) -> tuple[str, bool]:
    """Valid text without NUL, and whether anything had to be mended.

    Bytes are read as UTF-8; what is not becomes U+FFFD. Pairs of surrogates are joined, lone ones become U+FFFD.
    """
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        mended = text.encode("utf-8") != value
    else:
        text, mended = value, False
    if not text.isascii() and _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        mended = True
    if "\x00" in text:
        text = text.replace("\x00", "")
        mended = True
    return text, mended


def fold(text: str) -> str:
    """The text as a reader sees it: NFKC, no invisible or control characters, plain quotes and dashes, look-alike
    letters replaced by the Latin letter that they imitate. Case, digits and line breaks stay. Folding twice changes
    nothing."""
    if text.isascii():
        data = text.encode("ascii")
        kept = data.translate(None, _CONTROL_BYTES)
        return text if len(kept) == len(data) else kept.decode("ascii")
    text = _CONTROLS.sub("", text)
    odd = set(_NOT_ASCII.findall(text))
    if not odd <= _COMMON:
        text = _without(text, [char for char in odd if _invisible(char)])
        text = unicodedata.normalize("NFKC", text)
        folded = fold_lookalikes(text)
        # A letter that became Latin may compose with the mark behind it.
        text = text if folded == text else unicodedata.normalize("NFC", folded)
    for char, plain in _PLAIN.items():
        text = text.replace(char, plain)
    return text


@lru_cache(maxsize=1 << 14)
def _invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or _IGNORABLE.match(char) is not None


def _without(text: str, chars: list[str]) -> str:
    if len(chars) > _FEW:
        return text.translate(dict.fromkeys(map(ord, chars)))
    for char in chars:
        text = text.replace(char, "")
    return text


def normalise(text: str) -> str:
    """The form in which two instances of a template are equal: folded as one line, lower case, digit runs as 0, single
    spaces. Normalising twice changes nothing."""
    form = normalise_folded(fold(" ".join(text.split())))
    # Case folding spells a few letters out in others, of which the look-alikes are still to be folded.
    while not form.isascii() and (again := normalise_folded(fold(form))) != form:
        form = again
    return form


def normalise_folded(text: str) -> str:
    """`normalise` for text that `fold` has seen."""
    if text.isascii():
        return " ".join(_ASCII_DIGITS.sub("0", text.lower()).split())
    return " ".join(_DIGITS.sub("0", text.casefold()).split())


_REPEATED = re.compile(r"([^\W\d_])\1+")


def spoken(char: str) -> str:
    """What is kept of a character when a text is squeezed: itself or a space."""
    return char if char.isalnum() or unicodedata.category(char)[0] == "M" else " "


def collapses(char: str) -> bool:
    """Whether a run of the character is written once when a text is squeezed."""
    return _REPEATED.fullmatch(char * 2) is not None


class _Spoken(dict[int, str]):
    """`spoken` by code point."""

    def __missing__(self, code: int) -> str:
        self[code] = spoken(chr(code))
        return self[code]


_SPOKEN = _Spoken()


def squeezed(text: str) -> str:
    """Normalised text with every run of one letter written once and punctuation left out: the form in which doubled
    letters and changed punctuation make no difference. Two different sentences hardly ever share it. Marks stay with
    their letters; where nothing is left, the result is empty."""
    return " ".join(_REPEATED.sub(r"\1", text.translate(_SPOKEN)).split())
