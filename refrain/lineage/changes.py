"""What became of a campaign since it was last spoken of: its size, its pool, its models."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from refrain.config import LineageConfig
from refrain.lineage.signatures import Part, Signature
from refrain.lineage.types import Event

_EPOCH = date(1970, 1, 1)
_SHARE_PLACES = 3


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days


def day_of(number: int) -> date:
    """The day of a number of days since 1970-01-01."""
    return _EPOCH + timedelta(days=number)


def last_day(signature: Signature) -> int:
    """The day of its last request, since 1970-01-01."""
    return signature.last_seen // _DAY


_DAY = 86_400_000_000  # microseconds


def remembered(now: Signature, before: Signature | None) -> Signature:
    """Tonight's signature with what the lineage remembers of the nights before."""
    if before is None:
        return now
    return replace(now, size=before.size, shares=before.shares, replaced_on=before.replaced_on)


def forgetful(signature: Signature) -> Signature:
    """The signature as a night observes it, without what the lineage remembers."""
    return replace(signature, size=0, shares=(), replaced_on=0, absorbed=0)


def changes(identity: str, now: Signature, day: int, rule: LineageConfig) -> tuple[Signature, list[Event]]:
    """The signature with what is to be remembered, and the events succeeded (in place), pivoted, grew and shrank.

    `now` is what `remembered` gives, `day` the night since 1970-01-01.
    """
    events = []
    cut = _replaced(now, day, rule)
    if cut is not None:
        gone, new = _around(now.accounts, cut)
        events.append(
            Event(identity, "succeeded", (), {
                "role": "in_place", "on": day_of(cut).isoformat(), "accounts_gone": now.accounts.estimate(gone),
                "accounts_new": now.accounts.estimate(new),
            })
        )  # fmt: skip
        now = replace(now, replaced_on=cut)
    recent = day - rule.recent_days + 1
    now, pivots = _pivots(identity, now, recent, rule)
    now, sizes = _sizes(identity, now, recent, day, rule)
    return now, [*events, *pivots, *sizes]


@dataclass(frozen=True)
class _Turn:
    """The accounts around a day: seen on the two days before and the two from it on."""

    crossing: float  # share that sent before it and from it on
    held_before: float  # share of those of the two days before that sent on both; 1 where it began on the day before
    held_after: float
    gone: int
    new: int


def _turn(accounts: Part, cut: int) -> _Turn:
    first, last = accounts.first, accounts.last
    around = (last >= cut - 2) & (first <= cut + 1)
    before, after = around & (first < cut), around & (last >= cut)
    gone, new = around & (last < cut), around & (first >= cut)
    # Begun on the day before, it cannot tell accounts that stay from those that come for one day: those after it can.
    begun = int(first.min(initial=cut)) == cut - 1
    return _Turn(
        _share(before & after, around),
        1.0 if begun else _share(gone & (first <= cut - 2) & (last >= cut - 1), gone),
        _share(new & (first <= cut) & (last >= cut + 1), new),
        int(gone.sum()),
        int(new.sum()),
    )


def _around(accounts: Part, cut: int) -> tuple[int, int]:
    """How many of the accounts kept went before a day, and came from it on."""
    return int((accounts.last < cut).sum()), int((accounts.first >= cut).sum())


def _share(some: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float(some.sum()) / max(int(of.sum()), 1)


def _replaced(now: Signature, day: int, rule: LineageConfig) -> int | None:
    """The latest day of the window from which another pool sends, None where there is none or it was told before."""
    for cut in range(day - 1, max(now.window[0] + 1, now.replaced_on + 1), -1):
        turn = _turn(now.accounts, cut)
        enough = min(now.accounts.estimate(turn.gone), now.accounts.estimate(turn.new)) >= rule.min_accounts
        held = min(turn.held_before, turn.held_after) >= rule.succession_held
        if enough and held and turn.crossing <= rule.succession_crossing:
            return cut
    return None


def _turning(now: Signature, recent: int, day: int, rule: LineageConfig) -> bool:
    """Whether a pool may be going while another comes: not the time to speak of size."""
    if recent <= now.replaced_on:
        return True
    for cut in range(recent, day + 1):
        turn = _turn(now.accounts, cut)
        if min(turn.gone, turn.new) >= rule.min_accounts and turn.crossing <= rule.succession_crossing:
            return True
    return False


def _pivots(identity: str, now: Signature, recent: int, rule: LineageConfig) -> tuple[Signature, list[Event]]:
    late, early = Counter[str](), Counter[str]()
    for model, when, requests in now.models:
        (late if when >= recent else early)[model] += requests
    shares = dict(now.shares)
    if not shares:
        base = early if early.total() >= rule.pivot_requests else early + late
        shares = {model: count / base.total() for model, count in base.items()}
    events = []
    enough = late.total() >= rule.pivot_requests
    for model, count in sorted(late.items()):
        share, before = count / late.total(), shares.get(model, 0.0)
        if enough and share >= max(rule.pivot_share, rule.pivot_factor * before):
            told: dict[str, int | float | str] = {
                "model": model,
                "share": round(share, _SHARE_PLACES),
                "before": round(before, _SHARE_PLACES),
            }
            events.append(Event(identity, "pivoted", (), told))
    if events:
        shares = {model: count / late.total() for model, count in late.items()}
    kept = tuple(sorted((model, round(share, _SHARE_PLACES)) for model, share in shares.items()))
    return replace(now, shares=kept), events


def _sizes(identity: str, now: Signature, recent: int, day: int, rule: LineageConfig) -> tuple[Signature, list[Event]]:
    sent = {when for _, when, _ in now.models}
    # Begun, resting or leaving, it was not there for all of the recent days, and its size would say that.
    if not {recent, day} <= sent:
        return now, []
    if _turning(now, recent, day, rule):
        return replace(now, size=0), []
    size = now.accounts.estimate(int((now.accounts.last >= recent).sum()))
    if not now.size:
        return replace(now, size=size), []
    told: dict[str, int | float | str] = {"accounts": size, "accounts_before": now.size}
    if abs(size - now.size) < rule.min_accounts:
        return now, []
    if size >= rule.size_factor * now.size:
        return replace(now, size=size), [Event(identity, "grew", (), told)]
    if now.size >= rule.size_factor * size:
        return replace(now, size=size), [Event(identity, "shrank", (), told)]
    return now, []
