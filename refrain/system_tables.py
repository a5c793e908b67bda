"""Tables that say which autonomous system an address belongs to, as people have them; nothing is downloaded.

Read are prefixes under a header ("network,autonomous_system_number,...": GeoLite2 ASN blocks, or "network", "asn"),
and ranges without one ("first address, last address, number, ...": iptoasn's with tabs, others with commas), plain or
as .gz; several of one shape may stand one after the other in a file. The longest prefix counts, of equal ones the
first; 0 or nothing for a number stands for addresses that no system announces.
"""

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from refrain.errors import InputError
from refrain.systems import system_number

_GZIP = b"\x1f\x8b"
_PREFIX, _NUMBERS = "network", ("autonomous_system_number", "asn")  # names in a header
_FIRST, _LAST, _NUMBER = "first address", "last address", "number"  # what is told of a range without one
_BITS = {4: 32, 6: 128}
_MAPPED = 0xFFFF  # above the 32 bits of an address of version 4 that is written as one of version 6 (RFC 4291)


class _Tabs(csv.excel_tab):
    """Rows with tabs, in which a quotation mark is one."""

    quoting = csv.QUOTE_NONE


class _Address(NamedTuple):
    version: int
    value: int


class _Range(NamedTuple):
    """Addresses as whole numbers, the last one negative so that tuples sort by the longest; the row that says it."""

    first: int
    last_negative: int
    row: int
    number: int


@dataclass(frozen=True)
class _Parts:
    """The addresses of one version, cut where the system changes: part i goes from starts[i] to the next one, 0 in
    `numbers` where none is known. Starts are 16 bytes each, the first byte the highest: they sort as addresses do."""

    starts: NDArray[np.bytes_]
    numbers: NDArray[np.uint32]

    def numbers_of(self, addresses: NDArray[np.bytes_]) -> NDArray[np.uint32]:
        place = np.searchsorted(self.starts, addresses, "right")
        found: NDArray[np.uint32] = np.append(np.uint32(0), self.numbers)[place]
        return found


@dataclass(frozen=True)
class SystemTable:
    """Which system announces an address."""

    parts: dict[int, _Parts]  # by version of the address

    def numbers(self, addresses: Sequence[str]) -> list[int]:
        """The system's number of each address; 0 where none is known, and of what is no address."""
        found = np.zeros(len(addresses), np.uint32)
        places: dict[int, list[int]] = {version: [] for version in _BITS}
        values: dict[int, list[int]] = {version: [] for version in _BITS}
        for at, text in enumerate(addresses):
            parsed = _address(text)
            if parsed is not None:
                places[parsed.version].append(at)
                values[parsed.version].append(parsed.value)
        for version, where in places.items():
            found[where] = self.parts[version].numbers_of(_words(values[version]))
        return found.tolist()


def read_system_table(path: Path) -> SystemTable:
    """The table of a file; InputError that names the file, the row and the field where it cannot be understood."""
    ranges: dict[int, list[_Range]] = {version: [] for version in _BITS}
    for version, one in _ranges(path):
        ranges[version].append(one)
    if not any(ranges.values()):
        raise InputError(f"{path} has no rows", hint="ingest.asn_table: prefixes or ranges with the number of a system")
    return SystemTable({version: _cut(path, found, version) for version, found in ranges.items()})


def _ranges(path: Path) -> Iterator[tuple[int, _Range]]:
    rows = _rows(path)
    first = next(rows, None)
    if first is None:
        return
    header = [name.strip().lower() for name in first[1]]
    if _address(header[0]) is not None:
        yield _range(path, *first)
        yield from (_range(path, at, row) for at, row in rows)
        return
    numbers = [name for name in _NUMBERS if name in header]
    if _PREFIX not in header or not numbers:
        raise InputError(
            f"{path}, row 1: neither a header with {_PREFIX} and {' or '.join(_NUMBERS)}, nor a range of addresses",
            hint="ingest.asn_table reads GeoLite2's ASN blocks and iptoasn's tables (docs/logs.md)",
        )
    places = header.index(_PREFIX), header.index(numbers[0])
    for at, row in rows:
        if row != first[1]:  # files of both versions of addresses, one after the other
            yield _prefix(path, at, row, places, numbers[0])


def _prefix(path: Path, at: int, row: list[str], places: tuple[int, int], name: str) -> tuple[int, _Range]:
    if len(row) <= max(places):
        _refuse(path, at, _PREFIX if len(row) <= places[0] else name, "is missing")
    text, _, length = row[places[0]].strip().partition("/")
    parsed = _address(text, mapped=False)
    if parsed is None:
        _refuse(path, at, _PREFIX, "is no prefix of addresses")
    bits = _BITS[parsed.version]
    if not (length.isascii() and length.isdigit() and len(length) <= len("128") and int(length) <= bits):
        _refuse(path, at, _PREFIX, f"has no length of 0 to {bits}")
    beyond = (1 << bits - int(length)) - 1
    if parsed.value & beyond:
        _refuse(path, at, _PREFIX, "has bits beyond its length")
    number = _number(path, at, row[places[1]], name)
    return parsed.version, _Range(parsed.value, -(parsed.value | beyond), at, number)


def _range(path: Path, at: int, row: list[str]) -> tuple[int, _Range]:
    fields = dict(zip((_FIRST, _LAST, _NUMBER), row, strict=False))
    ends = []
    for name in (_FIRST, _LAST):
        parsed = _address(fields.get(name, ""), mapped=False)
        if parsed is None:
            _refuse(path, at, name, "is no address")
        ends.append(parsed)
    if ends[0].version != ends[1].version:
        _refuse(path, at, _LAST, "is of the other version of addresses")
    if ends[0].value > ends[1].value:
        _refuse(path, at, _LAST, "lies before the first")
    if _NUMBER not in fields:
        _refuse(path, at, _NUMBER, "is missing")
    number = _number(path, at, fields[_NUMBER], _NUMBER)
    return ends[0].version, _Range(ends[0].value, -ends[1].value, at, number)


def _number(path: Path, at: int, text: str, name: str) -> int:
    number = system_number(text) if text.strip() else 0
    if number is None:
        _refuse(path, at, name, "is no number of an autonomous system")
    return number


def _cut(path: Path, ranges: list[_Range], version: int) -> _Parts:
    """The parts of some ranges, of which one may lie inside another and then counts there."""
    ranges.sort()
    starts: list[int] = []
    numbers: list[int] = []

    def say(start: int, number: int) -> None:
        if starts and starts[-1] == start:
            numbers[-1] = number
        elif start < 1 << _BITS[version]:
            starts.append(start)
            numbers.append(number)

    around: list[_Range] = []
    for one in ranges:
        while around and -around[-1].last_negative < one.first:
            end = -around.pop().last_negative
            say(end + 1, around[-1].number if around else 0)
        if around and one.last_negative < around[-1].last_negative:
            _refuse(path, one.row, _LAST, f"lies beyond that of row {around[-1].row}, in which the first lies")
        if around and one[:2] == around[-1][:2]:
            continue
        around.append(one)
        say(one.first, one.number)
    while around:
        end = -around.pop().last_negative
        say(end + 1, around[-1].number if around else 0)
    return _Parts(_words(starts), np.array(numbers, np.uint32))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, with their 1-based lines."""
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        raw = gzip.open(path) if packed else path.open("rb")  # noqa: SIM115 (closed with the text around it)
        with TextIOWrapper(raw, "utf-8-sig", newline="") as lines:
            tabs = "\t" in lines.readline()
            lines.seek(0)
            rows = csv.reader(lines, _Tabs if tabs else csv.excel)
            for row in rows:
                if row:
                    yield rows.line_num, row
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read to its end ({type(error).__name__})") from None


def _address(text: str, *, mapped: bool = True) -> _Address | None:
    """The address of a text, None where it is none; one of version 4 that is written as one of version 6 is that."""
    six = ":" in text
    try:
        value = int.from_bytes(inet_pton(AF_INET6 if six else AF_INET, text.strip()), "big")
    except (OSError, ValueError):
        return None
    if six and mapped and value >> 32 == _MAPPED:
        return _Address(4, value & (1 << 32) - 1)
    return _Address(6 if six else 4, value)


def _words(values: Sequence[int]) -> NDArray[np.bytes_]:
    return np.frombuffer(b"".join(value.to_bytes(16, "big") for value in values), "S16")


def _refuse(path: Path, row: int, field: str, reason: str) -> NoReturn:
    raise InputError(f"{path}, row {row}: the field {field} {reason}", hint="ingest.asn_table: see docs/logs.md")
