"""Letters of other scripts that a reader takes for Latin ones, put back where the text around them is Latin.

Look-alikes follow Unicode Technical Standard 39 ("confusables"): only the letters of other scripts that a reader takes
for a Latin letter, and only where the word or its line is Latin, so that Russian and Greek stay what they are.
"""

import re

_IMITATED = {
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


def _both_cases(imitated: dict[str, str]) -> dict[str, str]:
    """The table, and each letter's other case where the table does not name it: what is folded in capitals is folded
    in small letters too, else a text and its lower case would fold apart."""
    cases = {}
    for letter, latin in imitated.items():
        cases.update({letter.lower(): latin.lower(), letter.casefold(): latin.lower(), letter.upper(): latin.upper()})
    return {letter: latin for letter, latin in cases.items() if len(letter) == 1} | imitated


_TO_LATIN = str.maketrans(_both_cases(_IMITATED))
_HAS_LOOKALIKE = re.compile("[" + "".join(map(chr, _TO_LATIN)) + "]")
_WORD = re.compile(r"[^\W\d_]+")
# A word with a look-alike, found at its beginning: the search stays linear whatever the text is.
_SUSPECT = re.compile(rf"(?<![^\W\d_])[^\W\d_{''.join(map(chr, _TO_LATIN))}]*{_HAS_LOOKALIKE.pattern}[^\W\d_]*")
_LATIN = re.compile(r"[A-Za-z]")
_NO_LATIN = bytes(code for code in range(128) if not _LATIN.match(chr(code)))


def fold_lookalikes(text: str) -> str:
    """The text with look-alikes replaced by the Latin letters they imitate.

    A word is replaced where that leaves ASCII alone, and where it has Latin letters already or most letters of its line
    are Latin. Folding twice changes nothing.
    """
    if not _HAS_LOOKALIKE.search(text):
        return text
    return "\n".join(_fold_line(line) if _HAS_LOOKALIKE.search(line) else line for line in text.split("\n"))


def _fold_line(line: str) -> str:
    if not _LATIN.search(line):
        return line  # no word is mixed, and the line is not Latin
    # Mixed words first: they count as Latin when the line's majority is taken, as they would the next time.
    line = _SUSPECT.sub(_fold_mixed, line)
    if not _HAS_LOOKALIKE.search(line):
        return line
    letters = sum(map(len, _WORD.findall(line)))
    latin = len(line.encode("ascii", "ignore").translate(None, _NO_LATIN))
    return _SUSPECT.sub(_fold_word, line) if latin * 2 > letters else line


def _fold_mixed(match: re.Match[str]) -> str:
    return _fold_word(match) if _LATIN.search(match.group()) else match.group()


def _fold_word(match: re.Match[str]) -> str:
    word = match.group()
    latin = word.translate(_TO_LATIN)
    return latin if latin.isascii() else word
