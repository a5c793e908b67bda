"""LiteLLM's spend logs, and the payload that it logs to buckets.

The table LiteLLM_SpendLogs (https://github.com/BerriAI/litellm/blob/main/schema.prisma; as rows, from /spend/logs or as
CSV) and the StandardLoggingPayload of its S3, GCS and Azure loggers
(https://docs.litellm.ai/docs/proxy/logging_spec). Prompts are in the table only where `store_prompts_in_spend_logs` is
on: then `proxy_server_request` holds the request's body (older versions: `messages`).

The account is `user`, LiteLLM's internal user who holds the virtual key; keys that belong to nobody (an empty user, or
the proxy's own `default_user_id`) stand for themselves. `end_user` is whom the holder names.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.encoded import UnparsableError
from refrain.dialects.json_values import first, given, mapping, parsed, told
from refrain.dialects.request_bodies import has_text, read_body

_SPEND = frozenset({"request_id", "api_key", "startTime"})
_SPEND_TOO = ("call_type", "spend", "proxy_server_request", "requester_ip_address", "end_user")
_PAYLOAD = frozenset({"id", "call_type", "startTime", "model_parameters", "hidden_params"})
# litellm.types.utils.CallTypes without the "a" before the asynchronous ones: those that send no prompt to a model.
_NO_PROMPT = (
    "embedding", "moderation", "transcription", "speech", "rerank", "search", "ocr",
    "create_batch", "retrieve_batch", "cancel_batch", "create_file", "file_retrieve", "file_delete", "file_list",
    "file_content", "vector_store_search", "vector_store_create", "call_mcp_tool", "list_mcp_tools",
)  # fmt: skip
_NO_MODEL_CALL = frozenset([*_NO_PROMPT, *(f"a{name}" for name in _NO_PROMPT)])
_NOBODY = "default_user_id"  # litellm.constants.LITELLM_PROXY_ADMIN_NAME: owner of keys made without a user
_REDACTED = "redacted-by-litellm"
# What stands where a long text was shortened. The words are LiteLLM's, and every shortened prompt would share them.
_SHORTENED = re.compile(r"\.\.\. \(litellm_truncated skipped \d{1,12} chars[^()]{0,400}\) \.\.\.")


def _recognises(raw: Mapping[str, Any]) -> bool:
    return (raw.keys() >= _SPEND and any(name in raw for name in _SPEND_TOO)) or raw.keys() >= _PAYLOAD


def _read(raw: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    kind = raw.get("call_type")
    if isinstance(kind, str) and kind in _NO_MODEL_CALL:
        yield Passed("not a model call")
        return
    more = mapping(raw.get("metadata"))
    said = _said(raw, more)
    if isinstance(said, Bad):
        yield said
        return
    key = first(raw.get("api_key"), more.get("user_api_key_hash"))
    holder = first(raw.get("user"), more.get("user_api_key_user_id"))
    values = {
        "request_id": given(raw, "request_id", "id"),
        "account_id": key if holder in (None, _NOBODY) else holder,
        "timestamp": raw.get("startTime"),
        "conversation_id": given(raw, "session_id", "trace_id"),
        "model": given(raw, "model", "model_group"),
        "ip": first(raw.get("requester_ip_address"), more.get("requester_ip_address")),
        "user_agent": first(more.get("user_agent"), _client(raw.get("request_tags"))),
        "org_id": first(  # who openly belongs together: an organisation, or else a team
            raw.get("organization_id"), more.get("user_api_key_org_id"),
            raw.get("team_id"), more.get("user_api_key_team_id"),
        ),
        "api_key_id": key,
        "end_user": first(raw.get("end_user"), more.get("user_api_key_end_user_id")),
        "tokens_in": raw.get("prompt_tokens"),
        "tokens_out": raw.get("completion_tokens"),
    }  # fmt: skip
    yield said | told(values)


def _said(raw: Mapping[str, Any], more: Mapping[str, Any]) -> Record | Bad:
    """The texts of a request, and the model and end user that its body names."""
    fields = {
        "proxy_server_request": raw.get("proxy_server_request"),
        "messages": raw.get("messages"),
        "metadata.proxy_server_request": more.get("proxy_server_request"),
    }
    for field, given_value in fields.items():
        try:
            value = parsed(given_value)
        except UnparsableError:
            if field != "messages" or "hidden_params" not in raw:
                return Bad(field, "unparsable JSON")
            value = {"prompt": given_value}  # the payload's messages are what the interface took, here one text
        if not value:
            continue
        if isinstance(value, list) and field == "messages":
            value = {"messages": value}
        if not isinstance(value, Mapping):
            return Bad(field, "wrong type")
        said = read_body(mapping(value.get("body")) or value)  # with address and headers, or the body alone
        if has_text(said):
            return Bad(field, "missing field") if _redacted(said) else _whole(said)
    return Bad("proxy_server_request" if "proxy_server_request" in raw else "messages", "missing field")


def _whole(said: Record) -> Record:
    """The same with a paragraph's end where LiteLLM shortened a text."""

    def whole(text: Any) -> Any:
        return _SHORTENED.sub("\n\n", text) if isinstance(text, str) and "litellm_truncated" in text else text

    def message(one: Any) -> Any:
        if not isinstance(one, Mapping):
            return whole(one)
        content = one.get("content")
        if isinstance(content, list):
            parts = [{**part, "text": whole(part["text"])} if _has_text(part) else whole(part) for part in content]
            return {**one, "content": parts}
        return {**one, "content": whole(content)}

    changed = {name: whole(said[name]) for name in said.keys() & {"prompt", "system_prompt"}}
    if isinstance(said.get("messages"), list):
        changed["messages"] = [message(one) for one in said["messages"]]
    return said | changed


def _has_text(part: object) -> bool:
    return isinstance(part, Mapping) and "text" in part


def _redacted(said: Record) -> bool:
    """Whether the log holds LiteLLM's word for a text instead of the text."""
    messages = said.get("messages")
    texts = [said.get("prompt")]
    if isinstance(messages, list):
        texts += [message.get("content") for message in messages if isinstance(message, Mapping)]
    return _REDACTED in [text for text in texts if isinstance(text, str)]


def _client(tags: object) -> str | None:
    """The client: LiteLLM makes tags of the user agent, its first word and all of it; the longest says most."""
    try:
        tags = parsed(tags)
    except UnparsableError:
        return None
    names = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
    clients = [name.removeprefix("User-Agent: ") for name in names if name.startswith("User-Agent: ")]
    return max(clients, key=len, default=None)


DIALECT = Dialect(
    name="litellm",
    title="LiteLLM spend logs",
    version=1,
    recognises=_recognises,
    read=_read,
    fields={
        "request_id": ("request_id", "id"),
        "account_id": ("user", "metadata.user_api_key_user_id", "api_key", "metadata.user_api_key_hash"),
        "timestamp": ("startTime",),
        "prompt": ("proxy_server_request.prompt", "proxy_server_request.input"),
        "system_prompt": ("proxy_server_request.system", "proxy_server_request.instructions"),
        "messages": (
            "proxy_server_request.messages",
            "proxy_server_request.input",
            "messages",
            "metadata.proxy_server_request",
        ),
        "conversation_id": ("session_id", "trace_id"),
        "model": ("model", "model_group", "proxy_server_request.model"),
        "ip": ("requester_ip_address", "metadata.requester_ip_address"),
        "user_agent": ("metadata.user_agent", "request_tags"),
        "org_id": ("organization_id", "metadata.user_api_key_org_id", "team_id", "metadata.user_api_key_team_id"),
        "api_key_id": ("api_key", "metadata.user_api_key_hash"),
        "end_user": ("end_user", "metadata.user_api_key_end_user_id", "proxy_server_request.user"),
        "tokens_in": ("prompt_tokens",),
        "tokens_out": ("completion_tokens",),
    },
    naive_times="UTC",
)
