"""Text that reads as before and compares as different: look-alike letters, zero-width characters, doubled letters."""

from __future__ import annotations

from random import Random

# Latin letters and the Cyrillic ones that are drawn alike.
_ALIKE = dict(zip("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ", strict=True))
_ZERO_WIDTH = "\u200b\u200c\u2060"


def disguised(text: str, strength: float, rng: Random) -> str:
    """The text with a share `strength` of its letters touched; 0 returns it as it is.

    A touched letter becomes its look-alike, gets a zero-width character behind it, or (where it has no look-alike) is
    sometimes doubled; digits, punctuation and white space stay.
    """
    if strength <= 0:
        return text
    out = []
    for letter in text:
        if not letter.isalpha() or rng.random() >= strength:
            out.append(letter)
        elif letter in _ALIKE and rng.random() < 1 / 2:
            out.append(_ALIKE[letter])
        elif letter in _ALIKE or rng.random() < 1 / 2:
            out.append(letter + rng.choice(_ZERO_WIDTH))
        else:
            out.append(letter * 2)
    return "".join(out)
