"""The tables of the score stage: campaigns, members, tests and their families, benign hypotheses, the decision, and
each request's labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from refrain.config import ScoreConfig
from refrain.counting import Ints, slices
from refrain.population import Population
from refrain.recognition import KNOWN, Facts, Recogniser
from refrain.scored_campaigns import Labels, ScoredCampaign
from refrain.signals import Signal, campaign_signals
from refrain.tables import column, write_columns
from refrain.thresholds import write_decision


def write_campaigns(
    out: Path,
    ranked: list[ScoredCampaign],
    labels: Labels,
    population: Population,
    requests: Path,
    config: ScoreConfig,
    signals: dict[int, list[Signal]],
    recogniser: Recogniser,
    alert_p: float,
    counts: Mapping[str, int],
) -> dict[str, int]:
    """The stage's counts; `out` then holds all tables. `ranked` has the most evidence first, as the labels number it;
    `alert_p` is the largest p-value that alerts."""
    request_account = _request_accounts(requests)
    account_owner = column(requests / "accounts.parquet", "owner_row")
    # Labels went by evidence alone, so that what is known moves a campaign's number and no request.
    recognised = [recogniser.recognise(f) for f in _facts(ranked, labels, request_account, config)]
    scores = [item.score * found.factor for item, found in zip(ranked, recognised, strict=True)]
    order = sorted(range(len(ranked)), key=lambda n: (not ranked[n].alert, -scores[n], n))
    ranked, labels = [ranked[n] for n in order], labels.renumbered(order)
    recognised, scores = [recognised[n] for n in order], [scores[n] for n in order]
    write_columns(out / "request_campaigns.parquet", _REQUESTS, {
        "request_row": np.arange(len(request_account)),
        "template_id": pa.array(labels.templates, pa.int64(), mask=labels.templates < 0),
        "campaign_id": pa.array(labels.campaigns, pa.int64(), mask=labels.campaigns < 0),
    })  # fmt: skip
    by_campaign = np.argsort(labels.campaigns, kind="stable")
    bounds = slices(labels.campaigns[by_campaign], len(ranked))
    campaigns: dict[str, list[Any]] = {name: [] for name in _CAMPAIGNS.names}
    members: dict[str, list[Any]] = {name: [] for name in _MEMBERS.names}
    tests: dict[str, list[Any]] = {name: [] for name in _TESTS.names}
    families: dict[str, list[Any]] = {name: [] for name in _FAMILIES.names}
    benign: dict[str, list[Any]] = {name: [] for name in _BENIGN.names}
    tags: dict[str, list[Any]] = {name: [] for name in _SIGNALS.names}
    known: dict[str, list[Any]] = {name: [] for name in KNOWN.names}
    activity = np.bincount(request_account, minlength=len(account_owner))
    for number, item in enumerate(ranked):
        own = by_campaign[bounds[number] : bounds[number + 1]]
        rows = _member_rows(number, item, own, request_account, account_owner, activity, population, config)
        for row in rows:
            _append(members, row)
        assessment = item.suspect.assessment
        times = population.request_time[own]
        near = campaign_signals(signals, item.suspect.templates)
        for signal in near:
            _append(tags, {"campaign_id": number, **asdict(signal)})
        _append(campaigns, {
            "campaign_id": number, "score": scores[number], "p_value": assessment.p_value,
            "q_value": item.suspect.q_value, "alert": item.alert, "accounts": len(rows),
            "owners": len(item.members), "requests": len(own),
            "first_seen": int(times.min(initial=np.iinfo(np.int64).max)) if len(own) else 0,
            "last_seen": int(times.max(initial=0)),
            "templates": _most_used_first(item.templates, labels.templates[own]),
            "signal_tags": [s.tag for s in near], "signal_similarities": [s.similarity for s in near],
            "benign": item.benign, "families": item.families(config.silent_p),
        })  # fmt: skip
        for row in recognised[number].rows:
            _append(known, {"campaign_id": number, **row})
        for result in assessment.results.values():
            _append(tests, {
                "campaign_id": number, "family": result.family, "test": result.name, "observed": result.observed,
                "expected": result.expected, "p_value": result.p_value, "off": result.off, "text": result.text,
            })  # fmt: skip
        for family, p in assessment.families.items():
            left = assessment.unexplained.get(family)
            speaks = left is not None and left <= config.silent_p
            _append(families, {
                "campaign_id": number, "family": family, "p_value": p, "unexplained": left, "speaks": speaks,
            })  # fmt: skip
        for hypothesis in assessment.hypotheses:
            _append(benign, {
                "campaign_id": number, "hypothesis": hypothesis.name, "holds": hypothesis.holds,
                "text": hypothesis.text, "explains": list(hypothesis.explains),
            })  # fmt: skip
    write_columns(out / "campaigns.parquet", _CAMPAIGNS, campaigns)
    write_columns(out / "members.parquet", _MEMBERS, members)
    write_columns(out / "tests.parquet", _TESTS, tests)
    write_columns(out / "families.parquet", _FAMILIES, families)
    write_columns(out / "benign.parquet", _BENIGN, benign)
    write_columns(out / "signals.parquet", _SIGNALS, tags)
    write_decision(out, config, alert_p)
    write_columns(out / "known.parquet", KNOWN, known)
    return {
        **counts,
        "campaigns": len(ranked),
        "alerts": sum(s.alert for s in ranked),
        "known": sum(found.factor < 1 for found in recognised),
        "members": len(
            {a for a, c in zip(members["account_row"], members["campaign_id"], strict=True) if ranked[c].alert}
        ),
        "requests": int(sum(1 for c in labels.campaigns[labels.campaigns >= 0] if ranked[c].alert)),
    }


def _facts(ranked: list[ScoredCampaign], labels: Labels, request_account: Ints, config: ScoreConfig) -> Iterator[Facts]:
    """What is recognised of each campaign, in their order."""
    for number, item in enumerate(ranked):
        own = np.flatnonzero(labels.campaigns == number)
        results = item.suspect.assessment.results
        tests = {f"{r.family}_{r.name}": r.p_value for r in results.values() if r.p_value is not None}
        families, benign = frozenset(item.families(config.silent_p)), frozenset(item.benign)
        yield Facts(labels.templates[own], request_account[own], families, tests, benign)


def _member_rows(
    number: int,
    item: ScoredCampaign,
    own: Ints,
    request_account: Ints,
    account_owner: Ints,
    activity: Ints,
    population: Population,
    config: ScoreConfig,
) -> list[dict[str, Any]]:
    """One row an account of a member that has a request in the campaign; `activity` is each account's requests."""
    accounts, counts = np.unique(request_account[own], return_counts=True)
    first = np.full(len(accounts), np.iinfo(np.int64).max)
    np.minimum.at(first, np.searchsorted(accounts, request_account[own]), population.request_time[own])
    membership, users = item.suspect.membership, item.suspect.candidate.owners
    out = []
    for account, count, when in zip(accounts.tolist(), counts.tolist(), first.tolist(), strict=True):
        owner = int(account_owner[account])
        place = int(np.searchsorted(users, owner))
        weights = membership.weights[place]
        reasons = [
            f"{name} {weight:+.1f}"
            for weight, name in sorted(zip(weights.tolist(), membership.names, strict=True), reverse=True)
            if abs(weight) >= config.reason_weight
        ]
        out.append({
            "campaign_id": number, "account_row": account, "owner_row": owner, "requests": count,
            "share": count / int(activity[account]), "first_use": when,
            "evidence": float(weights.sum()), "reasons": reasons,
        })  # fmt: skip
    return out


def _most_used_first(templates: Ints, used: Ints) -> list[int]:
    """The templates by how many of a campaign's requests are labelled with each, the one to see first."""
    counts = np.bincount(used, minlength=int(templates.max(initial=-1)) + 1)
    return sorted(templates.tolist(), key=lambda template: (-int(counts[template]), template))


def _request_accounts(requests: Path) -> Ints:
    return np.asarray(column(requests / "requests", "account_row"), np.int64)


def _append(columns: dict[str, list[Any]], row: Mapping[str, Any]) -> None:
    for name, values in columns.items():
        values.append(row[name])


_TIME = pa.timestamp("us", tz="UTC")
_NAMES = pa.list_(pa.string())
_CAMPAIGNS = pa.schema([
    ("campaign_id", pa.int64()), ("score", pa.float64()), ("p_value", pa.float64()), ("q_value", pa.float64()),
    ("alert", pa.bool_()), ("accounts", pa.int64()), ("owners", pa.int64()), ("requests", pa.int64()),
    ("first_seen", _TIME), ("last_seen", _TIME), ("templates", pa.list_(pa.int64())), ("signal_tags", _NAMES),
    ("signal_similarities", pa.list_(pa.float64())), ("benign", _NAMES), ("families", _NAMES),
])  # fmt: skip
_MEMBERS = pa.schema([
    ("campaign_id", pa.int64()), ("account_row", pa.int64()), ("owner_row", pa.int64()), ("requests", pa.int64()),
    ("share", pa.float64()), ("first_use", _TIME), ("evidence", pa.float64()), ("reasons", _NAMES),
])  # fmt: skip
_TESTS = pa.schema([
    ("campaign_id", pa.int64()), ("family", pa.string()), ("test", pa.string()), ("observed", pa.float64()),
    ("expected", pa.float64()), ("p_value", pa.float64()), ("off", pa.string()), ("text", pa.string()),
])  # fmt: skip
_SIGNALS = pa.schema(
    [("campaign_id", pa.int64()), ("tag", pa.string()), ("similarity", pa.float64()), ("measure", pa.string())]
)
_FAMILIES = pa.schema([
    ("campaign_id", pa.int64()), ("family", pa.string()), ("p_value", pa.float64()), ("unexplained", pa.float64()),
    ("speaks", pa.bool_()),
])  # fmt: skip
_BENIGN = pa.schema([
    ("campaign_id", pa.int64()), ("hypothesis", pa.string()), ("holds", pa.bool_()), ("text", pa.string()),
    ("explains", _NAMES),
])  # fmt: skip
_REQUESTS = pa.schema([("request_row", pa.int64()), ("template_id", pa.int64()), ("campaign_id", pa.int64())])
