"""The script that a text is written in, coarsely: what an encoder reads and who writes alike hang on it."""

from __future__ import annotations

LATIN = 0
# First and last code points of Cyrillic, Semitic, Indic, South-East Asian, Chinese and Japanese, Korean.
_RANGES = (
    (0x0400, 0x052F),
    (0x0590, 0x077F),
    (0x0900, 0x0DFF),
    (0x0E00, 0x10FF),
    (0x2E80, 0xA4CF),
    (0xAC00, 0xD7AF),
)
COUNT = len(_RANGES) + 1
UNSPACED = (4, 5)  # written without spaces between words


def script_of(text: str) -> int:
    """A number for the script of most letters: 0 for Latin and all that have no number of their own, else 1 to 6."""
    if text.isascii():
        return LATIN
    found = [0] * COUNT
    for char in text:
        point = ord(char)
        if point >= _RANGES[0][0]:
            for number, (first, last) in enumerate(_RANGES, 1):
                if first <= point <= last:
                    found[number] += 1
    best = max(range(COUNT), key=found.__getitem__)
    return best if found[best] * 2 > sum(map(str.isalpha, text)) else LATIN
