"""What a run says of each pool that was planted in a world."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from refrain.config import Config
from refrain.evaluation import evaluate, read_truth
from refrain.progress import NoProgress
from refrain.runs import run_all
from refrain.simulate import World, sample

_HALF = 0.5  # share of a finding's requests that makes it a campaign's: the evaluation's


@dataclass(frozen=True)
class Point:
    """One pool in one world."""

    campaign: str
    wrapper: str
    detected: bool  # true, alerting findings hold at least half of its accounts
    recall: float  # the share that they hold
    precision: float | None  # share of their members that are its accounts; None without such a finding
    p_value: float | None  # of the conjunction, the smallest of findings listed for it; None where none is listed
    false_alerts: int  # in the whole world


def measure(world: World, folder: Path, outputs: Path, config: Config) -> list[Point]:
    """A point for each pool of the world; its log and truth are written to `folder`."""
    made = sample(world)
    log, truth = folder / "requests.parquet", folder / "truth.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(made.log, log, compression="zstd")
    pq.write_table(made.truth, truth, compression="zstd")
    exports = run_all([str(log)], config, outputs, progress=NoProgress()).result("exports")
    figures = evaluate(truth, exports)
    found = defaultdict(list)
    for finding in _findings(truth, exports):
        found[finding.family].append(finding)
    return [
        Point(
            campaign.name,
            campaign.wrapper,
            campaign.name not in figures.missed,
            round(figures.coverage[campaign.name], 4),
            _precision([finding for finding in found[campaign.name] if finding.alert]),
            min((finding.p_value for finding in found[campaign.name]), default=None),
            figures.false_alerts,
        )
        for campaign in world.campaigns
    ]


@dataclass(frozen=True)
class _Finding:
    family: str
    alert: bool
    p_value: float
    members: int
    right: int  # members that are the campaign's


def _findings(truth: Path, exports: Path) -> Iterator[_Finding]:
    """The listed findings at least half of whose requests are campaigns', with the campaign of most of them."""
    known = read_truth(truth)
    owners = defaultdict(set)
    for request in known.hostile:
        owners[known.family[request]].add(known.account[request])
    requests, members = defaultdict(list), defaultdict(set)
    for row in _rows(exports / "labels.parquet", ["request_id", "campaign_id"]):
        requests[row["campaign_id"]].append(row["request_id"])
    for row in _rows(exports / "accounts.parquet", ["account_id", "campaign_id"]):
        members[row["campaign_id"]].add(row["account_id"])
    for row in _rows(exports / "campaigns.parquet", ["campaign_id", "alert", "p_value"]):
        own = requests[row["campaign_id"]]
        families = Counter(known.family[request] for request in own if request in known.hostile)
        if families and families.total() >= _HALF * len(own):
            family = min(families, key=lambda name: (-families[name], name))
            accounts = members[row["campaign_id"]]
            yield _Finding(family, row["alert"], row["p_value"], len(accounts), len(accounts & owners[family]))


def _precision(findings: list[_Finding]) -> float | None:
    members = sum(finding.members for finding in findings)
    return round(sum(finding.right for finding in findings) / members, 4) if members else None


def _rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows
