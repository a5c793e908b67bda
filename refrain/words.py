"""The words of many texts as one array of numbers, and the way back to a readable text."""

from bisect import bisect_left, bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from refrain.cores import core_count
from refrain.counting import Ints
from refrain.cutting import text_codes
from refrain.segments import token_spans, tokens
from refrain.text import normalise_folded, squeezed

_BATCH = 16_384  # texts split at a time: changes no result
_CACHED_WORDS = 1 << 16  # the same words come up in many texts
_ALNUM, _BLANK = (
    np.array([code < 128 and holds(chr(code)) for code in range(256)])  # noqa: PLR2004 (ASCII)
    for holds in (str.isalnum, str.isspace)
)


@dataclass(frozen=True)
class Words:
    """Texts as word numbers: text i is ids[bounds[i]:bounds[i + 1]]. Words are numbered in the order in which they come
    up; equal numbers are equal words."""

    ids: Ints
    bounds: Ints  # (texts + 1,)

    @property
    def lengths(self) -> Ints:
        """The number of words of each text, (texts,)."""
        return np.diff(self.bounds)


def split_words(texts: pa.LargeStringArray) -> Words:
    """The words of texts that hold no white space but single spaces between words, as `tokens` tells them apart."""
    batches = [texts.slice(start, _BATCH) for start in range(0, len(texts), _BATCH)]
    with ThreadPoolExecutor(core_count()) as pool:
        parts = list(pool.map(_split, batches))
    # Words come up in a batch in the order of its own list, so that the lists one after the other keep the order.
    lists = pa.chunked_array([part.dictionary for part, _ in parts], pa.large_string()).dictionary_encode()
    numbers = [chunk.indices.to_numpy(zero_copy_only=False).astype(np.int64) for chunk in lists.chunks]
    found = [number[part.indices.to_numpy()] for number, (part, _) in zip(numbers, parts, strict=True)]
    bounds = np.concatenate(
        [[0], np.cumsum(np.concatenate([*(lengths for _, lengths in parts), np.zeros(0, np.int64)]))]
    )
    return Words(np.concatenate([*found, np.zeros(0, np.int64)]), bounds)


def _split(texts: pa.LargeStringArray) -> tuple[pa.DictionaryArray, Ints]:
    """The words of some texts, one text after the other, and how many each has."""
    odd = pc.invert(pc.string_is_ascii(texts))
    spaced = [" ".join(tokens(text)) for text in texts.filter(odd).to_pylist()]
    parts = pc.split_pattern(pc.replace_with_mask(texts, odd, pa.array(spaced, pa.large_string())), " ")
    lengths = pc.list_value_length(parts).to_numpy(zero_copy_only=False).astype(np.int64)
    return parts.flatten().dictionary_encode(), lengths


def excerpt(readable: str, start: int, end: int, count: int) -> str:
    """The part of a readable text that the words [start, end) of its squeezed form, which has `count`, stand for; these
    words themselves where repeated characters keep the two from being aligned."""
    parts = tokens(readable)
    ends = list(accumulate(map(_squeezed_length, parts)))
    if not count or ends[-1] != count:
        return " ".join(_squeezed_tokens(readable)[start:end])
    first, last = bisect_right(ends, start), bisect_left(ends, end)
    if readable.isascii():  # no words but between spaces
        return readable.rsplit(None, len(parts) - 1 - last)[0].split(None, first)[-1]
    pieces = token_spans(readable)
    return readable[pieces[first][0] : pieces[last][1]]


def excerpts(readable: pa.StringArray, starts: Ints, ends: Ints, counts: Ints) -> list[str]:
    """`excerpt` of each text with its start, end and count. In ASCII the words of a squeezed form are the runs of
    letters and digits, so that plain texts are looked through all at once."""
    codes, stops = text_codes(readable)
    bounds = np.concatenate([[0], stops])
    new = np.zeros(len(codes) + 1, bool)
    new[bounds] = True
    word, blank = _ALNUM[codes], _BLANK[codes]
    words = np.flatnonzero(word & (new[:-1] | ~np.append(False, word[:-1])))
    pieces = np.flatnonzero(~blank & (new[:-1] | np.append(False, blank[:-1])))
    blanks = np.flatnonzero(np.append(blank, True))
    first = np.searchsorted(words, bounds)
    plain = pc.string_is_ascii(readable).to_numpy(zero_copy_only=False) & (np.diff(first) == counts) & (counts > 0)
    at = np.flatnonzero(plain)
    low = pieces[np.searchsorted(pieces, words[first[at] + starts[at]], "right") - 1]
    last = words[first[at] + ends[at] - 1]
    high = np.minimum(blanks[np.searchsorted(blanks, last)], bounds[at + 1])
    data = codes.tobytes()
    found = [""] * len(readable)
    for text, start, end in zip(at.tolist(), low.tolist(), high.tolist(), strict=True):
        found[text] = data[start:end].decode("ascii")
    others = np.flatnonzero(~plain)
    quoted = readable.take(pa.array(others)).to_pylist()
    for text, quote in zip(others.tolist(), quoted, strict=True):
        found[text] = excerpt(quote, int(starts[text]), int(ends[text]), int(counts[text]))
    return found


@lru_cache(maxsize=_CACHED_WORDS)
def _squeezed_length(piece: str) -> int:
    return len(_squeezed_tokens(piece))


def _squeezed_tokens(text: str) -> list[str]:
    return tokens(squeezed(normalise_folded(text)))
