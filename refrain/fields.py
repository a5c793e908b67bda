"""Single values of a record: ids, short texts and counts, from whatever type a log gives them.

Ids must be ids: a list or a truth value is none. Everything else that an account may have chosen itself is kept in
some form and flagged, so that odd values are never a way out of the log.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

from refrain.batches import Missing
from refrain.text import repair

_EXACT = 2**53  # floats from here on no longer tell neighbouring integers apart
LARGEST_COUNT = 2**63 - 1
WHOLE = 1 << 62  # characters: a limit that cuts nothing


class Field(NamedTuple):
    """A text of bounded length (None where there is none), and what was done to get it."""

    text: str | None
    mended: bool = False
    cut: bool = False
    wrong: bool = False


NOTHING = Field(None)
_WRONG = Field(None, wrong=True)


def keyed(data: bytes, key: bytes) -> bytes:
    """The 16 bytes that stand for `data`: BLAKE2b under the store's key, so that nobody can confirm a guess."""
    state = _seeded(key).copy()
    state.update(data)
    digest: bytes = state.digest()
    return digest


def keyed_all(values: Iterable[bytes], key: bytes) -> list[bytes]:
    """`keyed` of each."""
    seeded = _seeded(key)
    digests = []
    for data in values:
        state = seeded.copy()
        state.update(data)
        digests.append(state.digest())
    return digests


@lru_cache(maxsize=4)
def _seeded(key: bytes) -> Any:
    """The state of the hash after the key, which is half of the work on a short text."""
    return hashlib.blake2b(digest_size=16, key=key)


def read_id(value: object, limit: int, key: bytes) -> Field:
    """An id as text: numbers in decimal digits, bytes as UTF-8 or else hexadecimal; blank is none.

    Beyond `limit` characters it is cut and ends in its digest, so that different ids stay different. `wrong` for other
    types and for floats too large to be exact.
    """
    if isinstance(value, str):
        if len(value) <= limit and value.isascii() and value.isprintable() and value and not value.isspace():
            return Field(value)
        text, mended = repair(value)
    elif value is None or isinstance(value, Missing):
        return NOTHING
    elif isinstance(value, bytes):
        try:
            text, mended = repair(value.decode("utf-8"))
        except UnicodeDecodeError:
            text, mended = value.hex(), False
    elif isinstance(value, bool):
        return _WRONG
    elif isinstance(value, int):
        text, mended = str(value), False
    elif isinstance(value, float) and math.isfinite(value) and abs(value) < _EXACT:
        text, mended = str(int(value)) if value.is_integer() else repr(value), False
    else:
        return _WRONG
    if not text or text.isspace():
        return NOTHING
    if len(text) > limit:
        digest = keyed(text.encode(), key).hex()
        return Field(f"{text[: max(0, limit - len(digest) - 1)]}~{digest}", mended, cut=True)
    return Field(text, mended)


def read_label(value: object, limit: int, key: bytes) -> Field:
    """A short text about the request (address, client, model): as an id, other types as JSON and flagged."""
    found = read_id(value, limit, key)
    if not found.wrong:
        return found
    try:
        text = read_id(json.dumps(value, sort_keys=True, default=str), limit, key)
    except (RecursionError, TypeError):  # nested too deeply, or keys of several types
        return Field(None, mended=True)
    return Field(text.text, mended=True, cut=text.cut)


def all_plain(column: Sequence[object], limit: int) -> bool:
    """Whether `read_id` and `read_label` give back every text of a column as it is; None for none is plain too."""
    given = [value for value in column if value is not None]
    try:
        together = "".join(given)  # type: ignore[arg-type]
    except TypeError:
        return False
    texts = cast("list[str]", given)
    return (
        together.isascii()
        and together.isprintable()
        and all(texts)
        and max(map(len, texts), default=0) <= limit
        and not any(map(str.isspace, texts))
    )


def label_texts(column: Sequence[object]) -> Sequence[str | None]:
    """The values of a column as the whole texts that stand for them as labels, None for none."""
    if all_plain(column, WHOLE):
        return cast("Sequence[str | None]", column)
    return [read_label(value, WHOLE, b"").text for value in column]


def read_text(value: object) -> Field:
    """A text of any length; blank is none. `wrong` where it is of another type."""
    if isinstance(value, str | bytes):
        text, mended = repair(value)
        return Field(text, mended) if text and not text.isspace() else Field(None, mended)
    return NOTHING if value is None or isinstance(value, Missing) else _WRONG


def read_count(value: object) -> tuple[int | None, bool]:
    """A whole number from 0, None where there is none, and whether the value was there and could not be used."""
    if isinstance(value, str):
        text = value.strip()
        short = text.isascii() and text.isdigit() and len(text) < len(str(LARGEST_COUNT))
        value = int(text) if short else text or None
    if value is None or isinstance(value, Missing):
        return None, False
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT:
        return value, False
    return None, True
