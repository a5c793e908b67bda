"""Small campaigns by day, seen through a window, for the tests of the lineage."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from refrain.lineage import Known, Lineage, LineageRule, Part, Seen, Signature, match, sketch
from refrain.settings import load_settings

KEY = bytes(range(32))
START = date(2026, 9, 1)
_FIRST = (START - date(1970, 1, 1)).days
_DAY = 86_400_000_000
RULE: LineageRule = load_settings().config.lineage
WORDS = tuple(f"reason about step {n}" for n in range(12))


@dataclass(frozen=True)
class Use:
    """One account's requests with one wrapper on one day (from 0); `cell` tells apart what a run may split."""

    account: str
    day: int
    requests: int = 4
    model: str = "old"
    cell: str = ""


def uses(
    accounts: Iterable[str], days: Iterable[int], requests: int = 4, model: str = "old", cell: str = ""
) -> list[Use]:
    """Each account on each day."""
    all_days = list(days)
    return [Use(account, day, requests, model, cell) for account in accounts for day in all_days]


def pool(name: str, size: int) -> list[str]:
    """Accounts of a pool."""
    return [f"{name}-{n}" for n in range(size)]


def digest(text: str) -> int:
    """A stand-in for a keyed digest."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def seen(
    local_id: int,
    sent: Sequence[Use],
    night: int,
    *,
    days: int = 5,
    words: Sequence[str] = WORDS,
    kind: str = "campaign",
) -> Seen | None:
    """What a run over the `days` that end with `night` holds of these uses; None where it holds nothing."""
    first = max(0, night - days + 1)
    inside = [use for use in sent if first <= use.day <= night]
    if not inside:
        return None
    accounts: dict[str, Counter[int]] = {}
    requests: dict[str, int] = {}
    models = Counter[tuple[str, int]]()
    for use in inside:
        accounts.setdefault(use.account, Counter())[use.day] += use.requests
        models[use.model, _FIRST + use.day] += use.requests
        requests |= {f"{use.account} {use.day} {use.cell} {n}": use.day for n in range(use.requests)}
    signature = Signature(
        accounts=_part({name: (count.total(), min(count), max(count)) for name, count in accounts.items()}),
        requests=_part({name: (1, day, day) for name, day in requests.items()}),
        segments=_part({word: (len(requests), first, night) for word in words}),
        words=_part(dict.fromkeys(words, (1, 0, 0))),
        models=tuple(sorted((model, day, count) for (model, day), count in models.items())),
        window=(_FIRST + first, _FIRST + night),
        first_seen=(_FIRST + min(use.day for use in inside)) * _DAY,
        last_seen=(_FIRST + max(use.day for use in inside)) * _DAY + _DAY // 2,
    )
    return Seen(kind, local_id, False, len(accounts), len(requests), signature)  # type: ignore[arg-type]


def _part(members: dict[str, tuple[float, int, int]]) -> Part:
    weights, first, last = zip(*members.values(), strict=True) if members else ((), (), ())
    begins, ends = ([_FIRST + day for day in column] for column in (first, last))
    return sketch([digest(name) for name in members], weights, begins, ends, RULE.campaign_members)


class Ledger:
    """Nights in order, as the real ledger would keep them: every signature goes through its bytes."""

    def __init__(self, rule: LineageRule = RULE) -> None:
        self.rule = rule
        self.known: dict[str, Known] = {}
        self.nights: list[Lineage] = []

    def night(self, number: int, found: Iterable[Seen | None]) -> Lineage:
        """The lineage of one night, which is then known."""
        there = [item for item in found if item is not None]
        answer = match(list(self.known.values()), there, START + timedelta(days=number), self.rule, key=KEY)
        for item in answer.identities:
            signature = Signature.from_bytes(item.signature.to_bytes())
            self.known[item.id] = Known(item.id, item.kind, item.born, item.last_seen, item.state, signature)
        self.nights.append(answer)
        return answer


def names(night: Lineage) -> dict[int, str]:
    """Stable id by local number."""
    return {found.local_id: found.identity for found in night.assignments}


def told(night: Lineage, *without: str) -> list[tuple[str, str]]:
    """(identity, event) of a night, `continued` and `without` left out."""
    return [(event.identity, event.event) for event in night.events if event.event not in ("continued", *without)]
