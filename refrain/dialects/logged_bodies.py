"""Request bodies of a model's interface as logs keep them: bare, or beside who sent them and when.

A record is a body with the keys of ENVELOPE among its own, or an envelope whose `body`, `request` or `params` is one
(an object, or its JSON text). The body of a batch line stands there, too. `custom_id` is unique within its batch alone
and is no request_id.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from refrain.dialects.dialect import Bad, Record

ENVELOPE: dict[str, tuple[str, ...]] = {
    "account_id": ("account_id", "organization_id", "organization", "org_id", "api_key_id"),
    "timestamp": ("timestamp", "created_at", "created", "time", "request_time"),
    "request_id": ("request_id", "id"),
    "org_id": ("org_id", "organization_id", "organization"),
    "api_key_id": ("api_key_id", "api_key_hash"),
    "ip": ("ip", "client_ip", "ip_address", "remote_addr"),
    "user_agent": ("user_agent",),
    "payment_hash": ("payment_hash",),
    "channel": ("channel",),
    "account_created_at": ("account_created_at",),
    "account_closed_at": ("account_closed_at",),
    "conversation_id": ("conversation_id", "session_id", "thread_id"),
    "tokens_in": ("tokens_in", "usage.prompt_tokens", "usage.input_tokens"),
    "tokens_out": ("tokens_out", "usage.completion_tokens", "usage.output_tokens"),
}
"""Our column -> keys beside a body, the first that is there and not null."""

# Keys that a gateway's or a tracer's record has beside what looks like a body: such a record is that dialect's.
_FOREIGN = frozenset(
    {
        "attributes", "call_type", "conversation", "conversation_hash", "identity", "inputs", "modelId", "operation",
        "proxy_server_request", "request_body", "request_created_at", "resourceSpans", "run_type", "schemaType",
        "spend", "startTime", "trace_id", "traceId",
    }
)  # fmt: skip
_FOREIGN_STARTS = ("gen_ai.", "llm.", "attributes.", "input.", "openinference.")


@dataclass(frozen=True)
class Body:
    """A body, and the envelope that it was found in (the same mapping where there is none) under `place`."""

    value: Mapping[str, Any]
    envelope: Mapping[str, Any]
    place: str

    def path(self, name: str) -> str:
        """The log's path of a field of the body."""
        return f"{self.place}.{name}" if self.place else name


def is_foreign(record: Mapping[str, Any]) -> bool:
    """Whether a record is of a format that holds bodies in its own way."""
    return any(key in _FOREIGN or key.startswith(_FOREIGN_STARTS) for key in record if isinstance(key, str))


def find_body(record: Mapping[str, Any], keys: tuple[str, ...]) -> Body | Bad:
    """The body of a record: what stands under the first of `keys` that it has, else the record itself."""
    for key in keys:
        value = record.get(key)
        if isinstance(value, str | bytes) and value:
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return Bad(key, "unparsable JSON")
        if value is None:
            continue
        return Body(value, record, key) if isinstance(value, dict) else Bad(key, "wrong type")
    return Body(record, record, "")


def surroundings(envelope: Mapping[str, Any]) -> Record:
    """What an envelope says in our columns."""
    found: Record = {}
    for column, paths in ENVELOPE.items():
        for path in paths:
            value = value_at(envelope, path)
            if value is not None:
                found[column] = value
                break
    return found


def value_at(record: Any, path: str) -> Any:
    """What stands at a dotted path of mappings, None where there is nothing."""
    for key in path.split("."):
        record = record.get(key) if isinstance(record, Mapping) else None
    return record


def texts_of(content: Any) -> Iterator[str]:
    """The texts of a content: itself, or those of its parts."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, str):
                yield part
            elif isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield part["text"]
