"""The findings as JSON lines for a SIEM: an event a finding and one a member, under names of the Elastic Common Schema.

What ECS has no name for stands under `refrain`. Ids are UUIDv5 over the content, so that what is read twice can be
dropped. ASCII with escapes; skeletons of templates under --with-text alone.

https://www.elastic.co/docs/reference/ecs/ecs-event
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from refrain.exporters.exporter import Exporter, Options
from refrain.exporters.shared_findings import ALL, Finding, findings
from refrain.exporters.whole_files import write_whole
from refrain.formats import plain

ECS_VERSION = "8.17.0"
_NAMESPACE = UUID("0f3b5e6c-64f4-5a0e-8b3e-6f9df8f0a2d1")


def write_siem(exports: Path, to: str, options: Options) -> dict[str, int]:
    """The numbers of events for findings and for members."""
    counts = {"findings": 0, "members": 0}

    def lines() -> Iterator[bytes]:
        for finding in findings(exports, options, ALL):
            yield _line(finding_event(finding, options))
            counts["findings"] += 1
            for member in finding.members:
                yield _line(_member_event(finding, member, options))
                counts["members"] += 1

    write_whole(Path(to), lines())
    return counts


def finding_event(finding: Finding, options: Options) -> dict[str, Any]:
    """A finding as an event."""
    row = finding.row
    told = {
        **_campaign(finding, options),
        "accounts": row["accounts"],
        "owners": row["owners"],
        "requests": row["requests"],
        "score": row["score"],
        "p_value": row["p_value"],
        "q_value": row["q_value"],
        "families": row["families"],
        "benign": row["benign"],
        "signal_tags": row["signal_tags"],
        "tests": finding.tests,
        "templates": row["templates"],
    }
    if options.with_text:
        told["skeletons"] = [template.get("skeleton") for template in finding.templates]
    message = (
        f"{row['accounts']} accounts of {row['owners']} owners sing one template in {row['requests']} requests"
        f" ({', '.join(row['families']) or 'no family speaks'})"
    )
    event = {"kind": "alert" if row["alert"] else "event", "start": row["first_seen"], "end": row["last_seen"]}
    return _event("finding", row["last_seen"], event, message, {"refrain": {"campaign": told}})


def _member_event(finding: Finding, member: dict[str, Any], options: Options) -> dict[str, Any]:
    told = {
        name: member[name]
        for name in ("owner", "requests", "account_requests", "share", "evidence", "reasons")
        if name in member
    }
    event = {"kind": "alert" if finding.row["alert"] else "event", "start": member["first_use"]}
    message = f"an account is a member of the campaign {finding.name(options.run)}"
    more = {"user": {"id": member["account_id"]}, "refrain": {"campaign": _campaign(finding, options), "member": told}}
    return _event("member", finding.row["last_seen"], event, message, more)


def _campaign(finding: Finding, options: Options) -> dict[str, Any]:
    return {
        "id": finding.name(options.run),
        "identity": finding.identity or None,
        "number": finding.campaign_id,
        "alert": finding.row["alert"],
        "state": finding.state or None,
        "verdict": finding.verdict or None,
        "run": options.run,
    }


def _event(kind: str, when: Any, event: dict[str, Any], message: str, more: dict[str, Any]) -> dict[str, Any]:
    said = {
        "@timestamp": when,
        "ecs": {"version": ECS_VERSION},
        "event": {
            "provider": "refrain", "module": "refrain", "dataset": f"refrain.{kind}",
            "category": ["threat"], "type": ["indicator"], **event,
        },
        "message": message,
        **more,
    }  # fmt: skip
    found: dict[str, Any] = plain(said)
    found["event"]["id"] = str(uuid5(_NAMESPACE, json.dumps(found, sort_keys=True)))
    return found


def _line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n"


EXPORTER = Exporter(
    "siem",
    "JSON lines for a SIEM (ECS names)",
    write_siem,
    settings={"findings": "all (the default), or those that alert and are not dismissed (alerts)"},
)
