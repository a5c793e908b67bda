"""Evidence packets: all that an analyst is handed of one finding, and what would change the verdict.

outputs/README.md describes every field. Texts are as they stood in the log: hostile. Whoever shows them makes them fit
first. Prompts are read for the sampled requests only, and packets are made one at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.config import ExportConfig
from refrain.contract import SLOT
from refrain.findings import Hours, count_hours, grouped, pieces
from refrain.labelled import Folders, Sampled, load_own, load_texts, sampled_texts
from refrain.marking import CUT, marked, shortened, units_of
from refrain.packet_lines import VERSION
from refrain.shared import shared_values
from refrain.slots import describe_slots
from refrain.tables import parts
from refrain.thresholds import Decision, read_decision
from refrain.ties import Chosen, choose_messages
from refrain.verdicts import missing_tests, would_change
from refrain.waterfall import waterfall

Row = dict[str, Any]

# Evenly spread over the requests of a campaign with a template, as many as are to be read.
_SLOT_REQUESTS = """
SELECT campaign_id, template_id, request_row FROM (
    SELECT campaign_id, template_id, request_row,
           row_number() OVER each AS place, count(*) OVER (PARTITION BY campaign_id, template_id) AS many
    FROM own WINDOW each AS (PARTITION BY campaign_id, template_id ORDER BY request_row)
)
WHERE place * $most // many > (place - 1) * $most // many
ORDER BY ALL
"""
_USED = "SELECT campaign_id, template_id, count(*) FROM own GROUP BY ALL"
_SENT = "SELECT request_row, request_id, account_id, owner_row, epoch_us(timestamp) FROM told WHERE campaign_id = ?"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Tables:
    """The score stage's rows by campaign, and what all packets share."""

    findings: list[Row]
    tests: Mapping[int, list[Row]]
    benign: Mapping[int, list[Row]]
    signals: Mapping[int, list[Row]]
    known: Mapping[int, list[Row]]
    templates: Mapping[int, Row]
    accounts: pa.Table
    hours: Hours
    decision: Decision


@dataclass(frozen=True)
class _Samples:
    """Which requests are shown and read, by campaign and by campaign and template, and what is counted of all."""

    messages: Mapping[int, list[Chosen]]
    slots: Mapping[tuple[int, int], list[int]]
    used: Mapping[tuple[int, int], int]
    shared: Mapping[int, list[Row]]
    absent: frozenset[str]


def packets(
    connection: duckdb.DuckDBPyConnection, folders: Folders, accounts: pa.Table, config: ExportConfig
) -> Iterator[Row]:
    """The packets of a run's findings by campaign. `accounts` is the exported table of members."""
    tables = _read(folders, accounts)
    if not tables.findings:
        return
    samples = _choose(connection, folders, tables, config)
    shown = [message.request_row for chosen in samples.messages.values() for message in chosen]
    read = [row for rows in samples.slots.values() for row in rows]
    load_texts(connection, folders, [*shown, *read], config.packet_read_characters)
    for finding in tables.findings:
        yield _packet(connection, finding, tables, samples, config)


def _read(folders: Folders, accounts: pa.Table) -> _Tables:
    findings = pq.read_table(folders.campaigns / "campaigns.parquet").sort_by("campaign_id").to_pylist()
    numbers = [row["campaign_id"] for row in findings]

    def of(name: str) -> dict[int, list[Row]]:
        rows = grouped(pq.read_table(folders.campaigns / f"{name}.parquet"), numbers)
        return {number: [_without(row, "campaign_id") for row in group] for number, group in rows.items()}

    names = [name for name in pq.read_schema(folders.templates / "templates.parquet").names if name != "examples"]
    templates = pq.read_table(folders.templates / "templates.parquet", columns=names)
    theirs = pa.array(sorted({number for row in findings for number in row["templates"]}), pa.int64())
    used = templates.filter(pc.is_in(templates["template_id"], theirs)).to_pylist()
    return _Tables(
        findings,
        of("tests"),
        of("benign"),
        of("signals"),
        of("known") if (folders.campaigns / "known.parquet").exists() else {},
        {row["template_id"]: row for row in used},
        accounts,
        count_hours(folders.requests, folders.campaigns),
        read_decision(folders.campaigns),
    )


def _choose(connection: duckdb.DuckDBPyConnection, folders: Folders, tables: _Tables, config: ExportConfig) -> _Samples:
    absent = load_own(connection, folders, tables.decision)
    files: dict[str, Any] = {
        "requests": [str(path) for path in parts(folders.requests / "requests")],
        "accounts": str(folders.requests / "accounts.parquet"),
    }
    shared = shared_values(connection, files, config.packet_values)
    kept = {(row["campaign_id"], n) for row in tables.findings for n in row["templates"][: config.packet_templates]}
    slots: dict[tuple[int, int], list[int]] = {}
    for campaign, template, row in connection.execute(_SLOT_REQUESTS, {"most": config.packet_slot_requests}).fetchall():
        if (campaign, template) in kept:
            slots.setdefault((campaign, template), []).append(row)
    used = {(campaign, template): count for campaign, template, count in connection.execute(_USED).fetchall()}
    numbers = [row["campaign_id"] for row in tables.findings]
    messages = choose_messages(connection, numbers, shared, config.packet_messages)
    return _Samples(messages, slots, used, shared, absent)


def _packet(
    connection: duckdb.DuckDBPyConnection, finding: Row, tables: _Tables, samples: _Samples, config: ExportConfig
) -> Row:
    number, decision = finding["campaign_id"], tables.decision
    tests, benign = tables.tests[number], tables.benign[number]
    shared = samples.shared.get(number, [])
    missing = missing_tests(tests, samples.absent)
    accounts = tables.accounts.filter(pc.equal(tables.accounts["campaign_id"], number))
    shown = finding["templates"][: config.packet_templates]
    read = sampled_texts(connection, number)
    timeline = tables.hours.timeline(number)
    counts = {name: finding[name] for name in ("accounts", "owners", "requests")}
    return {
        "packet_version": VERSION,
        **{name: finding[name] for name in ("campaign_id", "score", "p_value", "q_value", "alert")},
        "counts": {**counts, "templates": len(finding["templates"])},
        **{name: finding[name] for name in ("first_seen", "last_seen", "families")},
        "signals": tables.signals[number],
        "templates": [_template(read, number, tables.templates[template], samples, config) for template in shown],
        "messages": _messages(connection, number, read, samples.messages[number], tables.templates, config),
        "shared": shared,
        "accounts": [_without(row, "campaign_id") for row in accounts.slice(0, config.packet_accounts).to_pylist()],
        "timeline": {**asdict(timeline), "counts": list(timeline.counts)},
        "waterfall": waterfall(finding, tests, benign, decision),
        "benign": benign,
        "known": tables.known.get(number, []),
        "missing": missing,
        "would_change": would_change(finding, tests, benign, shared, missing, decision),
    }


def _template(read: Mapping[int, Sampled], campaign: int, row: Row, samples: _Samples, config: ExportConfig) -> Row:
    """A template with its requests in the campaign, its skeleton cut, and its slots from the requests read."""
    template = row["template_id"]
    whole = pieces(row["skeleton"])
    kept = shortened(whole, config.packet_characters)
    texts = [read[row] for row in sorted(set(samples.slots.get((campaign, template), [])))]
    requests = [(sampled.text, units_of(whole, sampled.reworded)) for sampled in texts]
    slots = describe_slots(whole, requests, config.packet_samples, config.packet_sample_characters)
    return {
        **row,
        "skeleton": "".join(SLOT if kind == "slot" else "…" if kind == CUT else text for kind, text in kept),
        "pieces": kept,
        "requests_in_campaign": samples.used.get((campaign, template), 0),
        "requests_read": len(requests),
        "slots": slots[: config.packet_slots],
    }


def _messages(
    connection: duckdb.DuckDBPyConnection,
    campaign: int,
    read: Mapping[int, Sampled],
    chosen: Sequence[Chosen],
    templates: Mapping[int, Row],
    config: ExportConfig,
) -> list[Row]:
    """The requests to show, each with its text in pieces and why it was chosen."""
    rows = {message.request_row for message in chosen}
    sent = {
        row: {"request_id": request, "account_id": account, "owner": owner, "time": _EPOCH + timedelta(microseconds=us)}
        for row, request, account, owner, us in connection.execute(_SENT, [campaign]).fetchall()
        if row in rows
    }
    return [
        {
            **sent[message.request_row],
            "template_id": read[message.request_row].template_id,
            **{name: value for name, value in asdict(message).items() if name != "request_row"},
            "pieces": _marked(read[message.request_row], templates, config),
        }
        for message in chosen
    ]


def _marked(sampled: Sampled, templates: Mapping[int, Row], config: ExportConfig) -> list[list[str]]:
    units = units_of(pieces(templates[sampled.template_id]["skeleton"]), sampled.reworded)
    return shortened(marked(sampled.text, units), config.packet_characters)


def _without(row: Row, name: str) -> Row:
    return {key: value for key, value in row.items() if key != name}
