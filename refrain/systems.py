"""The autonomous system (AS) that a request came through: its number, however a log writes it.

An AS is a network with one routing policy: a provider, a carrier, a cloud. Its number has 32 bits (RFC 6793) and is
written in decimal digits, or as two halves with a point between (RFC 5396).
"""

import re
from functools import lru_cache

from refrain.fields import NOTHING, Field, read_label

_MOST = 2**32 - 1
_HALF = 2**16
_REMEMBERED = 80  # characters of a text whose reading is remembered: what an account wrote fills no memory
# "13335", "AS13335", "1.10"; after "AS" and the number the system's name may follow, as some tools write it.
_WRITTEN = re.compile(r"([Aa][Ss])?(?:([0-9]++)(?!\.)|([0-9]{1,5})\.([0-9]{1,5}))(?(1)(?:\s.*)?)", re.DOTALL)


def system_number(text: str) -> int | None:
    """The number that a text says; None where it says none, or one that no system can have."""
    if len(text) < len(str(_MOST)) and text.isascii() and text.isdigit():
        return int(text)
    written = _WRITTEN.fullmatch(text.strip())
    if written is None:
        return None
    _, whole, high, low = written.groups()
    if whole is None:
        halves = int(high), int(low)
        return halves[0] * _HALF + halves[1] if max(halves) < _HALF else None
    digits = whole.lstrip("0")
    if len(digits) > len(str(_MOST)) or int(digits or 0) > _MOST:
        return None
    return int(digits or 0)


def system_name(number: int) -> str | None:
    """The text that stands for a number, as "AS13335"; None for 0, which stands for none (RFC 7607)."""
    return f"AS{number}" if number else None


def read_system(value: object, limit: int, key: bytes) -> Field:
    """The system that a log's value names: "AS13335" for 13335 in any spelling, none for 0.

    A text that says no number (a hash, a name) stands for itself, as a network does: equal words are one system. A
    number that no system can have is kept as it is and flagged, and so are other types, as they are in every label.
    """
    if isinstance(value, str) and len(value) <= _REMEMBERED:
        return _of_text(value, limit, key)
    return _of(value, limit, key)


@lru_cache(maxsize=1 << 16)
def _of_text(value: str, limit: int, key: bytes) -> Field:
    return _of(value, limit, key)


def _of(value: object, limit: int, key: bytes) -> Field:
    found = read_label(value, limit, key)
    if found.text is None:
        return found
    fraction = isinstance(value, float) and not value.is_integer()  # 1.10 as a number has lost its last digit
    number = None if fraction or found.cut else system_number(found.text)
    if number is None:
        odd = isinstance(value, int | float) or _WRITTEN.fullmatch(found.text.strip()) is not None
        return found._replace(mended=found.mended or odd)
    name = system_name(number)
    return NOTHING if name is None else Field(name, found.mended)
