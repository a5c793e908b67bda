"""The nights against a truth of their own: do ids hold, are events right, how soon is a campaign seen?

- An id *is* a true campaign's on a night where at least half of its requests are campaigns', and most of those this
  one's (`refrain.evaluation`). Of several the one with most of the campaign's requests stands for it on that night.
- A campaign-night *holds* where the id that stands for the campaign is the one that first did, or one that by the
  ledger succeeded or absorbed that (a merge is told when it has lasted, so a later night may say so).
- An id is *reused* where it was two campaigns' on different nights that no split and no merge of the truth joins.
- An event is *right* where the truth has it for the campaign (or the one that it names) on that night or up to
  `tolerance_days` before; each true event makes one found event right. `continued`, and what is told of the parent of a
  split or of a merged-away id once more, are not counted; nor is what happens to ids that are no campaign's.
- A true event can be missed only where nights enough followed it: the tolerance, and for `ended` the rule's own days.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.config import LineageConfig
from refrain.errors import InputError
from refrain.evaluation import read_truth
from refrain.lineage.types import Event

# A change shows when the window holds enough of it, and a window of five days holds nothing else after five.
TOLERANCE_DAYS = 7
_HALF = 0.5
_TWICE_TOLD = ("parent", "absorbed")
_COUNTED = ("born", "grew", "shrank", "split", "merged", "succeeded", "pivoted", "dormant", "returned", "ended")


@dataclass(frozen=True)
class JudgedNight:
    """One night as the ledger and the truth have it: of each stable id of a campaign seen, the true campaign that most
    of its requests are of (None: no campaign's) and how many of its requests are; which ids alert; and the night's
    events of campaigns."""

    day: date
    families: Mapping[str, str | None]
    own: Mapping[str, int]
    alerts: frozenset[str]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class NightsEvaluation:
    """The figures; shares are None where there is nothing to count. `by_event`: right, found, true; a `days_to_alert`
    of None: never."""

    nights: int
    campaign_nights: int
    held: float | None
    reused: int
    event_precision: float | None
    event_recall: float | None
    by_event: Mapping[str, tuple[int, int, int]]
    days_to_alert: Mapping[str, int | None]
    wrong: tuple[str, ...]
    missed: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """The figures as JSON knows them, rounded to four places."""
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {**rounded, "by_event": {name: list(counts) for name, counts in self.by_event.items()}}


def judge_night(
    day: date, exports: Path, campaign_ids: Mapping[int, str], events: Sequence[Event], truth: Path
) -> JudgedNight:
    """One night for `evaluate_nights`: `exports` is the folder of runs/nightly-<day>/exports, `campaign_ids` the stable
    id of each local campaign, `truth` the simulator's OUT/truth.parquet. InputError where they do not belong together.
    """
    known = read_truth(truth)
    labels = _read(exports / "labels.parquet", ("request_id", "campaign_id"))
    campaigns = _read(exports / "campaigns.parquet", ("campaign_id", "alert"))
    families: dict[int, Counter[str]] = defaultdict(Counter)
    sizes = Counter[int]()
    for request, number in zip(labels["request_id"], labels["campaign_id"], strict=True):
        if number is None:
            continue
        if request not in known.family:
            raise InputError("the night has a request that the truth has not", hint="give the truth of this log")
        sizes[number] += 1
        if request in known.hostile:
            families[number][known.family[request]] += 1
    found: dict[str, str | None] = {}
    own: dict[str, int] = {}
    for number, name in campaign_ids.items():
        counts = families[number]
        true = bool(sizes[number]) and counts.total() >= _HALF * sizes[number]
        best, count = min(counts.items(), key=lambda item: (-item[1], item[0])) if true else (None, 0)
        found[name], own[name] = best, count
    rows = zip(campaigns["campaign_id"], campaigns["alert"], strict=True)
    alerts = frozenset(campaign_ids[number] for number, alert in rows if alert and number in campaign_ids)
    return JudgedNight(day, found, own, alerts, tuple(event for event in events if event.identity.startswith("c-")))


def evaluate_nights(
    nights: Sequence[JudgedNight], truth: Path, rule: LineageConfig, tolerance_days: int = TOLERANCE_DAYS
) -> NightsEvaluation:
    """The figures over all nights; `truth` is the simulator's OUT/nights.parquet, `rule` the one that they ran with."""
    told = _told(truth)
    ordered = sorted(nights, key=lambda night: night.day)
    joined = _Joined(told)
    held, count = _held(ordered)
    right, wrong, missed = _judged(ordered, told, rule, tolerance_days)
    found_total, true_total = Counter[str](right), Counter[str](right)
    found_total.update(event for _, _, event in wrong)
    true_total.update(event for _, _, event in missed)
    names = [name for name in _COUNTED if found_total[name] or true_total[name]]
    return NightsEvaluation(
        len(ordered), count, held / count if count else None, _reused(ordered, joined),
        right.total() / found_total.total() if found_total else None,
        right.total() / true_total.total() if true_total else None,
        {name: (right[name], found_total[name], true_total[name]) for name in names},
        _days_to_alert(ordered, told),
        tuple(f"{day} {family} {event}" for day, family, event in wrong),
        tuple(f"{day} {family} {event}" for day, family, event in missed),
    )  # fmt: skip


@dataclass(frozen=True)
class _Told:
    campaign: str
    night: date
    event: str
    other: str


def _told(path: Path) -> list[_Told]:
    rows = _read(path, ("campaign", "night", "event", "other"))
    return [_Told(*row) for row in zip(*rows.values(), strict=True) if row[2] in _COUNTED]


def _read(path: Path, columns: Sequence[str]) -> dict[str, list[Any]]:
    """The named columns; InputError where the file is none with them."""
    try:
        table = pq.read_table(path, columns=list(columns))
        return {name: table[name].to_pylist() for name in columns}
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read", hint=f"it needs {', '.join(columns)}") from error


class _Joined:
    """Which campaigns of the truth become one or were one."""

    def __init__(self, told: Sequence[_Told]) -> None:
        self._pairs = {frozenset((row.campaign, row.other)) for row in told if row.other}

    def of(self, one: str, two: str) -> bool:
        return one == two or frozenset((one, two)) in self._pairs


def _standing(night: JudgedNight) -> dict[str, str]:
    """The id that stands for each campaign on a night."""
    best: dict[str, str] = {}
    for name, family in sorted(night.families.items()):
        if family is not None and (family not in best or night.own[name] > night.own[best[family]]):
            best[family] = name
    return best


def _held(nights: Sequence[JudgedNight]) -> tuple[int, int]:
    """Campaign-nights whose id held, and all."""
    expected: dict[str, str] = {}
    heirs: dict[str, set[str]] = defaultdict(set)
    for event in (event for night in nights for event in night.events):
        if event.event in ("succeeded", "merged") and event.details.get("role") not in _TWICE_TOLD:
            for one in event.others:
                heirs[one].add(event.identity)
    held = count = 0
    for night in nights:
        for family, name in _standing(night).items():
            first = expected.setdefault(family, name)
            if name in heirs[first]:
                first = expected[family] = name
            held, count = held + (name == first), count + 1
    return held, count


def _reused(nights: Sequence[JudgedNight], joined: _Joined) -> int:
    """Ids that were two things."""
    families: dict[str, set[str]] = defaultdict(set)
    for night in nights:
        for name, family in night.families.items():
            if family is not None:
                families[name].add(family)
    return sum(any(not joined.of(one, two) for one in found for two in found) for found in families.values())


def _judged(
    nights: Sequence[JudgedNight], told: Sequence[_Told], rule: LineageConfig, tolerance: int
) -> tuple[Counter[str], list[tuple[date, str, str]], list[tuple[date, str, str]]]:
    """Right events by name, and (day, campaign, event) of the wrong and of the missed ones."""
    families: dict[str, str] = {}
    left = sorted(told, key=lambda row: (row.night, row.campaign, row.event))
    right = Counter[str]()
    wrong: list[tuple[date, str, str]] = []
    for night in nights:
        families |= {name: family for name, family in night.families.items() if family is not None}
        for event in night.events:
            family = families.get(event.identity)
            if event.event not in _COUNTED or family is None or event.details.get("role") in _TWICE_TOLD:
                continue
            match = next((row for row in left if _is(row, event.event, family, night.day, rule, tolerance)), None)
            if match is None:
                wrong.append((night.day, family, event.event))
            else:
                left.remove(match)
                right[event.event] += 1
    end = max((night.day for night in nights), default=date.min)
    missed = [
        (row.night, row.campaign, row.event) for row in left if (end - row.night).days >= _reach(row, rule, tolerance)
    ]
    return right, wrong, missed


def _is(row: _Told, event: str, family: str, day: date, rule: LineageConfig, tolerance: int) -> bool:
    late = (day - row.night).days
    return row.event == event and family in (row.campaign, row.other) and 0 <= late <= _reach(row, rule, tolerance)


def _reach(row: _Told, rule: LineageConfig, tolerance: int) -> int:
    """Days after a true event in which it may be found."""
    return tolerance + (rule.ended_days if row.event == "ended" else 0)


def _days_to_alert(nights: Sequence[JudgedNight], told: Sequence[_Told]) -> dict[str, int | None]:
    """Days from each campaign's first request to the first night on which an id that is its own alerts."""
    first = {row.campaign: row.night for row in sorted(told, key=lambda row: row.night, reverse=True)}
    out: dict[str, int | None] = {}
    for family, begun in sorted(first.items()):
        days = [n.day for n in nights if any(f == family and name in n.alerts for name, f in n.families.items())]
        out[family] = (min(days) - begun).days if days else None
    return out
