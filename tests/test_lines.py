"""Lines of files: whole, bounded, and never silently half."""

import gzip
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refrain.lines
from refrain.lines import Overlong, TornFileError, read_lines
from refrain.logs import discover

LIMIT = 1 << 16


def write(path: Path, data: bytes) -> None:
    """Data under the compression that the name says."""
    codec = {".gz": "gzip", ".zst": "zstd"}.get(path.suffix)
    with pa.OSFile(str(path), "wb") as raw:
        if codec is None:
            raw.write(data)
        else:
            with pa.CompressedOutputStream(raw, codec) as stream:
                stream.write(data)


def lines(path: Path, limit: int = LIMIT) -> list[bytes | Overlong]:
    (log,) = discover([str(path)])
    return list(read_lines(log, limit, lambda _: None))


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_lines_come_whole_from_every_compression(tmp_path: Path, ending: str) -> None:
    expected = [f"line {at} é".encode() * (at % 50) for at in range(20_000)]  # beyond one read
    write(tmp_path / f"a.jsonl{ending}", b"\xef\xbb\xbf" + b"\r\n".join(expected) + b"\n")
    assert lines(tmp_path / f"a.jsonl{ending}") == expected


@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")), max_size=12))
def test_a_line_is_the_same_wherever_reads_end(tmp_path_factory: pytest.TempPathFactory, expected: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in expected))
    if path.read_bytes().startswith(b"\xef\xbb\xbf"):
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refrain.lines, "READ_BYTES", 3)
        shown = [Overlong(line[:3]) if len(line) > 5 else line for line in expected]
        assert lines(path, limit=5) == shown


def test_a_line_of_a_hundred_megabytes_is_not_held(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.jsonl.gz", "wb", compresslevel=1) as file:
        file.write(b"before\n")
        for _ in range(100):
            file.write(b"x" * (1 << 20))
        file.write(b"\nafter\n")
    tracemalloc.start()
    before, long, after = lines(tmp_path / "a.jsonl.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (before, after) == (b"before", b"after")
    assert isinstance(long, Overlong)
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("ending", "damage"),
    # A flipped byte in zstd shows only where the writer added a checksum.
    [(".gz", "half"), (".gz", "last byte"), (".gz", "flipped"), (".zst", "half"), (".zst", "last byte")],
)
def test_a_torn_file_is_an_error_after_what_could_be_read(tmp_path: Path, ending: str, damage: str) -> None:
    path = tmp_path / f"a.jsonl{ending}"
    write(path, b"".join(b"%d\n" % at for at in range(500_000)))
    data = bytearray(path.read_bytes())
    if damage == "flipped":
        data[len(data) // 2] ^= 0xFF
        data[len(data) // 2 + 1] ^= 0xFF
    path.write_bytes(data[: len(data) // 2] if damage == "half" else data[:-1] if damage == "last byte" else data)
    with pytest.raises(TornFileError):
        lines(path)


def test_progress_adds_up_to_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    write(path, b"".join(b"%d\n" % (at * 7919) for at in range(500_000)))
    (log,) = discover([str(path)])
    told: list[int] = []
    for _ in read_lines(log, LIMIT, told.append):
        pass
    assert sum(told) == log.size
