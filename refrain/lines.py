"""The bytes of a log file as lines that no file can make too long."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from refrain.logs import LogFile

Advance = Callable[[int], None]
READ_BYTES = 1 << 20  # of one buffer; the result does not depend on it
_AHEAD_BYTES = 8 << 20  # of a file in a bucket: an answer takes as long as a mebibyte
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Overlong:
    """A line beyond the limit, read to its end and not held: its first bytes."""

    head: bytes


class TornFileError(Exception):
    """A file that ends too early, or whose compressed or columnar form is damaged."""


def read_lines(file: LogFile, limit: int, advance: Advance) -> Iterator[bytes | Overlong]:
    """The lines of a file without their ends; memory stays at one read plus one line of at most `limit` bytes.

    `advance` is told the bytes read from disk. TornFileError where the file cannot be read to its end.
    """
    held: list[bytes] = []
    size = 0
    for chunk in _chunks(file, advance):
        start = 0
        while start < len(chunk):
            end = chunk.find(b"\n", start)
            stop = len(chunk) if end < 0 else end
            if size <= limit:  # the piece that crosses the limit is still held: at most one read more
                held.append(chunk[start:stop])
            size += stop - start
            if end < 0:
                break
            yield _line(held, size, limit)
            held, size = [], 0
            start = end + 1
    if size:
        yield _line(held, size, limit)


def _line(held: list[bytes], size: int, limit: int) -> bytes | Overlong:
    line = b"".join(held)
    return Overlong(line[:READ_BYTES]) if size > limit else line.removesuffix(b"\r")


def _chunks(file: LogFile, advance: Advance) -> Iterator[bytes]:
    """The file's bytes, decompressed, without a byte order mark."""
    done, first = 0, True
    try:
        with file.open(_AHEAD_BYTES) as raw:
            codec = _CODECS.get(file.compression)
            stream = pa.CompressedInputStream(raw, codec) if codec else raw
            while chunk := stream.read(READ_BYTES):
                yield chunk.removeprefix(_BYTE_ORDER_MARK) if first else chunk
                first = False
                position = raw.tell()
                advance(position - done)
                done = position
    except OSError as error:  # Arrow's word for a truncated or damaged stream
        raise TornFileError(file.name) from error
