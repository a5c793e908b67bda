"""The findings posted to a webhook, one CloudEvent each, signed.

Structured content mode (CloudEvents 1.0.2, HTTP protocol binding, section 3.2); the signature is that of Standard
Webhooks (HMAC-SHA256 over id, time and body). An event's id follows from what it says: the same finding sent twice has
the same id, by which the receiver drops it, and one that changed has another.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid5

from refrain.errors import ConfigError, InputError, StoreError
from refrain.exporters.exporter import URL, Exporter, Options
from refrain.exporters.shared_findings import SETTING, Finding, findings
from refrain.exporters.siem_lines import finding_event
from refrain.formats import plain
from refrain.posting import PAUSES, SCHEMES, post

SECRET_VARIABLE = "REFRAIN_WEBHOOK_SECRET"
TYPE = "refrain.finding.v1"
_PREFIX = "whsec_"
_SECRET_BYTES = 24  # the least that the specification allows
_NAMESPACE = UUID("a0e2b7f4-51a5-5c1c-9a55-0c2c1d8b5a7e")
_pauses = PAUSES


def write_webhook(exports: Path, to: str, options: Options) -> dict[str, int]:
    """The number of events that were taken; StoreError where some were not: send all of them again."""
    if not to.startswith(SCHEMES):
        raise InputError("--to is no address of a webhook", hint="it begins with https:// or http://")
    secret = _secret()
    events = [_event(finding, options) for finding in findings(exports, options)]
    refused: dict[str, int] = {}
    with options.progress.task("posting", len(events)) as advance:
        for event in events:
            reason = post(to, *signed(event, secret, int(time.time())), _pauses)
            if reason:
                refused[reason] = refused.get(reason, 0) + 1
            advance(1)
    if refused:
        why = ", ".join(f"{reason}: {count}" for reason, count in sorted(refused.items()))
        raise StoreError(
            f"the webhook did not take {sum(refused.values())} of {len(events)} events ({why})",
            hint="give the command again: what it took already has the same id again",
        )
    return {"events": len(events)}


def signed(event: dict[str, Any], secret: bytes, now: int) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of an event; `now` in seconds since 1970."""
    body = json.dumps(event, sort_keys=True, ensure_ascii=True, allow_nan=False).encode("ascii")
    content = f"{event['id']}.{now}.".encode() + body
    signature = base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode()
    return body, {
        "Content-Type": "application/cloudevents+json; charset=utf-8",
        "webhook-id": event["id"],
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{signature}",
    }


def _event(finding: Finding, options: Options) -> dict[str, Any]:
    told = finding_event(finding, options)
    data = {"message": told["message"], "start": told["event"]["start"], **told["refrain"]["campaign"]}
    if options.more.get("accounts") == "yes":
        data["members"] = [
            {name: member.get(name) for name in ("account_id", "owner", "requests", "share", "evidence")}
            for member in finding.members
        ]
    name = finding.name(options.run)
    event = {
        "specversion": "1.0", "type": TYPE, "source": f"/refrain/{options.run}", "subject": name,
        "time": told["@timestamp"], "datacontenttype": "application/json", "data": plain(data),
    }  # fmt: skip
    return {**event, "id": str(uuid5(_NAMESPACE, json.dumps(event, sort_keys=True)))}


def _secret() -> bytes:
    """The secret of $REFRAIN_WEBHOOK_SECRET: base64, `whsec_` before it or not; ConfigError, which does not show it."""
    given = os.environ.get(SECRET_VARIABLE, "")
    if not given:
        raise ConfigError(
            f"events are signed, and ${SECRET_VARIABLE} is not set",
            hint="whsec_ and the base64 of 24 to 64 random bytes, as the receiver has it",
        )
    try:
        secret = base64.b64decode(given.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) < _SECRET_BYTES:
        raise ConfigError(f"${SECRET_VARIABLE} must be the base64 of at least {_SECRET_BYTES} bytes")
    return secret


def _shown(to: str) -> str:
    """The webhook's host alone: the path of such an address is often its secret."""
    try:
        parts = urlsplit(to)
        return f"{parts.scheme}://{parts.hostname}" if parts.hostname else "the webhook"
    except ValueError:
        return "the webhook"


EXPORTER = Exporter(
    "webhook",
    "CloudEvents to a webhook, signed",
    write_webhook,
    kind=URL,
    settings={**SETTING, "accounts": "yes: the members' ids, too; default: only how many"},
    place=lambda to, table: f"{table} to {to}",
    shown=_shown,
)
