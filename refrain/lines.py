"""The bytes of a log file as lines that no file can make too long."""

from collections.abc import Callable, Iterable, Iterator
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


def read_lines(file: LogFile, limit: int, advance: Advance, most: int = 0) -> Iterator[bytes | Overlong]:
    """The lines of a file without their ends; memory stays at one read plus one line of at most `limit` bytes.

    `advance` is told the bytes read from disk. TornFileError where the file cannot be read to its end, or has more than
    `most` bytes of text.
    """
    return split_lines(read_chunks(file, advance, most), limit)


def split_lines(chunks: Iterable[bytes], limit: int) -> Iterator[bytes | Overlong]:
    """The lines that the chunks are together, as `read_lines` has them."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
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
    line = bounded(held, size, limit)
    return line.removesuffix(b"\r") if isinstance(line, bytes) else line


def bounded(held: list[bytes], size: int, limit: int) -> bytes | Overlong:
    """The pieces in one, or only their head where the whole, of `size` bytes, is beyond `limit`."""
    whole = b"".join(held)
    return Overlong(whole[:READ_BYTES]) if size > limit else whole


def read_chunks(file: LogFile, advance: Advance, most: int = 0) -> Iterator[bytes]:
    """The file's bytes, decompressed, without a byte order mark. TornFileError where they end too early, or after
    `most` of them."""
    done, given, first = 0, 0, True
    try:
        with file.open(READ_BYTES if most else _AHEAD_BYTES) as raw:
            codec = _CODECS.get(file.compression)
            stream = pa.CompressedInputStream(raw, codec) if codec else raw
            while chunk := stream.read(READ_BYTES):
                yield chunk.removeprefix(_BYTE_ORDER_MARK) if first else chunk
                first = False
                given += len(chunk)
                if most and given >= most:
                    raise TornFileError(file.name)
                position = raw.tell()
                advance(position - done)
                done = position
    except OSError as error:  # Arrow's word for a truncated or damaged stream
        raise TornFileError(file.name) from error
