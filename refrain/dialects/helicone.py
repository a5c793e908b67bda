"""Helicone's requests: from its API, its export tool (JSON, JSONL, CSV) and its query language.

/v1/request/query and `npx @helicone/export` give HeliconeRequest
(https://github.com/Helicone/helicone/blob/main/examples/export/typescript/index.ts, https://docs.helicone.ai/tools/export);
HQL gives columns of the table request_response_rmt under other names (https://docs.helicone.ai/features/hql).
Bodies are in an export that was made with `--include-body`.

The account is `helicone_user`, who holds the Helicone key, and `request_user_id` (the header Helicone-User-Id) is the
end user that this holder names. The CSV and HQL leave the holder out: there the end user, the only person in them,
stands for the account. Helicone's organisation is no `org_id`: an export has one, and all its accounts would be one
owner.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.encoded import UnparsableError
from refrain.dialects.json_values import first, given, mapping, parsed, told
from refrain.dialects.request_bodies import has_text, read_body

# Of the API, of the CSV and of HQL: `request_created_at` is Helicone's alone, beside one of its other names.
_SIGNATURE = "request_created_at"
_SIGNATURE_TOO = (
    "helicone_user", "request_user_id", "request_properties", "signed_body_url", "llmSchema",
    "response_created_at", "proxy_key_id", "properties", "user_id", "request_body",
)  # fmt: skip
_SESSION = "Helicone-Session-Id"
_NO_PROMPT = ("/embeddings", "/moderations", "/audio/transcriptions", "/audio/speech", "/rerank")


def _recognises(raw: Mapping[str, Any]) -> bool:
    return _SIGNATURE in raw and any(name in raw for name in _SIGNATURE_TOO)


def _read(raw: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    path = first(raw.get("request_path"), raw.get("target_url"))
    if isinstance(path, str) and path.partition("?")[0].rstrip("/").endswith(_NO_PROMPT):
        yield Passed("not a model call")
        return
    try:
        body = _body(raw.get("request_body"))
    except UnparsableError:
        yield Bad("request_body", "unparsable JSON")
        return
    if body is not None and not isinstance(body, Mapping):
        yield Bad("request_body", "wrong type")
        return
    said = read_body(body or {})
    if not has_text(said):
        yield Bad("request_body", "missing field")
        return
    user = given(raw, "request_user_id", "user_id")
    values = {
        "request_id": given(raw, "request_id", "response_id"),
        "account_id": first(raw.get("helicone_user"), user),
        "timestamp": raw.get("request_created_at"),
        "conversation_id": _properties(raw).get(_SESSION),
        "model": given(raw, "model_override", "request_model", "model", "response_model"),
        "api_key_id": given(raw, "proxy_key_id", "helicone_proxy_key_id"),
        "end_user": user,
        "tokens_in": raw.get("prompt_tokens"),
        "tokens_out": raw.get("completion_tokens"),
    }
    yield said | told(values)


def _body(value: object) -> Any:
    """The body of a request. The export tool's CSV doubles each quote twice: once for JSON, once for CSV."""
    try:
        return parsed(value)
    except UnparsableError:
        if not isinstance(value, str) or not value.lstrip().startswith(('{""', '[{""')):
            raise
        return parsed(value.replace('""', '"'))


def _properties(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    value = first(raw.get("request_properties"), raw.get("properties"))
    try:
        return mapping(_body(value))
    except UnparsableError:
        return {}


DIALECT = Dialect(
    name="helicone",
    title="Helicone requests",
    version=1,
    recognises=_recognises,
    read=_read,
    fields={
        "request_id": ("request_id", "response_id"),
        "account_id": ("helicone_user", "request_user_id", "user_id"),
        "timestamp": ("request_created_at",),
        "prompt": ("request_body.prompt", "request_body.input"),
        "system_prompt": ("request_body.system", "request_body.instructions", "request_body.systemInstruction"),
        "messages": ("request_body.messages", "request_body.input", "request_body.contents"),
        "conversation_id": ("request_properties.Helicone-Session-Id", "properties.Helicone-Session-Id"),
        "model": ("model_override", "request_model", "model", "response_model", "request_body.model"),
        "api_key_id": ("proxy_key_id", "helicone_proxy_key_id"),
        "end_user": ("request_user_id", "user_id", "request_body.safety_identifier", "request_body.user"),
        "tokens_in": ("prompt_tokens",),
        "tokens_out": ("completion_tokens",),
    },
    naive_times="UTC",
)
