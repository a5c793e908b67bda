"""Many texts looked for at once in any bytes: which of them occur.

Every window of eight bytes is hashed into a table of bits that says whether a needle may end there; the few places that
pass are compared byte by byte. So the time grows with the bytes and hardly with the needles.
"""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_WINDOW = 8  # bytes: one machine word
_BITS = 22  # of the table: 4 MiB, so that even 100,000 needles let one place in 40 through
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: Fibonacci hashing (Knuth, TAOCP 3, 6.4)
_PORTION = 1 << 22  # bytes hashed at a time
_WORD = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-")


class Needles:
    """Some texts as bytes. With `whole` they count only as whole words: where no letter, digit, `_` or `-` touches one
    that they begin or end with. Those of fewer than eight bytes always do."""

    def __init__(self, texts: Iterable[str], *, whole: bool = True) -> None:
        found = sorted({text.encode("utf-8", "surrogatepass") for text in texts if text})
        self._whole = whole
        self._long: dict[int, list[bytes]] = {}
        for text in found:
            if len(text) >= _WINDOW:
                self._long.setdefault(int.from_bytes(text[-_WINDOW:], "little"), []).append(text)
        self.longest = max(map(len, found), default=0)
        """Bytes of the longest."""
        self._table = np.zeros(1 << _BITS, bool)
        self._table[_hashed(np.array(list(self._long), np.uint64))] = True
        short = sorted((text for text in found if len(text) < _WINDOW), key=len, reverse=True)
        self._short = re.compile(b"|".join(map(re.escape, short))) if short else None

    def __bool__(self) -> bool:
        return bool(self._long or self._short)

    def within(self, data: bytes, *, first: bool = True, last: bool = True) -> set[bytes]:
        """Those that occur in `data`, which is the `first` and the `last` of what belongs together, or not."""
        found: set[bytes] = set()
        if self._short is not None:
            for match in self._short.finditer(data):
                if match[0] not in found and _alone(data, match.start(), match.end(), first=first, last=last):
                    found.add(match[0])
        if not self._long:
            return found
        for start in range(0, len(data) - _WINDOW + 1, _PORTION):
            for end in self._ends(data[start : start + _PORTION + _WINDOW - 1]):
                stop = start + end
                for text in self._long.get(int.from_bytes(data[stop - _WINDOW : stop], "little"), ()):
                    if text in found or not data.endswith(text, 0, stop):
                        continue
                    if not self._whole or _alone(data, stop - len(text), stop, first=first, last=last):
                        found.add(text)
        return found

    def _ends(self, data: bytes) -> list[int]:
        """Where needles may end."""
        bytes_of = np.frombuffer(data, np.uint8)
        ends = []
        for shift in range(min(_WINDOW, len(data) - _WINDOW + 1)):
            words = bytes_of[shift : shift + (len(data) - shift) // _WINDOW * _WINDOW].view("<u8")
            ends += (np.flatnonzero(self._table[_hashed(words)]) * _WINDOW + shift + _WINDOW).tolist()
        return ends

    def within_file(self, file: BinaryIO, portion: int = 1 << 24) -> set[bytes]:
        """Those that occur in what is left of an open file; no more than `portion` bytes and the longest are held."""
        found: set[bytes] = set()
        tail = b""
        first, chunk = True, file.read(portion)
        while chunk:
            following = file.read(portion)
            data = tail + chunk
            found |= self.within(data, first=first, last=not following)
            # One byte more than the longest: of one that ends here, both neighbours are seen next time.
            tail = data[-self.longest - 1 :]
            first, chunk = first and len(tail) == len(data), following
        return found


def _alone(data: bytes, start: int, stop: int, *, first: bool, last: bool) -> bool:
    """Whether no word goes on at either end of a place; where `data` ends without being the last, nobody knows yet."""
    before = start > 0 and data[start - 1] in _WORD if start or first else True
    after = data[stop] in _WORD if stop < len(data) else not last
    return not (before and data[start] in _WORD) and not (after and data[stop - 1] in _WORD)


def _hashed(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    return ((words * _FACTOR) >> np.uint64(64 - _BITS)).astype(np.int64)


def joined(texts: Iterable[str | None], size: int = 1 << 24) -> Iterator[bytes]:
    """The texts in portions of about `size` bytes, a NUL between them, so that nothing is found across two."""
    held: list[bytes] = []
    total = 0
    for text in texts:
        if text:
            held.append(text.encode("utf-8", "surrogatepass"))
            total += len(held[-1])
        if total >= size:
            yield b"\0".join(held)
            held, total = [], 0
    if held:
        yield b"\0".join(held)
