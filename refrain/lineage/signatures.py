"""What one campaign, template or cluster was on one night: its members as keyed digests, small enough to be kept.

Each part is a bottom-k sketch (Cohen and Kaplan, 2007): of more members than it may hold it has those with the smallest
digests, and these are a random sample of all, the same sample on both sides of a comparison. So a share of common
members is estimated over the digests that both sides would hold.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refrain.errors import InputError, StoreError

Digests = NDArray[np.uint64]
Days = NDArray[np.int32]
"""Days since 1970-01-01."""

PARTS = ("accounts", "requests", "segments", "words")
_MAGIC = b"RFS1"
_COLUMNS = (("digests", "<u8"), ("weights", "<f4"), ("first", "<i4"), ("last", "<i4"))
_MAX_BYTES = 1 << 26  # of a signature unpacked: the largest that the settings allow is far below
_DAMAGED = "a signature in the ledger is damaged"
_HINT = "restore the ledger from a backup, or run the nights again from its day on"


@dataclass(frozen=True, eq=False)
class Part:
    """Members of one sort: `digests` (n,) ascending and distinct; `weights` (n,) above 0; `first` and `last` (n,), the
    days of a member's first and last request here. `total` is the number of members, n or more."""

    digests: Digests
    weights: NDArray[np.float32]
    first: Days
    last: Days
    total: int

    @property
    def whole(self) -> bool:
        """Whether every member is here."""
        return self.total == len(self.digests)

    def estimate(self, kept: int) -> int:
        """How many of all members are like `kept` of those here."""
        return round(kept * self.total / len(self.digests)) if len(self.digests) else 0


@dataclass(frozen=True, eq=False)
class Signature:
    """One campaign, template or cluster on one night.

    `accounts` weigh their requests in it; `requests` weigh 1; `segments` weigh the requests that hold them; `words` are
    shingles of the fixed parts of its templates. `models`: (name, day, requests), sorted. `window` is the first and
    the last day (since 1970) that the night read. `first_seen` and `last_seen` are microseconds since 1970 (UTC).

    What the lineage remembers of the identity rides along: 0 and () in what `observe` gives. `size` is the accounts
    when its size was last spoken of, `shares` the models' shares then, `replaced_on` the day of the last replaced
    pool, `absorbed` the nights in a row on which another campaign held its requests.
    """

    accounts: Part
    requests: Part
    segments: Part
    words: Part
    models: tuple[tuple[str, int, int], ...]
    window: tuple[int, int]
    first_seen: int
    last_seen: int
    size: int = 0
    shares: tuple[tuple[str, float], ...] = ()
    replaced_on: int = 0
    absorbed: int = 0

    def content(self) -> bytes:
        """All of the signature as bytes, not compressed; equal signatures give equal bytes."""
        parts: list[Part] = [getattr(self, name) for name in PARTS]
        head = {
            "totals": [part.total for part in parts], "kept": [len(part.digests) for part in parts],
            "models": self.models, "window": self.window, "seen": [self.first_seen, self.last_seen],
            "size": self.size, "shares": self.shares, "replaced_on": self.replaced_on, "absorbed": self.absorbed,
        }  # fmt: skip
        text = json.dumps(head, sort_keys=True, separators=(",", ":")).encode("ascii")
        arrays = [getattr(part, name).astype(kind).tobytes() for part in parts for name, kind in _COLUMNS]
        return len(text).to_bytes(4, "little") + text + b"".join(arrays)

    def to_bytes(self) -> bytes:
        """The signature as the ledger keeps it."""
        return _MAGIC + zlib.compress(self.content())

    @classmethod
    def from_bytes(cls, data: bytes) -> Signature:
        """What `to_bytes` made; StoreError where it is none."""
        try:
            return cls(**_unpacked(data))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, zlib.error) as error:
            raise StoreError(_DAMAGED, hint=_HINT) from error


def sketch(
    digests: Sequence[int] | Digests,
    weights: Sequence[float] | NDArray[Any],
    first: Sequence[int] | NDArray[Any],
    last: Sequence[int] | NDArray[Any],
    limit: int,
) -> Part:
    """The members as a part: sorted, and the `limit` smallest digests of them. InputError where one stands twice."""
    found = np.asarray(digests, np.uint64)
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    if np.any(ordered[1:] == ordered[:-1]):
        raise InputError("a member stands twice in a signature")
    kept = order[:limit]
    return Part(
        ordered[:limit],
        np.asarray(weights, np.float32)[kept],
        np.asarray(first, np.int32)[kept],
        np.asarray(last, np.int32)[kept],
        len(found),
    )


def _unpacked(data: bytes) -> dict[str, Any]:
    """The fields of a signature; any of the errors that `from_bytes` names where the bytes are none."""
    if data[: len(_MAGIC)] != _MAGIC:
        raise ValueError
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(data[len(_MAGIC) :], _MAX_BYTES)
    if not unpacker.eof:
        raise ValueError
    size = int.from_bytes(raw[:4], "little")
    head = json.loads(raw[4 : 4 + size])
    at = 4 + size
    fields: dict[str, Any] = {}
    for name, total, kept in zip(PARTS, head["totals"], head["kept"], strict=True):
        columns: dict[str, Any] = {}
        for column, kind in _COLUMNS:
            columns[column] = np.frombuffer(raw, kind, kept, at)
            at += columns[column].nbytes
        if not 0 <= kept <= total or np.any(columns["digests"][1:] <= columns["digests"][:-1]):
            raise ValueError
        fields[name] = Part(**columns, total=int(total))
    if at != len(raw):
        raise ValueError
    first, last = head["window"]
    begin, end = head["seen"]
    return fields | {
        "models": tuple((str(model), int(day), int(count)) for model, day, count in head["models"]),
        "window": (int(first), int(last)),
        "first_seen": int(begin),
        "last_seen": int(end),
        "size": int(head["size"]),
        "shares": tuple((str(model), float(share)) for model, share in head["shares"]),
        "replaced_on": int(head["replaced_on"]),
        "absorbed": int(head["absorbed"]),
    }
