"""What a run says of the pool that was planted in a world."""

from collections import defaultdict
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

    wrapper: str
    detected: bool  # true, alerting findings hold at least half of its accounts
    recall: float  # the share that they hold
    precision: float | None  # share of their members that are its accounts; None without such a finding
    p_value: float | None  # of the conjunction, the smallest of findings listed for it; None where none is listed
    false_alerts: int  # in the whole world


def measure(world: World, folder: Path, outputs: Path, config: Config) -> Point:
    """The point of the world's one pool; log and truth are written to `folder`."""
    (pool,) = world.campaigns
    made = sample(world)
    log, truth = folder / "requests.parquet", folder / "truth.parquet"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(made.log, log, compression="zstd")
    pq.write_table(made.truth, truth, compression="zstd")
    exports = run_all([str(log)], config, outputs, progress=NoProgress()).result("exports")
    figures = evaluate(truth, exports)
    found = list(_findings(truth, exports))
    return Point(
        wrapper=pool.wrapper,
        detected=not figures.missed,
        recall=round(figures.coverage[pool.name], 4),
        precision=_precision([finding for finding in found if finding.alert]),
        p_value=min((finding.p_value for finding in found), default=None),
        false_alerts=figures.false_alerts,
    )


@dataclass(frozen=True)
class _Finding:
    alert: bool
    p_value: float
    members: int
    right: int  # members that are the campaign's


def _findings(truth: Path, exports: Path) -> Iterator[_Finding]:
    """The listed findings at least half of whose requests are the pool's."""
    known = read_truth(truth)
    owners = {known.account[request] for request in known.hostile}
    requests, members = defaultdict(set), defaultdict(set)
    for row in _rows(exports / "labels.parquet", ["request_id", "campaign_id"]):
        requests[row["campaign_id"]].add(row["request_id"])
    for row in _rows(exports / "accounts.parquet", ["account_id", "campaign_id"]):
        members[row["campaign_id"]].add(row["account_id"])
    for row in _rows(exports / "campaigns.parquet", ["campaign_id", "alert", "p_value"]):
        own, accounts = requests[row["campaign_id"]], members[row["campaign_id"]]
        if own and len(own & known.hostile) >= _HALF * len(own):
            yield _Finding(row["alert"], row["p_value"], len(accounts), len(accounts & owners))


def _precision(findings: list[_Finding]) -> float | None:
    members = sum(finding.members for finding in findings)
    return round(sum(finding.right for finding in findings) / members, 4) if members else None


def _rows(path: Path, columns: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path, columns=columns).to_pylist()
    return rows
