"""Request bodies of Anthropic's Messages interface, and batches of them.

Schema: https://platform.claude.com/docs/en/api/messages and .../messages/batches/create (`requests` of `custom_id` and
`params`). Beside a body stands what refrain.dialects.logged_bodies.ENVELOPE names; whom the account's holder names
(`metadata.user_id`) is the end user and never the account.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.logged_bodies import ENVELOPE, find_body, is_foreign, surroundings, texts_of, value_at
from refrain.dialects.openai import is_anthropic

_PLACES = ("params", "body", "request")


def _recognises(record: Mapping[str, Any]) -> bool:
    if is_foreign(record):
        return False
    requests = record.get("requests")
    if isinstance(requests, list) and requests:
        record = requests[0] if isinstance(requests[0], dict) else {}
        return "custom_id" in record and "params" in record
    if "custom_id" in record and "params" in record:
        return True
    body = find_body(record, _PLACES)
    return not isinstance(body, Bad) and isinstance(body.value.get("model"), str) and is_anthropic(body.value)


def _read(record: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    requests = record.get("requests")
    if isinstance(requests, list) and "messages" not in record:
        around = {key: value for key, value in record.items() if key not in ("requests", *_PLACES)}
        for at, request in enumerate(requests):
            if isinstance(request, dict):
                yield _request({**around, **request})
            else:
                yield Bad(f"requests.{at}", "wrong type")
    elif "result" in record and not any(place in record for place in _PLACES) and "messages" not in record:
        yield Passed("a response without its request")
    else:
        yield _request(record)


def _request(record: Mapping[str, Any]) -> Record | Bad:
    body = find_body(record, _PLACES)
    if isinstance(body, Bad):
        return body
    messages, prompt = body.value.get("messages"), body.value.get("prompt")
    if messages is None and isinstance(prompt, str):
        said: Record = {"prompt": prompt}  # text completions, before there were messages
    elif messages is None:
        return Bad(body.path("messages"), "missing field")
    elif not isinstance(messages, list):
        return Bad(body.path("messages"), "wrong type")
    else:
        said = {"messages": messages}
    system = body.value.get("system")
    if system is not None and not isinstance(system, str | list):
        return Bad(body.path("system"), "wrong type")
    facts = {
        "model": body.value.get("model"),
        "end_user": value_at(body.value, "metadata.user_id"),
        "system_prompt": "\n".join(texts_of(system)) or None,
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return {**surroundings(body.envelope), **known, **said}


DIALECT = Dialect(
    name="anthropic",
    title="Anthropic request bodies",
    version=1,
    recognises=_recognises,
    read=_read,
    fields={
        **ENVELOPE,
        "end_user": ("body.metadata.user_id",),
        "model": ("body.model",),
        "messages": ("body.messages",),
        "prompt": ("body.prompt",),
        "system_prompt": ("body.system",),
    },
)
