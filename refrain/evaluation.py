"""A run's exports against labelled cases: how many campaigns are found, how many innocents are named.

The truth is a table with a row a request: request_id, account_id, family, kind (`campaign` for what is to be found,
anything else for what is not), and optionally template. What is counted:

- a finding is *true* when at least half of its requests belong to campaigns; its campaign is the family that most of
  those have
- detected: campaigns of which true, alerting findings hold at least half of the accounts
- account and request precision, recall and F1 over alerting findings; innocents: members with no campaign request
- false alerts: alerting findings that are not true; fragments: true alerting findings for each detected campaign
- purity: share of the requests of true alerting findings that are of the finding's own campaign
- ap: average precision over findings in the order of their score; a hit is the finding with which a campaign's
  accounts, added up down the ranking, are at least half covered; true findings that add no hit are passed over
- grouping: requests with a template in the truth by their labels' templates, as `refrain.groupings` defines it:
  precision, recall and F1 over pairs, F1 of exact (`template_f1`) and of near sets, and template quality
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.errors import InputError
from refrain.groupings import compare_groups, f1

CAMPAIGN = "campaign"


@dataclass(frozen=True)
class Truth:
    """The labelled cases by request: account, family, whether it is a campaign's, and its template or None."""

    account: dict[str, str]
    family: dict[str, str]
    hostile: set[str]
    template: dict[str, str | None]


@dataclass(frozen=True)
class Finding:
    """One finding and what the truth says of it."""

    score: float
    alert: bool
    requests: frozenset[str]
    members: frozenset[str]
    family: str | None  # of a true finding
    own: int  # requests of that family


@dataclass(frozen=True)
class Evaluation:
    """The figures; shares are None where there is nothing to count."""

    campaigns: int
    detected: int
    missed: list[str]
    account_precision: float | None
    account_recall: float | None
    account_f1: float
    innocents: int
    request_precision: float | None
    request_recall: float | None
    request_f1: float
    alerts: int
    false_alerts: int
    false_alerts_per_100k_requests: float
    fragments: float
    purity: float | None
    ap: float | None
    coverage: dict[str, float]
    grouping_precision: float | None
    grouping_recall: float | None
    grouping_f1: float
    template_f1: float
    template_near_f1: float
    template_quality: float

    def plain(self) -> dict[str, Any]:
        """The figures as JSON knows them, rounded to four places."""
        rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}
        return {**rounded, "coverage": {k: round(v, 4) for k, v in self.coverage.items()}}


def evaluate(truth: Path, exports: Path) -> Evaluation:
    """The figures of exported labels, campaigns and accounts; InputError where they do not belong to this truth."""
    known = read_truth(truth)
    labels = _columns(exports / "labels.parquet", ["request_id", "account_id", "template_id", "campaign_id"])
    label_of = dict(
        zip(labels["request_id"], zip(labels["campaign_id"], labels["template_id"], strict=True), strict=True)
    )
    if label_of.keys() != known.account.keys() or len(labels["request_id"]) != len(label_of):
        missing, foreign = len(known.account.keys() - label_of.keys()), len(label_of.keys() - known.account.keys())
        raise InputError(
            f"the truth has {missing} requests that the run has not, the run {foreign} that the truth has not",
            hint="evaluate the run of the log that the truth was made for",
        )
    findings = _findings(known, exports, label_of)
    campaigns = _by_family(known)
    alerts = [f for f in findings if f.alert]
    true = [f for f in alerts if f.family]
    covered: dict[str, set[str]] = defaultdict(set)
    for finding in true:
        covered[str(finding.family)] |= finding.members & campaigns[str(finding.family)]
    coverage = {family: len(covered[family]) / len(accounts) for family, accounts in sorted(campaigns.items())}
    detected = {family for family, share in coverage.items() if share >= _HALF}
    members = frozenset[str]().union(*(f.members for f in alerts))
    requests = frozenset[str]().union(*(f.requests for f in alerts))
    hostile_accounts = set[str]().union(*campaigns.values())
    account = _scores(members, hostile_accounts)
    request = _scores(requests, known.hostile)
    templated = [request for request, template in known.template.items() if template is not None]
    grouping = compare_groups([known.template[r] for r in templated], [label_of[r][1] for r in templated])
    own, whole = sum(f.own for f in true), sum(len(f.requests) for f in true)
    false = len(alerts) - len(true)
    return Evaluation(
        len(campaigns), len(detected), sorted(campaigns.keys() - detected), *account, len(members - hostile_accounts),
        *request, len(alerts), false, false * 1e5 / max(len(label_of), 1), len(true) / max(1, len(detected)),
        own / whole if whole else None, _average_precision(findings, campaigns), coverage,
        grouping.precision, grouping.recall, grouping.f1, grouping.exact, grouping.near, grouping.quality,
    )  # fmt: skip


_HALF = 0.5  # the definition's share of accounts or requests, fixed: another would be another measure


def read_truth(path: Path) -> Truth:
    """The labelled cases of a Parquet file; InputError where it is none or names a request twice."""
    rows = _columns(path, ["request_id", "account_id", "family", "kind"], ["template"])
    ids = rows["request_id"]
    if len(set(ids)) != len(ids):
        raise InputError(f"{path.name} names {len(ids) - len(set(ids))} requests more than once")
    hostile = {r for r, kind in zip(ids, rows["kind"], strict=True) if kind == CAMPAIGN}
    return Truth(
        dict(zip(ids, rows["account_id"], strict=True)),
        dict(zip(ids, rows["family"], strict=True)),
        hostile,
        dict(zip(ids, rows["template"], strict=True)),
    )


def _columns(path: Path, needed: list[str], wanted: Iterable[str] = ()) -> dict[str, list[Any]]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read as Parquet") from error
    lacking = [name for name in needed if name not in file.schema_arrow.names]
    if lacking:
        raise InputError(f"{path} lacks the column {lacking[0]}", hint=f"it needs {', '.join(needed)}")
    there = [name for name in wanted if name in file.schema_arrow.names]
    table = file.read(columns=[*needed, *there])
    out = {name: table[name].to_pylist() for name in [*needed, *there]}
    return out | {name: [None] * table.num_rows for name in wanted if name not in there}


def _by_family(truth: Truth) -> dict[str, set[str]]:
    """The accounts of each campaign."""
    out: dict[str, set[str]] = defaultdict(set)
    for request in truth.hostile:
        out[truth.family[request]].add(truth.account[request])
    return dict(out)


def _findings(truth: Truth, exports: Path, label_of: dict[str, tuple[Any, Any]]) -> list[Finding]:
    """The findings, highest score first."""
    campaigns = _columns(exports / "campaigns.parquet", ["campaign_id", "score", "alert"])
    memberships = _columns(exports / "accounts.parquet", ["account_id", "campaign_id"])
    requests, members = defaultdict(set), defaultdict(set)
    for request, (campaign, _) in label_of.items():
        requests[campaign].add(request)
    for account, campaign in zip(memberships["account_id"], memberships["campaign_id"], strict=True):
        members[campaign].add(account)
    out = []
    for campaign, score, alert in zip(*campaigns.values(), strict=True):
        own = requests[campaign]
        families = Counter(truth.family[r] for r in own if r in truth.hostile)
        true = bool(own) and families.total() >= _HALF * len(own)
        family, count = min(families.items(), key=lambda item: (-item[1], item[0])) if true else (None, 0)
        out.append(Finding(score, bool(alert), frozenset(own), frozenset(members[campaign]), family, count))
    return sorted(out, key=lambda finding: -finding.score)


def _scores(found: Iterable[str], wanted: Iterable[str]) -> tuple[float | None, float | None, float]:
    """Precision, recall and F1 of a set."""
    left, right = set(found), set(wanted)
    precision = len(left & right) / len(left) if left else None
    recall = len(left & right) / len(right) if right else None
    return precision, recall, f1(precision, recall)


def _average_precision(findings: list[Finding], campaigns: dict[str, set[str]]) -> float | None:
    rank = hits = 0
    total = 0.0
    so_far: dict[str, set[str]] = defaultdict(set)
    hit: set[str] = set()
    for finding in findings:
        family = finding.family
        if family is None:
            rank += 1
            continue
        so_far[family] |= finding.members & campaigns[family]
        if family not in hit and len(so_far[family]) >= _HALF * len(campaigns[family]):
            hit.add(family)
            rank, hits = rank + 1, hits + 1
            total += hits / rank
    return total / len(campaigns) if campaigns else None
