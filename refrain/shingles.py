"""How alike the fixed words of templates are: by the shingles that they share, whatever the order and the slots.

Shingles as in Broder, "On the resemblance and containment of documents", 1997, as sets of word n-grams. The measure is
the cosine of two sets, |A and B| / sqrt(|A| |B|) (Ochiai, 1957): 1 for equal wording, and where one text holds the
other whole, the root of the share that it makes up. So a short quotation is found in the template that it was quoted
from, and a public phrase at the end of a long wrapper does not make the wrapper public.
"""

from collections import Counter
from collections.abc import Sequence
from math import sqrt

from refrain.segments import tokens
from refrain.skeletons import SLOT
from refrain.text import normalise, squeezed

Shingle = tuple[str, ...]


def fixed_words(text: str) -> list[list[str]]:
    """The words of each fixed part of a text with slots, in the form by which templates are counted; parts without a
    word are left out."""
    parts = (tokens(squeezed(normalise(part))) for part in text.split(SLOT))
    return [words for words in parts if words]


def shingles(text: str, width: int) -> frozenset[Shingle]:
    """The runs of `width` words in the fixed parts of a text; a shorter part is one shingle, none crosses a slot."""
    return frozenset(
        tuple(words[start : start + width])
        for words in fixed_words(text)
        for start in range(max(len(words) - width, 0) + 1)
    )


class ShingleIndex:
    """Some texts by their shingles, to be asked which of them another text is like. Asking takes time in the length of
    the other text and in what it shares, not in the number of texts."""

    def __init__(self, texts: Sequence[str], width: int) -> None:
        self._width = width
        self._sizes = []
        self._texts: dict[Shingle, list[int]] = {}
        for number, text in enumerate(texts):
            found = shingles(text, width)
            self._sizes.append(len(found))
            for shingle in found:
                self._texts.setdefault(shingle, []).append(number)

    def similarities(self, text: str) -> dict[int, float]:
        """The cosine with each text that shares a shingle with `text`, by the text's number."""
        own = shingles(text, self._width)
        shared = Counter(number for shingle in own for number in self._texts.get(shingle, ()))
        return {number: count / sqrt(len(own) * self._sizes[number]) for number, count in sorted(shared.items())}
