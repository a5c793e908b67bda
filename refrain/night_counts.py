"""What a night counts: requests by day, rows that came late, and whether any of it looks wrong."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import read_manifest
from refrain.config import AlertsConfig
from refrain.figures import counted
from refrain.slices import Slice, day_starts

_DAY_PREFIX = "requests "  # and an ISO day: how the count of a day is named among a night's counts
_FEWEST_DAYS = 3  # days beside the new one that say what is usual
_DAY = timedelta(days=1)
# A night's counts, under the noun of the stage whose manifest has them.
_OF_STAGES = {
    "requests": ("kept", "merged", "quarantined", "accounts", "owners"),
    "clusters": ("segments", "clusters", "noise"),
    "templates": ("templates",),
    "campaigns": ("campaigns", "alerts", "members"),
}


@dataclass(frozen=True)
class Lateness:
    """Rows of earlier days that a night counts and the night before did not, and the other way round; by days."""

    rows: int = 0
    days: int = 0
    gone_rows: int = 0
    gone_days: int = 0

    @property
    def words(self) -> str:
        """What to tell a person; nothing where all is as it was."""
        parts = [
            f"{counted(rows, 'row')} {what} in {counted(days, 'day')}"
            for rows, days, what in ((self.rows, self.days, "came late"), (self.gone_rows, self.gone_days, "are gone"))
            if rows
        ]
        return ", ".join(parts)


@dataclass(frozen=True)
class Oddity:
    """Something about a night that a person should look at: `kind` is no_data, volume or noise."""

    kind: str
    words: str


def count_days(run: Path, part: Slice) -> dict[date, int]:
    """The requests of a run's folder on each day of its window `part`, in the window's zone; zeros included."""
    assert part.first is not None
    assert part.last is not None
    starts = np.array(day_starts(part.first, part.last, part.zone), np.int64)
    counts = np.zeros(len(starts) - 1, np.int64)
    for path in sorted((run / "requests" / "requests").glob("day=*/part-0.parquet")):
        # Without the folder's own column: the file alone says what is in it.
        times = pq.ParquetFile(path).read(columns=["timestamp"])["timestamp"]
        micros = times.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
        counts += np.bincount(np.searchsorted(starts, micros, side="right") - 1, minlength=len(counts))[: len(counts)]
    return {part.first + at * _DAY: int(count) for at, count in enumerate(counts)}


def night_counts(run: Path, part: Slice) -> dict[str, int]:
    """The counts of a finished run that a night keeps: those of its stages, and the requests of each of its days."""
    by_day = count_days(run, part)
    return stage_counts(run) | {f"{_DAY_PREFIX}{day}": count for day, count in by_day.items()}


def stage_counts(run: Path) -> dict[str, int]:
    """The counts of a finished run's stages that are kept in the ledger."""
    counts: dict[str, int] = {}
    for noun, names in _OF_STAGES.items():
        manifest = read_manifest(run / noun)
        found = {} if manifest is None else manifest.counts
        counts |= {name: int(found.get(name, 0)) for name in names}
    return counts


def requests_by_day(counts: Mapping[str, int]) -> dict[date, int]:
    """The requests of each day among a night's counts."""
    return {
        date.fromisoformat(name.removeprefix(_DAY_PREFIX)): count
        for name, count in sorted(counts.items())
        if name.startswith(_DAY_PREFIX)
    }


def lateness(counts: Mapping[str, int], before: Mapping[str, int]) -> Lateness:
    """What differs, on the days that both nights read, from the counts of the night before.

    Counts are compared and not rows: as many rows that came as went on one day show as nothing.
    """
    now, then = requests_by_day(counts), requests_by_day(before)
    changes = [now[day] - then[day] for day in now.keys() & then.keys()]
    late, gone = [more for more in changes if more > 0], [-more for more in changes if more < 0]
    return Lateness(sum(late), len(late), sum(gone), len(gone))


def oddities_of(
    day: date, counts: Mapping[str, int], before: Mapping[str, int] | None, rule: AlertsConfig
) -> Sequence[Oddity]:
    """What looks wrong in the counts of the night `day`; `before` are those of the night before, if there was one."""
    by_day = requests_by_day(counts)
    own = by_day.get(day, 0)
    if not own:
        return [Oddity("no_data", f"{day} has no request")]
    found = []
    others = [count for other, count in by_day.items() if other != day and count]
    if len(others) >= _FEWEST_DAYS:
        usual = statistics.median(others)
        if not usual / rule.volume_factor <= own <= usual * rule.volume_factor:
            words = f"{counted(own, 'request')} on {day}, where a day of the window usually has {usual:,.0f}"
            found.append(Oddity("volume", words))
    noise, noise_before = _noise(counts), _noise(before or {})
    if noise is not None and noise_before is not None and abs(noise - noise_before) > rule.noise_change:
        words = f"{noise:.0%} of the segments are in no cluster, {noise_before:.0%} the night before"
        found.append(Oddity("noise", words))
    return found


def _noise(counts: Mapping[str, int]) -> float | None:
    """The share of segments in no cluster; None where there are none."""
    segments = counts.get("segments", 0)
    return counts.get("noise", 0) / segments if segments else None
