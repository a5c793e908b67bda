"""Many texts squeezed at once: `refrain.text.squeezed` by arithmetic on characters."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refrain.cores import core_count
from refrain.cutting import Bytes, Flags, Places, coded_texts, text_codes
from refrain.text import collapses, spoken

_SPACE = ord(" ")
_BATCH = 16_384  # texts squeezed at a time: bounds the memory, changes no result
_GOES_ON = 0x80  # the two highest bits of a byte of UTF-8 that begins no character
_WIDER = (0x80, 0x800, 0x10000)  # from each of these code points on a character takes one byte more in UTF-8
_SPOKEN = np.array([ord(spoken(chr(code))) for code in range(128)], np.uint8)
_COLLAPSES = np.array([collapses(chr(code)) for code in range(128)])


def squeeze_all(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """`squeezed` of each text in order, many times faster."""
    batches = (chunk.slice(start, _BATCH) for chunk in texts.chunks for start in range(0, len(chunk), _BATCH))
    with ThreadPoolExecutor(core_count()) as pool:
        return pa.chunked_array(list(pool.map(_squeeze, batches)), pa.string())


def _squeeze(texts: pa.StringArray) -> pa.StringArray:
    ascii_ones = pc.string_is_ascii(texts)
    forms = _squeeze_ascii(texts.filter(ascii_ones))
    if len(forms) == len(texts):
        return forms
    odd = _squeeze_odd(texts.filter(pc.invert(ascii_ones)))
    plain = ascii_ones.to_numpy(zero_copy_only=False)
    at = np.where(plain, np.cumsum(plain), len(forms) + np.cumsum(~plain)) - 1
    return pa.concat_arrays([forms, odd]).take(pa.array(at))


def _squeeze_ascii(texts: pa.StringArray) -> pa.StringArray:
    codes, ends = text_codes(texts)
    codes = _SPOKEN[codes]
    kept, bounds = _kept(codes, _COLLAPSES[codes], ends)
    return coded_texts(codes[kept], np.diff(bounds))


def _squeeze_odd(texts: pa.StringArray) -> pa.StringArray:
    """The same of other characters, by code points."""
    data, ends = text_codes(texts)
    codes = np.frombuffer(data.tobytes().decode().encode("utf-32-le"), np.uint32)
    starting = np.concatenate([[0], np.cumsum((data & 0xC0) != _GOES_ON)])  # bytes that begin a character
    distinct, at = np.unique(codes, return_inverse=True)
    said = [spoken(chr(code)) for code in distinct.tolist()]
    codes = np.array([ord(char) for char in said], np.uint32)[at]
    kept, bounds = _kept(codes, np.array([collapses(char) for char in said], bool)[at], starting[ends])
    codes = codes[kept]
    sizes = np.concatenate([[0], np.cumsum(1 + sum((codes >= code).astype(np.int64) for code in _WIDER))])
    form = np.frombuffer(codes.tobytes().decode("utf-32-le").encode(), np.uint8)
    return coded_texts(form, np.diff(sizes[bounds]))


def _kept(codes: Bytes | NDArray[np.uint32], once: Flags, ends: Places) -> tuple[Places, Places]:
    """The places of the characters that are left of texts that end at `ends`, and where each text's begin and end among
    them. Of a run of one character that is said `once`, or of spaces, the first stays, but no space at either end."""
    bounds = np.concatenate([[0], ends])
    space = codes == _SPACE
    kept = np.ones(len(codes) + 1, bool)
    kept[1:-1] = (codes[1:] != codes[:-1]) | ~(once[1:] | space[1:])
    kept[bounds] = True
    places = np.flatnonzero(kept[:-1])
    bounds = np.searchsorted(places, bounds)
    # A run of spaces is one by now, so that no more than one stands at either end of a text.
    some = np.flatnonzero(bounds[1:] > bounds[:-1])
    outer = np.concatenate([bounds[some], bounds[some + 1] - 1])
    inner = np.ones(len(places), bool)
    inner[outer[space[places[outer]]]] = False
    return places[inner], np.concatenate([[0], np.cumsum(inner)])[bounds]
