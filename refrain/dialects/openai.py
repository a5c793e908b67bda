"""Request bodies of OpenAI's interface: chat completions, responses, completions, and batch files of them.

Schema: https://github.com/openai/openai-openapi (CreateChatCompletionRequest, CreateResponse, CreateCompletionRequest,
BatchRequestInput). Beside a body stands what refrain.dialects.logged_bodies.ENVELOPE names; whom the account's holder
names (`safety_identifier`, before it `user`) is the end user and never the account.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.logged_bodies import ENVELOPE, Body, find_body, is_foreign, surroundings, texts_of

_PLACES = ("body", "request")
_OTHER_CALLS = ("/embeddings", "/moderations", "/images", "/audio", "/videos")
_OTHER_MODELS = ("text-embedding", "omni-moderation", "text-moderation")
_ANTHROPIC = ("system", "anthropic_version", "stop_sequences", "thinking", "top_k")
_OUTPUTS = frozenset({"function_call_output", "custom_tool_call_output", "computer_call_output"})


def _recognises(record: Mapping[str, Any]) -> bool:
    if is_foreign(record) or "params" in record:
        return False
    body = find_body(record, _PLACES)
    if isinstance(body, Bad):
        return record.get("method") == "POST" and isinstance(record.get("url"), str) and "custom_id" in record
    if is_anthropic(body.value):
        return False
    return isinstance(body.value.get("model"), str) and (
        isinstance(body.value.get("messages"), list)
        or isinstance(body.value.get("input"), str | list)
        or (bool(body.place) and isinstance(body.value.get("prompt"), str | list))
    )


def is_anthropic(body: Mapping[str, Any]) -> bool:
    """Whether a body with messages is one of Anthropic's interface: it has what OpenAI's lacks, or names a Claude and
    has no message of a role that only OpenAI's has (gateways offer Claude in OpenAI's form)."""
    messages, model = body.get("messages"), body.get("model")
    if not isinstance(messages, list):
        return False
    if any(key in body for key in _ANTHROPIC):
        return True
    roles = [message.get("role") for message in messages if isinstance(message, Mapping)]
    claude = isinstance(model, str) and "claude" in model.lower()
    return claude and "max_tokens" in body and all(role in ("user", "assistant") for role in roles)


def _read(record: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    url = record.get("url")
    if isinstance(url, str) and any(call in url for call in _OTHER_CALLS):
        yield Passed("not a conversation")
        return
    if "response" in record and not any(place in record for place in _PLACES) and "messages" not in record:
        yield Passed("a response without its request")
        return
    body = find_body(record, _PLACES)
    if isinstance(body, Bad):
        yield body
        return
    model = body.value.get("model")
    if isinstance(model, str) and model.startswith(_OTHER_MODELS):
        yield Passed("not a conversation")
        return
    said = _said(body)
    if isinstance(said, Bad):
        yield said
        return
    found = surroundings(body.envelope)
    facts = {
        "model": model,
        "end_user": _first(body.value, "safety_identifier", "user"),
        "conversation_id": found.get("conversation_id") or _conversation(body.value.get("conversation")),
    }
    yield {**found, **{name: value for name, value in facts.items() if value is not None}, **said}


def _said(body: Body) -> Record | Bad:
    value = body.value
    if value.get("messages") is not None:
        messages = value["messages"]
        return {"messages": messages} if isinstance(messages, list) else Bad(body.path("messages"), "wrong type")
    given = value.get("input")
    if given is not None:
        system = "\n".join(texts_of(value.get("instructions")))
        above: Record = {"system_prompt": system} if system else {}
        if isinstance(given, str):
            return {"prompt": given, **above}
        if isinstance(given, list):
            return {"messages": list(map(_message, given)), **above}
        return Bad(body.path("input"), "wrong type")
    prompt = value.get("prompt")
    if isinstance(prompt, str):
        return {"prompt": prompt}
    if isinstance(prompt, list) and any(isinstance(part, str) for part in prompt):
        return {"messages": [{"role": "user", "content": part} for part in prompt if isinstance(part, str)]}
    if prompt is None:
        return Bad(body.path("messages"), "missing field")
    return Bad(body.path("prompt"), "wrong type")


def _message(item: Any) -> Any:
    """An item of a response's input as a message; calls and references hold no text of the user's."""
    if not isinstance(item, Mapping) or "role" in item:
        return item
    kind = item.get("type")
    if isinstance(kind, str) and kind in _OUTPUTS:
        return {"role": "tool", "content": item.get("output")}
    return {"role": "assistant", "content": []}


def _conversation(value: Any) -> Any:
    return value.get("id") if isinstance(value, Mapping) else value


def _first(body: Mapping[str, Any], *names: str) -> Any:
    return next((body[name] for name in names if body.get(name) is not None), None)


DIALECT = Dialect(
    name="openai",
    title="OpenAI request bodies",
    version=1,
    recognises=_recognises,
    read=_read,
    fields={
        **ENVELOPE,
        "end_user": ("body.safety_identifier", "body.user"),
        "conversation_id": (*ENVELOPE["conversation_id"], "body.conversation"),
        "model": ("body.model",),
        "messages": ("body.messages", "body.input"),
        "prompt": ("body.input", "body.prompt"),
        "system_prompt": ("body.instructions",),
    },
)
