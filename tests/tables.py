"""Small runs written by hand: every stage's tables in the contract's schemas, from a list of requests.

A test writes down requests as segments, which segments form a cluster, a template and a campaign; the numbers that
follow from these (rows, counts of owners, first and last seen) are computed here by plain Python, apart from the code
under test.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.artifacts import Store
from refrain.coordination.combine import cauchy_combination, partial_conjunction
from refrain.exports import write_exports
from refrain.progress import NoProgress
from refrain.settings import load_settings

TIME = pa.timestamp("us", tz="UTC")
INPUTS = ("requests", "clusters", "templates", "campaigns")
START = datetime(2026, 3, 1, tzinfo=UTC)
SILENT_P = 0.01
_I, _S, _F, _B = pa.int64(), pa.string(), pa.float64(), pa.bool_()
_IDS, _TEXTS = pa.list_(_I), pa.list_(_S)
_SEEN = {"first_seen": TIME, "last_seen": TIME}

SCHEMAS: dict[str, pa.Schema] = {
    name: pa.schema(list(columns.items()))
    for name, columns in {
        "requests": {
            "request_row": _I,
            "request_id": _S,
            "account_row": _I,
            "timestamp": TIME,
            **dict.fromkeys(["conversation_id", "model", "ip", "network", "asn", "user_agent"], _S),
            **dict.fromkeys(["payment_hash", "org_id", "api_key_id", "end_user", "channel"], _S),
            "tokens_in": _I,
            "tokens_out": _I,
            "prompt_text_row": _I,
            "system_text_row": _I,
            "cut": _B,
            "repaired": _B,
        },
        "request_segments": {
            "request_row": _I,
            "position": pa.int32(),
            "role": _S,
            "turn": pa.int32(),
            "segment_row": _I,
            "counted": _B,
        },
        "segments": {
            "segment_row": _I,
            "digest": pa.binary(16),
            "text": _S,
            "raw": _S,
            "words": pa.int32(),
            "requests": _I,
            "accounts": _I,
            "owners": _I,
            **_SEEN,
        },
        "accounts": {
            "account_row": _I,
            "account_id": _S,
            "owner_row": _I,
            "requests": _I,
            **_SEEN,
            "created_at": TIME,
            "closed_at": TIME,
        },
        "owners": {"owner_row": _I, "accounts": _I, "kind": _S},
        "texts": {"text_row": _I, "digest": pa.binary(16), "text": _S},
        "quarantine": {"file": _S, "row": _I, "field": _S, "reason": _S, "request_id": _S, "content": _S},
        "segment_clusters": {"segment_row": _I, "cluster_id": _I, "strength": _F},
        "clusters": {
            "cluster_id": _I,
            "segments": _I,
            "requests": _I,
            "accounts": _I,
            "owners": _I,
            **_SEEN,
            "stability": _F,
            "exemplar_segment_row": _I,
        },
        "templates": {
            "template_id": _I,
            "skeleton": _S,
            "kind": _S,
            "words": _I,
            "requests": _I,
            "accounts": _I,
            "owners": _I,
            **_SEEN,
            "fillings": _I,
            "examples": _TEXTS,
        },
        "request_templates": {"request_row": _I, "template_id": _I, "share": _F, "role": _S},
        "template_segments": {"template_id": _I, "segment_row": _I, "cluster_id": _I},
        "campaigns": {
            "campaign_id": _I,
            "score": _F,
            "p_value": _F,
            "q_value": _F,
            "alert": _B,
            "accounts": _I,
            "owners": _I,
            "requests": _I,
            **_SEEN,
            "templates": _IDS,
            "signal_tags": _TEXTS,
            "signal_similarities": pa.list_(_F),
            "benign": _TEXTS,
            "families": _TEXTS,
        },
        "members": {
            "campaign_id": _I,
            "account_row": _I,
            "owner_row": _I,
            "requests": _I,
            "share": _F,
            "first_use": TIME,
            "evidence": _F,
            "reasons": _TEXTS,
        },
        "tests": {
            "campaign_id": _I,
            "family": _S,
            "test": _S,
            "observed": _F,
            "expected": _F,
            "p_value": _F,
            "off": _S,
            "text": _S,
        },
        "benign": {"campaign_id": _I, "hypothesis": _S, "holds": _B, "text": _S, "explains": _TEXTS},
        "families": {"campaign_id": _I, "family": _S, "p_value": _F, "unexplained": _F, "speaks": _B},
        "signals": {"campaign_id": _I, "tag": _S, "similarity": _F, "measure": _S},
        "decision": {
            "rate": _F,
            "alert_p": _F,
            "needed": _I,
            "families": _TEXTS,
            "silent_p": _F,
            "ipv4_prefix": _I,
            "ipv6_prefix": _I,
        },
        "request_campaigns": {"request_row": _I, "template_id": _I, "campaign_id": _I},
    }.items()
}


@dataclass(frozen=True)
class Request:
    """One request: its segments as (role, text), in order; columns that a test needs beside them in `more`."""

    request_id: str
    account_id: str
    timestamp: datetime
    segments: tuple[tuple[str, str], ...]
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """A template: its skeleton, the texts of its fixed segments, and what mining says about it."""

    skeleton: str
    segments: tuple[str, ...]
    fillings: int = 1
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Campaign:
    """A campaign: its templates by number, its members by account id, its tests as in the table of tests."""

    templates: tuple[int, ...]
    members: tuple[str, ...]
    alert: bool = True
    tests: tuple[tuple[str, str, float, float, float | None, str | None, str], ...] = ()
    benign: tuple[tuple[str, bool, str], ...] = ()
    explains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # tests by benign hypothesis
    signal_tags: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Log:
    """Requests and who owns their accounts, numbered as the contract numbers them."""

    requests: tuple[Request, ...]  # by (timestamp, request_id): the position is the request_row
    accounts: tuple[str, ...]  # sorted: the position is the account_row
    owners: Mapping[str, int]  # account_id -> owner_row
    segments: tuple[str, ...]  # sorted by their UTF-8: the position is the segment_row

    @property
    def account_rows(self) -> dict[str, int]:
        """The row of each account."""
        return {account: row for row, account in enumerate(self.accounts)}

    @property
    def segment_rows(self) -> dict[str, int]:
        """The row of each segment's text."""
        return {text: row for row, text in enumerate(self.segments)}

    def holding(self, texts: Iterable[str]) -> list[int]:
        """The rows of the requests that hold every one of some segments."""
        wanted = set(texts)
        return [row for row, request in enumerate(self.requests) if wanted <= {text for _, text in request.segments}]

    def counts(self, rows: Iterable[int]) -> dict[str, Any]:
        """Requests, accounts, owners, first and last seen over some request rows."""
        chosen = [self.requests[row] for row in rows]
        times = [request.timestamp for request in chosen] or [START]
        accounts = {request.account_id for request in chosen}
        return {
            "requests": len(chosen),
            "accounts": len(accounts),
            "owners": len({self.owners[account] for account in accounts}),
            "first_seen": min(times),
            "last_seen": max(times),
        }


def log_of(requests: Iterable[Request], owned_together: Sequence[Sequence[str]] = ()) -> Log:
    """The log with rows numbered; accounts named in one group of `owned_together` are one owner."""
    ordered = tuple(sorted(requests, key=lambda request: (request.timestamp, request.request_id)))
    accounts = tuple(sorted({request.account_id for request in ordered}))
    group = {account: min(accounts.index(other) for other in group) for group in owned_together for account in group}
    roots = [group.get(account, row) for row, account in enumerate(accounts)]
    number = {root: row for row, root in enumerate(sorted(set(roots)))}
    owners = {account: number[root] for account, root in zip(accounts, roots, strict=True)}
    texts = {text for request in ordered for _, text in request.segments}
    return Log(ordered, accounts, owners, tuple(sorted(texts, key=lambda text: text.encode())))


def write(path: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Nothing; the rows stand in a Parquet file with the schema of `name`, null where a row lacks a column."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMAS[name]), path)


def write_requests(folder: Path, log: Log) -> None:
    """Nothing; `folder` holds what ingest would leave of the log (segments stand as their own normal form)."""
    days = sorted({request.timestamp.date().isoformat() for request in log.requests})
    accounts, segments = log.account_rows, log.segment_rows
    prompts = ["\n".join(text for _, text in request.segments) for request in log.requests]
    texts = sorted(set(prompts), key=lambda text: text.encode())
    text_rows = {text: row for row, text in enumerate(texts)}
    for day in days:
        rows = [row for row, request in enumerate(log.requests) if request.timestamp.date().isoformat() == day]
        write(
            folder / f"requests/day={day}/part-0.parquet",
            "requests",
            [
                {
                    "request_row": row,
                    "request_id": log.requests[row].request_id,
                    "account_row": accounts[log.requests[row].account_id],
                    "timestamp": log.requests[row].timestamp,
                    "prompt_text_row": text_rows[prompts[row]],
                    "cut": False,
                    "repaired": False,
                    **log.requests[row].more,
                }
                for row in rows
            ],
        )
        write(
            folder / f"request_segments/day={day}/part-0.parquet",
            "request_segments",
            [
                {
                    "request_row": row,
                    "position": position,
                    "role": role,
                    "turn": 0,
                    "segment_row": segments[text],
                    "counted": True,
                }
                for row in rows
                for position, (role, text) in enumerate(log.requests[row].segments)
            ],
        )
    write(
        folder / "segments.parquet",
        "segments",
        [
            {
                "segment_row": row,
                "digest": _digest(text),
                "text": text,
                "raw": text,
                "words": len(text.split()),
                **log.counts(log.holding([text])),
            }
            for row, text in enumerate(log.segments)
        ],
    )
    write(
        folder / "accounts.parquet",
        "accounts",
        [
            {
                "account_row": row,
                "account_id": account,
                "owner_row": log.owners[account],
                **{name: value for name, value in _used_by(log, account).items() if name not in ("accounts", "owners")},
            }
            for row, account in enumerate(log.accounts)
        ],
    )
    size = {owner: sum(other == owner for other in log.owners.values()) for owner in log.owners.values()}
    kinds = {owner: "single" if accounts == 1 else "organisation" for owner, accounts in size.items()}
    write(
        folder / "owners.parquet",
        "owners",
        [{"owner_row": owner, "accounts": size[owner], "kind": kinds[owner]} for owner in sorted(size)],
    )
    write(
        folder / "texts.parquet",
        "texts",
        [{"text_row": row, "digest": _digest(text), "text": text} for row, text in enumerate(texts)],
    )
    write(folder / "quarantine.parquet", "quarantine", [])
    kept = len(log.requests)
    counts = {"read": kept, "kept": kept, "merged": 0, "quarantined": 0, "structural_errors": 0, "files": 1}
    counts |= {"accounts": len(log.accounts), "owners": len(size), "segments": len(log.segments)}
    (folder / "counts.json").write_text(json.dumps(counts))


def write_clusters(folder: Path, log: Log, clusters: Sequence[Mapping[str, float]]) -> None:
    """Nothing; `folder` holds the clusters, each a map from a segment's text to its strength; the rest is noise."""
    rows, of = log.segment_rows, {text: number for number, texts in enumerate(clusters) for text in texts}
    write(
        folder / "segment_clusters.parquet",
        "segment_clusters",
        [
            {
                "segment_row": rows[text],
                "cluster_id": of.get(text, -1),
                "strength": clusters[of[text]][text] if text in of else 0.0,
            }
            for text in log.segments
        ],
    )
    write(
        folder / "clusters.parquet",
        "clusters",
        [
            {
                "cluster_id": number,
                "segments": len(texts),
                "stability": 0.5,
                "exemplar_segment_row": rows[min(texts)],
                **log.counts({row for text in texts for row in log.holding([text])}),
            }
            for number, texts in enumerate(clusters)
        ],
    )


def write_templates(folder: Path, log: Log, templates: Sequence[Template]) -> None:
    """Nothing; `folder` holds the templates; a request holds one when it holds each of its segments."""
    rows = log.segment_rows
    holding = [log.holding(template.segments) for template in templates]
    write(
        folder / "templates.parquet",
        "templates",
        [
            {
                "template_id": number,
                "skeleton": template.skeleton,
                "kind": "sequence",
                "fillings": template.fillings,
                "words": sum(len(text.split()) for text in template.segments),
                "examples": list(template.examples),
                **log.counts(holding[number]),
            }
            for number, template in enumerate(templates)
        ],
    )
    write(
        folder / "request_templates.parquet",
        "request_templates",
        sorted(
            (
                {"request_row": row, "template_id": number, "share": 0.5, "role": "user"}
                for number, requests in enumerate(holding)
                for row in requests
            ),
            key=lambda row: (row["request_row"], row["template_id"]),
        ),
    )
    write(
        folder / "template_segments.parquet",
        "template_segments",
        [
            {"template_id": number, "segment_row": rows[text], "cluster_id": -1}
            for number, template in enumerate(templates)
            for text in template.segments
        ],
    )


def write_campaigns(folder: Path, log: Log, templates: Sequence[Template], campaigns: Sequence[Campaign]) -> None:
    """Nothing; `folder` holds the campaigns. A request's label is its first template of a campaign, else its first."""
    rows = log.account_rows
    holding = [set(log.holding(template.segments)) for template in templates]
    found: list[dict[str, Any]] = []
    families: list[dict[str, Any]] = []
    signals: list[dict[str, Any]] = []
    members: list[dict[str, Any]] = []
    labels: dict[int, tuple[int, int | None]] = {}
    for row in range(len(log.requests)):
        held = [number for number, requests in enumerate(holding) if row in requests]
        for campaign_id, campaign in enumerate(campaigns):
            for template in campaign.templates:
                if template in held and row not in labels:
                    member = log.requests[row].account_id in campaign.members
                    labels[row] = (template, campaign_id if member else None)
        if held and row not in labels:
            labels[row] = (held[0], None)
    for campaign_id, campaign in enumerate(campaigns):
        own = [row for row, label in labels.items() if label[1] == campaign_id]
        everything, left = _combined(campaign, set()), _combined(campaign, _explained(campaign))
        p_value = partial_conjunction([left.get(family, 1.0) for family in everything], 2) if everything else None
        families += [
            {
                "campaign_id": campaign_id,
                "family": family,
                "p_value": p,
                "unexplained": left.get(family),
                "speaks": left.get(family, 1.0) <= SILENT_P,
            }
            for family, p in everything.items()
        ]
        signals += [
            {"campaign_id": campaign_id, "tag": tag, "similarity": 0.5, "measure": "vector"}
            for tag in campaign.signal_tags
        ]
        found.append(
            {
                "campaign_id": campaign_id,
                "score": float(len(campaigns) - campaign_id),
                "p_value": p_value,
                "q_value": p_value,
                "alert": campaign.alert,
                "templates": list(campaign.templates),
                "signal_tags": list(campaign.signal_tags),
                "signal_similarities": [0.5 for _ in campaign.signal_tags],
                "benign": [name for name, holds, _ in campaign.benign if holds],
                "families": sorted({family for family, _, _, _, p, *_ in campaign.tests if p is not None and p < 0.01}),
                **log.counts(own),
            }
        )
        for account in sorted(campaign.members):
            uses = [row for row in own if log.requests[row].account_id == account]
            total = sum(request.account_id == account for request in log.requests)
            members.append(
                {
                    "campaign_id": campaign_id,
                    "account_row": rows[account],
                    "owner_row": log.owners[account],
                    "requests": len(uses),
                    "share": len(uses) / total,
                    "first_use": log.counts(uses)["first_seen"],
                    "evidence": 1.0 + rows[account] % 7,
                    "reasons": list(campaign.reasons),
                }
            )
    write(folder / "campaigns.parquet", "campaigns", found)
    write(folder / "members.parquet", "members", members)
    write(folder / "families.parquet", "families", families)
    write(folder / "signals.parquet", "signals", signals)
    decision = {"rate": 0.01, "alert_p": 1e-3, "needed": 2, "families": ["identity", "time", "use"]}
    decision |= {"silent_p": SILENT_P, "ipv4_prefix": 24, "ipv6_prefix": 48}
    write(folder / "decision.parquet", "decision", [decision])
    names = ("family", "test", "observed", "expected", "p_value", "off", "text")
    write(
        folder / "tests.parquet",
        "tests",
        [
            {"campaign_id": number, **dict(zip(names, test, strict=True))}
            for number, campaign in enumerate(campaigns)
            for test in campaign.tests
        ],
    )
    write(
        folder / "benign.parquet",
        "benign",
        [
            {
                "campaign_id": number,
                "hypothesis": name,
                "holds": holds,
                "text": text,
                "explains": list(campaign.explains.get(name, ())),
            }
            for number, campaign in enumerate(campaigns)
            for name, holds, text in campaign.benign
        ],
    )
    write(
        folder / "request_campaigns.parquet",
        "request_campaigns",
        [
            dict(zip(("request_row", "template_id", "campaign_id"), (row, *labels.get(row, (None, None))), strict=True))
            for row in range(len(log.requests))
        ],
    )


def _explained(campaign: Campaign) -> set[str]:
    return {key for name, holds, _ in campaign.benign if holds for key in campaign.explains.get(name, ())}


def _combined(campaign: Campaign, without: set[str]) -> dict[str, float]:
    """The p-value of each family of the campaign's tests, some left out, in the order of the families."""
    out = {}
    for family in ("identity", "time", "use"):
        values = [
            p
            for f, name, _, _, p, *_ in campaign.tests
            if f == family and p is not None and f"{f}_{name}" not in without
        ]
        if values:
            out[family] = cauchy_combination(values)
    return out


# --- a whole small run ------------------------------------------------------------------------------------------------

HOSTILE = (
    "<script>alert('x')</script> <img src=x onerror=alert(1)> \x1b[31mred\x1b[0m \u202egnp.exe\u202c "
    'zero\u200bwidth nul\x00 =HYPERLINK("http://x") {{ 7*7 }} & \u0645\u0631\u062d\u0628\u0627'
)
RUBRIC = "Grade answer A and answer B under this rubric before you decide."
NOTES = "Put your working notes between <notes> tags."
HARNESS = "You are a careful coding assistant."
FORMULA_ACCOUNT = "=cmd|' /C calc'!A1"


def small_requests(days: int = 2, pool: int = 8, bystanders: int = 6) -> list[Request]:
    """Days of traffic: a pool that sings two fixed segments, a harness that unrelated accounts share, and everybody's
    own prompts. One account's id is a formula, one segment is hostile."""
    members = [*(f"pool-{number}" for number in range(pool - 1)), FORMULA_ACCOUNT]
    requests = [
        Request(
            f"r-{member}-{day}-{turn}",
            account,
            START + timedelta(days=day, hours=(3 * turn + member) % 24, minutes=member),
            (("system", HARNESS),) * (turn == 0)
            + (("user", RUBRIC), ("user", f"task {member} {day} {turn}"), ("user", NOTES)),
        )
        for day in range(days)
        for member, account in enumerate(members)
        for turn in range(4)
    ]
    requests += [
        Request(
            f"b-{number}-{day}",
            f"person-{number}",
            START + timedelta(days=day, hours=9 + number),
            (("system", HARNESS), ("user", f"my own question {number} {day}")) if number % 2 else (("user", HOSTILE),),
        )
        for day in range(days)
        for number in range(bystanders)
    ]
    requests.append(Request("b-rubric", "person-1", START + timedelta(hours=20), (("user", RUBRIC), ("user", NOTES))))
    requests.append(Request("empty", "person-2", START + timedelta(hours=21), ()))
    return requests


def small_campaign(pool: Sequence[str]) -> Campaign:
    """The pool's campaign with tests that spoke, one that did not, one that was off, and two benign hypotheses."""
    return Campaign(
        templates=(1,),
        members=tuple(pool),
        tests=(
            ("time", "rhythm", 0.97, 0.55, 1e-9, None, f"The accounts work round the clock. {HOSTILE}"),
            ("time", "succession", 0.0, 0.1, 0.8, None, "No account takes over from another."),
            ("identity", "payment", 0.75, 0.02, 3e-5, None, "Six of eight accounts share a card."),
            ("use", "division", 0.0, 0.0, None, "fewer than 20 fillings", "Tasks are not divided."),
        ),
        benign=(("public_template", False, "No unrelated account uses it."), ("one_company", True, HOSTILE)),
        signal_tags=("rubric grading",),
        reasons=("share of traffic", HOSTILE),
    )


def write_small_run(run: Path) -> Log:
    """The log of a whole small run whose stage folders (all but the exports) now stand below `run`."""
    requests = small_requests()
    log = log_of(requests, owned_together=[["pool-0", "pool-1"]])
    pool = sorted({request.account_id for request in requests if request.request_id.startswith("r-")})
    templates = [
        Template(HARNESS, (HARNESS,), examples=(HARNESS,)),
        Template(f"{RUBRIC}\n{{slot}}\n{NOTES}", (RUBRIC, NOTES), 64, (f"{RUBRIC}\ntask\n{NOTES}", HOSTILE)),
        Template(f"{HOSTILE}{{slot}}", (HOSTILE,), examples=(HOSTILE,)),
    ]
    write_requests(run / "requests", log)
    write_clusters(run / "clusters", log, [{HARNESS: 1.0}, {RUBRIC: 0.9}, {NOTES: 0.8}, {HOSTILE: 0.7}])
    write_templates(run / "templates", log, templates)
    quiet = Campaign(templates=(2,), members=("person-0", "person-2"), alert=False)
    write_campaigns(run / "campaigns", log, templates, [small_campaign(pool), quiet])
    return log


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=16, key=b"a key of the tests").digest()


def _used_by(log: Log, account: str) -> dict[str, Any]:
    return log.counts(row for row, request in enumerate(log.requests) if request.account_id == account)


def write_run(run: Path, log: Log, clusters: Sequence[Mapping[str, float]], templates: Sequence[Template]) -> None:
    """Nothing; the stage folders of a run without campaigns stand below `run`."""
    write_requests(run / "requests", log)
    write_clusters(run / "clusters", log, clusters)
    write_templates(run / "templates", log, templates)
    write_campaigns(run / "campaigns", log, templates, [])


def export(run: Path, examples: int = 5, **settings: int) -> Path:
    """The folder of the exports of the run's stage folders, just written; `settings` are those that differ."""
    out = run / "exports"
    out.mkdir()
    requests, clusters, templates, campaigns = (run / noun for noun in INPUTS)
    config = replace(load_settings().config.export, examples=examples, memory_limit_mib=256, **settings)
    write_exports(requests, clusters, templates, campaigns, out, config, store=Store(run), progress=NoProgress())
    return out
