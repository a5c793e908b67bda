"""The nights against a truth of their own: do ids hold, are events right, how soon is a campaign seen?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from refrain.lineage.types import Event


@dataclass(frozen=True)
class JudgedNight:
    """One night as the ledger and the truth have it: of each stable id of a campaign seen, the true campaign that most
    of its requests are of (None: no campaign's), which of them alert, and the night's events of campaigns."""

    day: date
    families: Mapping[str, str | None]
    alerts: frozenset[str]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class NightsEvaluation:
    """The figures; shares are None where there is nothing to count."""

    nights: int
    campaign_nights: int
    held: float | None
    reused: int
    event_precision: float | None
    event_recall: float | None
    by_event: Mapping[str, tuple[int, int, int]]  # found and true, found, true
    days_to_alert: Mapping[str, int | None]

    def plain(self) -> dict[str, Any]:
        """The figures as JSON knows them."""
        raise NotImplementedError


def judge_night(
    day: date, exports: Path, campaign_ids: Mapping[int, str], events: Sequence[Event], truth: Path
) -> JudgedNight:
    """One night for `evaluate_nights`: `exports` is the folder of runs/nightly-<day>/exports, `campaign_ids` the stable
    id of each local campaign, `truth` the simulator's OUT/truth.parquet."""
    raise NotImplementedError


def evaluate_nights(nights: Sequence[JudgedNight], truth: Path) -> NightsEvaluation:
    """The figures over all nights; `truth` is the simulator's OUT/nights.parquet."""
    raise NotImplementedError
