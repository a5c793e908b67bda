"""The records of a JSON document: the items of an array, of an envelope such as {"data": [...]}, or values one after
another, each as its own bytes.

Only where a record begins and ends is decided here, by brackets and quotes, so a broken record costs itself and not
the file, memory stays at one read plus one record, and what a value means is decided by the one decoder that lines of
JSON have too. (ijson builds values while it reads: one wrong byte ends its stream, and a string of any length is held
before its size is known.)
"""

import json
import re
from collections.abc import Iterable, Iterator

from refrain.lines import Advance, Overlong, bounded, read_chunks, split_lines
from refrain.logs import LogFile

ENVELOPES = frozenset(
    (b"data", b"items", b"logs", b"records", b"Records", b"results", b"rows", b"runs", b"traces")
)  # keys of an object whose array of records is the log: what APIs and exports answer with
_BETWEEN = re.compile(rb'["{}\[\],\n]')  # what may end a record
_INSIDE = re.compile(rb'["{}\[\]]')
_STRING = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # the rest of a string, after its opening quote
_OPENING = b"{["
_LONGEST_KEY = 64
_ENVELOPE_DEPTH = 2


def read_json(file: LogFile, limit: int, advance: Advance, most: int = 0) -> Iterator[bytes | Overlong]:
    """The records of a file that is a JSON document or holds one a line, each of at most `limit` bytes.

    TornFileError where the file cannot be read to its end, or has more than `most` bytes of text. A document
    that is cut short ends in one broken record.
    """
    chunks = read_chunks(file, advance, most)
    head = next(chunks, b"")
    whole = _before(head, chunks)
    return split_document(whole, limit) if is_document(head) else split_lines(whole, limit)


def is_document(head: bytes) -> bool:
    """Whether what begins like this is one document over many lines and not a record a line."""
    head = head.lstrip()
    if not head.startswith((b"{", b"[")):
        return False
    if head.startswith(b"["):
        return True
    lines = [line for line in head.split(b"\n") if line.strip()]
    if len(lines) == 1:
        return True  # a single object may be an envelope
    # A log of lines may begin with a broken one.
    return not (_is_object(lines[0]) or all(map(_is_object, [*lines[1:3], b""][:2])))


def split_document(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | Overlong]:
    """The records that the chunks are together, none of them blank."""
    splitter = _Splitter(limit)
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.end()


class _Splitter:
    """Where in the document the reading is, and what is held of the record that it is in.

    `_level` is the depth at which records stand side by side: 0 on the top, 1 in an array, 2 in an envelope's.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._depth = self._level = 0
        self._in_string = self._escaped = False
        self._apart = False  # inside an envelope, where no array of records is
        self._key = b""  # the last string of an object on the top
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[bytes | Overlong]:
        """The records that end in this chunk."""
        start = at = 0
        while True:
            if self._in_string:
                at = self._leave_string(chunk, at)
                if self._in_string:
                    break
            found = (_BETWEEN if self._depth == self._level else _INSIDE).search(chunk, at)
            if found is None:
                break
            at, mark = found.end(), found[0]
            if mark == b'"':
                self._in_string, self._key = True, b""
            elif mark in _OPENING:
                if self._depth == 0:
                    yield from self._emit(chunk[start : at - 1])
                    start = at if mark == b"[" else at - 1
                    self._level = 1 if mark == b"[" else 0
                elif mark == b"[" and self._depth == 1 and self._level == 0 and self._key in ENVELOPES:
                    self._drop()
                    start, self._level, self._apart = at, _ENVELOPE_DEPTH, False
                self._depth += 1
            elif mark in (b",", b"\n"):
                if (mark == b",") == bool(self._level):
                    yield from self._emit(chunk[start : at - 1])
                    start = at
            elif self._depth:
                self._depth -= 1
                if self._depth < self._level:
                    yield from self._emit(chunk[start : at - 1])
                    start, self._apart = at, self._level == _ENVELOPE_DEPTH
                    self._level = 0
                elif self._depth == 0:
                    yield from () if self._apart else self._emit(chunk[start:at])
                    start, self._apart = at, False
        self._hold(chunk[start:])

    def end(self) -> Iterator[bytes | Overlong]:
        """What is left of a document that is cut short: the record that it ends in, or "{" where it ends between two,
        so that either way one record cannot be read."""
        between = bool(self._depth) and (self._apart or (self._depth == self._level and not self._in_string))
        yield from self._emit(b"")
        if between:
            yield b"{"

    def _leave_string(self, chunk: bytes, at: int) -> int:
        """Where the string that the reading is in ends, or the chunk's end."""
        begun = at
        if self._escaped and chunk:
            at, self._escaped = at + 1, False
        found = _STRING.match(chunk, at)
        stop = len(chunk) if found is None else found.end()
        if self._depth == 1 and self._level == 0 and len(self._key) <= _LONGEST_KEY:
            self._key += chunk[begun : min(stop, begun + _LONGEST_KEY)]
        if found is not None:
            self._in_string, self._key = False, self._key[:-1]
        else:
            rest = chunk[at:]
            self._escaped = (len(rest) - len(rest.rstrip(b"\\"))) % 2 == 1
        return stop

    def _hold(self, piece: bytes) -> None:
        if not self._apart:
            if self._size <= self._limit:
                self._held.append(piece)
            self._size += len(piece)

    def _drop(self) -> None:
        self._held, self._size = [], 0

    def _emit(self, piece: bytes) -> Iterator[bytes | Overlong]:
        self._hold(piece)
        record = bounded(self._held, self._size, self._limit)
        self._drop()
        if isinstance(record, Overlong):
            yield record
        elif record.strip():
            yield record.strip()


def _before(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from chunks


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
