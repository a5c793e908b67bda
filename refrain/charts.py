"""The numbers of the report's drawings: bars over time, the map of clusters, the overlap of accounts. No markup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from refrain.findings import Timeline
from refrain.layout import Box, placed
from refrain.singers import Singers

# Pixels of the map, and of the radius of its smallest and largest point; a point with a number in it needs the second.
MAP_BOX = Box(width=960.0, height=560.0, margin=34.0)
_SMALL, _NUMBERED, _LARGE = 4.0, 10.0, 24.0
# Share of the map that discs may cover: where all clusters are of one size, all would be large and touch.
_COVERED = 0.12
# Links drawn: from this share of common accounts, and at most so many; more is a grey carpet.
_LINK_FROM, _MAX_LINKS = 0.25, 250
# Pixels a bar chart is wide, and the gap between its bars.
BARS_WIDTH, _BAR_GAP = 960.0, 1.0
# Ticks below a chart at most.
_TICKS = 8
# Pixels of a cell of the overlap matrix.
CELL = 26


@dataclass(frozen=True)
class Bar:
    """One bar in pixels from the top left, and what a reader hears of it."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Bars:
    """Bars over time with ticks (x, text)."""

    height: float
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    top: int


def bars(timeline: Timeline, height: float, top: int | None = None) -> Bars:
    """The bars of a timeline; `top` is the count of a full bar, by default the largest."""
    most = top or max(timeline.counts, default=0)
    step = BARS_WIDTH / max(len(timeline.counts), 1)
    start = datetime.fromisoformat(timeline.start)
    moments = [start + timedelta(hours=timeline.bin_hours * n) for n in range(len(timeline.counts))]
    drawn = tuple(
        Bar(
            round(n * step, 2),
            round(height * (1 - count / most), 2),
            round(max(step - _BAR_GAP, 1.0), 2),
            round(height * count / most, 2),
            f"{moment:%Y-%m-%d %H:%M}: {count:,}",
        )
        for n, (moment, count) in enumerate(zip(moments, timeline.counts, strict=True))
        if count
    )
    days = [n for n, moment in enumerate(moments) if moment.hour == 0]
    chosen = (days or [0])[:: -(-len(days) // _TICKS) or 1]
    ticks = tuple((round(n * step, 2), f"{moments[n].day} {moments[n]:%b}") for n in chosen)
    return Bars(height, drawn, ticks, most)


@dataclass(frozen=True)
class Point:
    """One cluster on the map: centre and radius in pixels, the campaign it belongs to or None, and its owners."""

    cluster_id: int
    x: float
    y: float
    radius: float
    campaign_id: int | None
    owners: int


@dataclass(frozen=True)
class Map:
    """The map of clusters: points, and links (from, to, share of common accounts) between positions in `points`."""

    points: tuple[Point, ...]
    links: tuple[tuple[int, int, float], ...]


def cluster_map(singers: Singers, owners: Sequence[int], campaigns: Mapping[int, int]) -> Map:
    """The map of the singers' clusters: the more accounts two share, the closer they lie."""
    most = max(owners, default=1)
    radii = np.array([_SMALL + (_LARGE - _SMALL) * np.sqrt(count / most) for count in owners], dtype=np.float64)
    covered = float((np.pi * radii**2).sum()) / (MAP_BOX.width * MAP_BOX.height)
    radii = radii * min(1.0, np.sqrt(_COVERED / max(covered, _COVERED)))
    numbered = np.array([cluster in campaigns for cluster in singers.items], dtype=bool)
    radii[numbered] = np.maximum(radii[numbered], _NUMBERED)
    similarity = singers.cosine()
    where = placed(similarity, radii, MAP_BOX)
    points = tuple(
        Point(cluster, round(float(x), 1), round(float(y), 1), round(float(radius), 1), campaigns.get(cluster), count)
        for cluster, (x, y), radius, count in zip(singers.items, where, radii, owners, strict=True)
    )
    first, second = np.triu_indices(len(points), k=1)
    shares = similarity[first, second]
    chosen = np.lexsort((second, first, -shares))[:_MAX_LINKS]
    links = tuple(
        (int(first[n]), int(second[n]), round(float(shares[n]), 2)) for n in chosen if shares[n] >= _LINK_FROM
    )
    return Map(points, links)


@dataclass(frozen=True)
class Overlap:
    """Templates with the campaign of each, its accounts, and the overlap of these with every other's."""

    templates: tuple[int, ...]
    campaigns: tuple[int, ...]
    accounts: tuple[int, ...]
    shares: tuple[tuple[float, ...], ...]


def overlap(singers: Singers, campaigns: Mapping[int, int]) -> Overlap:
    """The overlap matrix of the singers' templates, in their order."""
    shares = np.round(singers.overlap(), 2)
    return Overlap(
        singers.items,
        tuple(campaigns[template] for template in singers.items),
        tuple(int(count) for count in singers.accounts),
        tuple(tuple(float(share) for share in row) for row in shares),
    )
