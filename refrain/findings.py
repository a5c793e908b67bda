"""What a run found, read back from its folders as plain values that JSON knows: the source of `show` and of the report.

Times are ISO 8601 in UTC, texts are as they came: hostile. Whoever shows them makes them fit first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.contract import SLOT
from refrain.errors import InputError
from refrain.formats import plain
from refrain.packet_lines import read_packets
from refrain.printable import printable
from refrain.queries import database

Row = dict[str, Any]

# MiB for the counts by hour: one scan of the times of the labelled requests.
_MEMORY_LIMIT_MIB = 512
# Bins of a timeline: what one line of a terminal holds.
_MAX_BINS = 72
# An excerpt reads this many times what it shows: white space goes out of it, and a text may be a megabyte.
_EXCERPT_READ = 8
# Hours that a bin may have, so that bins begin where people's days do; beyond the last, whole weeks.
_BIN_HOURS = (1, 3, 6, 12, 24)
_WEEK_HOURS = 168

_HOURS = """
SELECT l.campaign_id, epoch_us(r.timestamp) // 3600000000 AS hour, count(*) AS requests
FROM read_parquet($requests) r LEFT JOIN read_parquet($labels) l USING (request_row)
GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True)
class Timeline:
    """Requests by bins of equal width over the whole log, so that every timeline of a run has the same axis."""

    start: str
    bin_hours: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Hours:
    """Requests by hour since 1970: of the whole log, and of each campaign."""

    all: Mapping[int, int]
    campaigns: Mapping[int, Mapping[int, int]]

    def timeline(self, campaign_id: int | None = None) -> Timeline:
        """The timeline of one campaign, or of the whole log."""
        counts = self.all if campaign_id is None else self.campaigns.get(campaign_id, {})
        first, last = (min(self.all), max(self.all)) if self.all else (0, 0)
        width = _bin_hours(first, last)
        start = first // width * width
        bins = [0] * ((last - start) // width + 1)
        for hour, requests in counts.items():
            bins[(hour - start) // width] += requests
        begin = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=start)
        return Timeline(plain(begin), width, tuple(bins))


def findings(run: Path) -> list[Row]:
    """One dict a campaign by rank: the columns of the campaigns, as `skeleton` that of its first template, and as
    `known` the templates that its own are like."""
    campaigns = _read(run, "campaigns", "campaigns.parquet").sort_by("campaign_id").to_pylist()
    skeletons = {
        row["template_id"]: row["skeleton"] for row in _templates(run, [row["templates"] for row in campaigns])
    }
    near = known_templates(run, [row["campaign_id"] for row in campaigns])
    for row in campaigns:
        row["known"] = near[row["campaign_id"]]
        row["skeleton"] = next((skeletons[number] for number in row["templates"] if number in skeletons), "")
    return [plain(row) for row in campaigns]


def known_templates(run: Path, campaign_ids: Sequence[int]) -> dict[int, list[Row]]:
    """The known templates that each campaign's are like, those that lower its rank first, then the nearest: name,
    source, similarity, whether it is `known` by this one, whether `suppressed`, and a `note`."""
    if not (_folder(run, "campaigns") / "known.parquet").exists():  # a run of an older version
        return {number: [] for number in campaign_ids}
    groups = grouped(_read(run, "campaigns", "known.parquet"), campaign_ids)
    return {
        number: [{name: value for name, value in row.items() if name != "campaign_id"} for row in rows]
        for number, rows in groups.items()
    }


def finding(run: Path, campaign_id: int) -> Row:
    """One campaign with all that speaks for and against it; InputError where the run has none of that number."""
    [detail] = details(run, [campaign_id])
    return detail


def details(run: Path, campaign_ids: Sequence[int], hours: Hours | None = None) -> list[Row]:
    """`finding` for several campaigns, in the order given, each table read once.

    A detail is the dict of `findings` with `templates` as the templates' own rows (each with its skeleton's `pieces`,
    pairs of kind (text or slot) and text), `members`, `tests`, `hypotheses` and `timeline`; `packet` is its packet
    (outputs/README.md), None where the run has no exports yet.
    """
    known = {row["campaign_id"]: row for row in findings(run)}
    missing = [number for number in campaign_ids if number not in known]
    if missing:
        raise InputError(
            f"the run {run.name} has no campaign {missing[0]}", hint=f"it has {len(known)}, numbered from 0"
        )
    templates = {
        row["template_id"]: row for row in _templates(run, [known[number]["templates"] for number in campaign_ids])
    }
    for row in templates.values():
        row["pieces"] = pieces(row["skeleton"])
    members = _members(run, campaign_ids)
    tests = grouped(_read(run, "campaigns", "tests.parquet"), campaign_ids)
    benign = grouped(_read(run, "campaigns", "benign.parquet"), campaign_ids)
    hours = hours or hours_of(run)
    packets = read_packets(run / "exports", campaign_ids)
    return [
        plain(
            {
                **known[number],
                "templates": [templates[template] for template in known[number]["templates"] if template in templates],
                "members": members[number],
                "tests": tests[number],
                "hypotheses": benign[number],
                "timeline": {**asdict(timeline := hours.timeline(number)), "counts": list(timeline.counts)},
                "packet": packets.get(number),
            }
        )
        for number in campaign_ids
    ]


def pieces(skeleton: str) -> list[list[str]]:
    """The skeleton as ["text", ...] and ["slot", ""] in order; empty texts are left out."""
    out: list[list[str]] = []
    for position, text in enumerate(skeleton.split(SLOT)):
        if position:
            out.append(["slot", ""])
        if text:
            out.append(["text", text])
    return out


def excerpt(skeleton: str, limit: int) -> list[list[str]]:
    """The beginning of the skeleton's `pieces` on one line, fit to be shown, of about `limit` characters."""
    out: list[list[str]] = []
    room = limit
    for kind, text in pieces(skeleton):
        if room <= 0:
            break
        shown = printable(" ".join(text[: _EXCERPT_READ * limit].split()), room)
        if kind == "slot" or shown:
            out.append([kind, shown])
            room -= max(len(shown), len(SLOT))
    return out


def hours_of(run: Path) -> Hours:
    """Requests by hour, counted in one pass over the run's requests."""
    return count_hours(_folder(run, "requests"), _folder(run, "campaigns"))


def count_hours(requests: Path, campaigns: Path) -> Hours:
    """`hours_of`, from the folders of these two stages."""
    files = {
        "requests": [str(path) for path in sorted(requests.glob("requests/day=*/part-0.parquet"))],
        "labels": [str(campaigns / "request_campaigns.parquet")],
    }
    if not files["requests"]:
        return Hours({}, {})
    everything: dict[int, int] = {}
    sung: dict[int, dict[int, int]] = {}
    with database(_MEMORY_LIMIT_MIB) as connection:
        rows = connection.execute(_HOURS, files).fetchall()
    for campaign, hour, count in rows:
        everything[hour] = everything.get(hour, 0) + count
        if campaign is not None:
            sung.setdefault(campaign, {})[hour] = count
    return Hours(everything, sung)


def _bin_hours(first: int, last: int) -> int:
    """The smallest width with which the bins from the hour `first` to the hour `last` are at most _MAX_BINS."""
    for width in _BIN_HOURS:
        if last // width - first // width < _MAX_BINS:
            return width
    weeks = -(-(last - first + 1) // (_WEEK_HOURS * (_MAX_BINS - 1)))  # one bin less: the first may begin before
    return weeks * _WEEK_HOURS


def _folder(run: Path, noun: str) -> Path:
    folder = run / noun
    if not folder.is_dir():
        raise InputError(f"the run {run.name} has no {noun}", hint="`refrain run` makes every stage's")
    return folder


def _read(run: Path, noun: str, file: str, **options: Any) -> pa.Table:
    return pq.read_table(_folder(run, noun) / file, **options)


def _templates(run: Path, wanted: Sequence[Sequence[int]]) -> list[Row]:
    numbers = sorted({number for group in wanted for number in group})
    table = _read(run, "templates", "templates.parquet")
    rows: list[Row] = table.filter(pc.is_in(table.column("template_id"), pa.array(numbers, pa.int64()))).to_pylist()
    return rows


def _members(run: Path, campaign_ids: Sequence[int]) -> dict[int, list[Row]]:
    """The members of each campaign by descending evidence, with their account's id and number of requests."""
    members = grouped(_read(run, "campaigns", "members.parquet"), campaign_ids)
    accounts = _read(run, "requests", "accounts.parquet", columns=["account_id", "requests"])
    for rows in members.values():
        theirs = accounts.take(pa.array([row["account_row"] for row in rows], pa.int64())).to_pylist()
        for row, account in zip(rows, theirs, strict=True):
            row |= {"account_id": account["account_id"], "account_requests": account["requests"]}
        rows.sort(key=lambda row: (-row["evidence"], row["account_id"]))
    return members


def grouped(table: pa.Table, campaign_ids: Sequence[int]) -> dict[int, list[Row]]:
    """The rows of some campaigns by campaign, in the table's order; an empty list where there is none."""
    groups: dict[int, list[Row]] = {number: [] for number in campaign_ids}
    chosen = table.filter(pc.is_in(table.column("campaign_id"), pa.array(sorted(groups), pa.int64())))
    for row in chosen.to_pylist():
        groups[row["campaign_id"]].append(row)
    return groups
