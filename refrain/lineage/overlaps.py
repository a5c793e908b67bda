"""How much two nights' things have in common: for each pair the shares of either side that the other holds too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from refrain.config import LineageConfig
from refrain.lineage.signatures import Part, Signature

_ALL = np.iinfo(np.uint64).max
_ROUNDING = 1e-9  # sums of weights differ by their order


@dataclass(frozen=True)
class Overlap:
    """One pair: the share of the known one's weight on common members, the share of the seen one's, how many members
    are common, and how many the smaller side has where both are sampled alike."""

    of_known: float = 0.0
    of_seen: float = 0.0
    common: int = 0
    smaller: int = 0

    @property
    def similarity(self) -> float:
        """The geometric mean of the two shares (Ochiai, 1957), 0 to 1."""
        return sqrt(self.of_known * self.of_seen)


@dataclass(frozen=True)
class Pair:
    """A known and a seen thing, by their positions, that have something in common. `main` is the overlap of the members
    that make them one thing, on the days that both nights read."""

    known: int
    seen: int
    main: Overlap
    accounts: Overlap
    texts: Overlap

    def similarity(self, rule: LineageConfig) -> float:
        """How surely the two are one thing, 0 to 1; 0 where they have no main member, nor both accounts and texts, in
        common."""
        accounts, texts = self.accounts.similarity, self.texts.similarity
        if not self.main.common and min(accounts, texts) < rule.part:
            return 0.0
        weight = rule.request_weight * self.main.smaller / (self.main.smaller + rule.request_prior)
        total = weight + rule.account_weight + rule.text_weight
        sure = weight * self.main.similarity + rule.account_weight * accounts + rule.text_weight * texts
        return sure / total


def pairs(known: Sequence[Signature], seen: Sequence[Signature], least: float, main: str) -> list[Pair]:
    """Every pair with a common member of the part `main`, or with texts whose overlap is at least `least`, by position.
    Time grows with the members and with such pairs, not with all pairs."""
    if not known or not seen:
        return []
    near: set[tuple[int, int]] = set()
    for name, share in (("segments", least), ("words", least), (main, 0.0)):
        near.update(_near([getattr(s, name) for s in known], [getattr(s, name) for s in seen], share))
    out = []
    for at, to in sorted(near):
        left, right = known[at], seen[to]
        days = max(left.window[0], right.window[0]), min(left.window[1], right.window[1])
        same = _overlap(getattr(left, main), getattr(right, main), days)
        segments, words = _overlap(left.segments, right.segments), _overlap(left.words, right.words)
        texts = max(segments, words, key=lambda overlap: overlap.similarity)
        if same.common or texts.similarity >= least:
            out.append(Pair(at, to, same, _overlap(left.accounts, right.accounts), texts))
    return out


def _near(known: list[Part], seen: list[Part], least: float) -> list[tuple[int, int]]:
    """The pairs with a common member whose similarity may be `least` or more: all of which a side is cut, as its share
    is not known yet."""
    members = np.unique(np.concatenate([part.digests for part in [*known, *seen]]))
    ones, weights = _matrix(known, members)
    others, other_weights = _matrix(seen, members)
    left, right = sparse.coo_array(weights @ others.T), sparse.csr_array(ones @ other_weights.T)
    if not left.nnz:
        return []
    whole, other_whole = _whole_weight(known), _whole_weight(seen)
    both = left.data * np.asarray(right[left.row, left.col]).ravel()
    kept = both >= least * least * (1 - _ROUNDING) * whole[left.row] * other_whole[left.col]
    return list(zip(left.row[kept].tolist(), left.col[kept].tolist(), strict=True))


def _whole_weight(parts: list[Part]) -> NDArray[np.float64]:
    """The weight of all members of each part; 0 where some are not kept."""
    return np.array([float(part.weights.sum(dtype=np.float64)) if part.whole else 0.0 for part in parts])


def _matrix(parts: list[Part], members: NDArray[np.uint64]) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Which part has which member, (parts, members), as ones and as weights."""
    bounds = np.concatenate([[0], np.cumsum([len(part.digests) for part in parts])])
    columns = np.searchsorted(members, np.concatenate([part.digests for part in parts]))
    weights = np.concatenate([part.weights for part in parts]).astype(np.float64)
    shape = (len(parts), len(members))
    ones = sparse.csr_array((np.ones(len(columns)), columns, bounds), shape=shape)
    return ones, sparse.csr_array((weights, columns, bounds), shape=shape)


def _overlap(left: Part, right: Part, days: tuple[int, int] | None = None) -> Overlap:
    """The overlap of a known and a seen part; with `days`, each side's share is of what it has on these days."""
    common, at, to = np.intersect1d(left.digests, right.digests, assume_unique=True, return_indices=True)
    # Beyond the last digest of a cut sketch its members are unknown, so the other's do not count there either.
    limit = min(_ALL if part.whole else int(part.digests[-1]) for part in (left, right))
    left_count, left_weight = _counted(left, limit, days)
    right_count, right_weight = _counted(right, limit, days)
    of_known = float(left.weights[at].sum(dtype=np.float64)) / left_weight if left_weight else 0.0
    of_seen = float(right.weights[to].sum(dtype=np.float64)) / right_weight if right_weight else 0.0
    return Overlap(min(of_known, 1.0), min(of_seen, 1.0), len(common), min(left_count, right_count))


def _counted(part: Part, limit: int, days: tuple[int, int] | None) -> tuple[int, float]:
    """How many members there are up to the digest `limit` and (where given) on these days, and their weight."""
    end = int(np.searchsorted(part.digests, np.uint64(limit), side="right"))
    weights = part.weights[:end]
    if days is not None:
        weights = weights[(part.last[:end] >= days[0]) & (part.first[:end] <= days[1])]
    return len(weights), float(weights.sum(dtype=np.float64))
