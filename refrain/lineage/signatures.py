"""What one campaign, template or cluster was on one night: its members as keyed digests, small enough to be kept.

Each part is a bottom-k sketch (Cohen and Kaplan, 2007): of more members than it may hold it has those with the smallest
digests, and these are a random sample of all, the same sample on both sides of a comparison. So a share of common
members is estimated over the digests that both sides would hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("campaign", "template", "cluster")

Digests = NDArray[np.uint64]
Days = NDArray[np.int32]
"""Days since 1970-01-01."""


@dataclass(frozen=True, eq=False)
class Part:
    """Members of one sort: `digests` (n,) ascending and distinct; `weights` (n,) above 0; `first` and `last` (n,), the
    days of a member's first and last request here. `total` is the number of members, n or more."""

    digests: Digests
    weights: NDArray[np.float32]
    first: Days
    last: Days
    total: int


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

    def to_bytes(self) -> bytes:
        """The signature as bytes; equal signatures give equal bytes."""
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, data: bytes) -> Signature:
        """What `to_bytes` made; StoreError where it is none."""
        raise NotImplementedError


def sketch(
    digests: Sequence[int] | Digests,
    weights: Sequence[float] | NDArray[np.float32],
    first: Days,
    last: Days,
    limit: int,
) -> Part:
    """The members as a part: sorted, and the `limit` smallest digests of them. InputError where one stands twice."""
    raise NotImplementedError
