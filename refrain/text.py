"""Text as a reader sees it, and text as two equal segments share it.

Three steps, each a function: `repair` makes valid text of whatever a log holds, `fold` undoes what hides text from a
comparison but not from a reader (compatibility forms, invisible characters, look-alike letters), `normalise` removes
what two instances of one template may differ in (case, digit runs, white space).

Look-alikes follow Unicode Technical Standard 39 ("confusables"): only the letters of other scripts that a reader takes
for a Latin letter, and only where the word or its line is Latin, so that Russian and Greek stay what they are.
"""

from __future__ import annotations

import re
import unicodedata

_LOOKALIKES = {
    # Cyrillic
    "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "ҽ": "e", "ғ": "f", "һ": "h", "і": "i", "ї": "i", "ј": "j",
    "к": "k", "ӏ": "l", "м": "m", "н": "h", "о": "o", "р": "p", "ԛ": "q", "ѕ": "s", "т": "t", "ц": "u", "ѵ": "v",
    "ѡ": "w", "ԝ": "w", "х": "x", "у": "y", "ү": "y", "з": "3", "ё": "e", "ѐ": "e", "ӧ": "o", "ӓ": "a", "А": "A",
    "В": "B", "С": "C", "Ԁ": "D", "Е": "E", "Н": "H", "І": "I", "Ј": "J", "К": "K", "М": "M", "О": "O", "Р": "P",
    "Ԛ": "Q", "Ѕ": "S", "Т": "T", "Ѵ": "V", "Ԝ": "W", "Х": "X", "У": "Y", "Ү": "Y", "Ӏ": "I", "З": "3", "Ё": "E",
    # Greek
    "α": "a", "β": "b", "ϲ": "c", "ε": "e", "η": "n", "ι": "i", "ϳ": "j", "κ": "k", "ν": "v", "ο": "o", "ρ": "p",
    "σ": "o", "τ": "t", "υ": "u", "χ": "x", "γ": "y", "ω": "w", "Α": "A", "Β": "B", "Ε": "E", "Ζ": "Z", "Η": "H",
    "Ι": "I", "Κ": "K", "Μ": "M", "Ν": "N", "Ο": "O", "Ρ": "P", "Τ": "T", "Υ": "Y", "Χ": "X",
    # Armenian, Cherokee, Latin letters outside ASCII that NFKC keeps apart
    "ա": "w", "զ": "q", "հ": "h", "ո": "n", "ս": "u", "օ": "o", "Տ": "S", "Ս": "U", "Օ": "O",
    "Ꭺ": "A", "Ᏼ": "B", "Ꮯ": "C", "Ꭰ": "D", "Ꭼ": "E", "Ꮋ": "H", "Ꭻ": "J", "Ꮶ": "K", "Ꮮ": "L", "Ꮇ": "M", "Ꮲ": "P",
    "Ꮪ": "S", "Ꭲ": "T", "Ꮩ": "V", "Ꮃ": "W", "Ꮓ": "Z",
    "ɑ": "a", "ɡ": "g", "ɩ": "i", "ı": "i", "ɪ": "i", "ʟ": "l", "ɴ": "n", "ʀ": "r", "ᴀ": "a", "ᴄ": "c", "ᴅ": "d",
    "ᴇ": "e", "ᴏ": "o", "ᴘ": "p", "ᴛ": "t", "ᴜ": "u", "ᴠ": "v", "ᴡ": "w", "ᴢ": "z", "ꜱ": "s",
}  # fmt: skip
_TO_LATIN = str.maketrans(_LOOKALIKES)
_LOOKALIKE_CLASS = "[" + "".join(_LOOKALIKES) + "]"
_HAS_LOOKALIKE = re.compile(_LOOKALIKE_CLASS)
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")

# Characters that are not drawn: format characters (Cf, found through unicodedata), fillers, variation selectors.
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0" + "".join(map(chr, range(0xFE00, 0xFE10)))
_KEPT_CONTROLS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x85")
_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1b\x1f\x7f]")
_DIGITS = re.compile(r"\d+(?:[.,:]\d+)*")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_COMMON = frozenset("\u2018\u2019\u201c\u201d\u2013\u2014\u2022\u2026\u00a0")
_PLAIN = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2212": "-"})


def repair(value: str | bytes) -> tuple[str, bool]:
    """Valid text without NUL, and whether anything had to be mended.

    Bytes are read as UTF-8; what is not becomes U+FFFD. Pairs of surrogates are joined, lone ones become U+FFFD.
    """
    if isinstance(value, bytes):
        text = value.decode("utf-8", "replace")
        mended = text.encode("utf-8", "surrogatepass") != value
    else:
        text, mended = value, False
    if not text.isascii() and _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        mended = True
    if "\x00" in text:
        text = text.replace("\x00", "")
        mended = True
    return text, mended


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) == "Cf" or char in _FILLERS


def _fold_lookalikes(text: str) -> str:
    lines = []
    for line in text.split("\n"):
        if _HAS_LOOKALIKE.search(line):
            letters = sum(map(len, _WORD.findall(line)))
            latin_line = len(_LATIN.findall(line)) * 2 > letters  # the majority of the line's letters

            def to_latin(match: re.Match[str], latin_line: bool = latin_line) -> str:
                word = match.group()
                if word.isascii() or not _HAS_LOOKALIKE.search(word):
                    return word
                rest = word.translate(_TO_LATIN)
                mixed = _LATIN.search(word) is not None
                return rest if rest.isascii() and (mixed or latin_line) else word

            line = _WORD.sub(to_latin, line)
        lines.append(line)
    return "\n".join(lines)


def fold(text: str) -> str:
    """The text as a reader sees it: NFKC, no invisible or control characters, plain quotes and dashes, look-alike
    letters replaced by the Latin letter that they imitate. Case, digits and line breaks stay."""
    if text.isascii():
        return _CONTROLS.sub("", text)
    odd = set(_NOT_ASCII.findall(text))
    if not odd <= _COMMON:
        invisible = {c for c in odd if _is_invisible(c)}
        if invisible:
            text = text.translate(dict.fromkeys(map(ord, invisible)))
        text = unicodedata.normalize("NFKC", text)
        if _HAS_LOOKALIKE.search(text):
            text = _fold_lookalikes(text)
    return _CONTROLS.sub("", text.translate(_PLAIN).replace("\u2026", "...").replace("\u00a0", " "))


def normalise(text: str) -> str:
    """The form in which two instances of a template are equal: folded, lower case, digit runs as 0, single spaces."""
    return normalise_folded(fold(text))


def normalise_folded(text: str) -> str:
    """`normalise` for text that `fold` has seen."""
    lowered = text.lower() if text.isascii() else text.casefold()
    return " ".join(_DIGITS.sub("0", lowered).split())


_REPEATED = re.compile(r"([^\W\d_])\1+")
_NO_WORD_ASCII = re.compile(r"[^a-z0-9]+")


def squeezed(text: str) -> str:
    """Normalised text with every run of one letter written once and punctuation left out: the form in which doubled
    letters and changed punctuation make no difference. Two different sentences hardly ever share it."""
    if text.isascii():
        return _REPEATED.sub(r"\1", _NO_WORD_ASCII.sub(" ", text.lower())).strip()
    kept = "".join(c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    return " ".join(_REPEATED.sub(r"\1", kept).split())
