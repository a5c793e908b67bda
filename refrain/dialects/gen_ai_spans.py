"""The request of a span or an event with the attributes `gen_ai.*` of OpenTelemetry, new and old.

Texts, in order of precedence: `gen_ai.input.messages` with `gen_ai.system_instructions` (from v1.37), the indexed
`gen_ai.prompt.N.role` and `.content` of OpenLLMetry, `gen_ai.prompt` (before v1.28), the events `gen_ai.content.prompt`
and `gen_ai.user.message` and their like (up to v1.36). OpenLLMetry's template of the prompt stands beside them.

https://github.com/open-telemetry/semantic-conventions/tree/main/docs/gen-ai
https://github.com/traceloop/openllmetry/tree/main/packages/opentelemetry-semantic-conventions-ai
"""

from collections.abc import Iterable, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Passed, Record
from refrain.dialects.encoded import UnparsableError, decoded, perhaps
from refrain.dialects.inputs import read_input
from refrain.dialects.messages import joined, messages
from refrain.dialects.otlp import MESSAGES, Event, Span
from refrain.dialects.paths import below, find, indexed
from refrain.dialects.prompt_templates import given_template, read_variables

NOT_A_CALL = Passed("not a model call")
DETAILS = "gen_ai.client.inference.operation.details"
_INPUT, _SYSTEM, _PROMPT = "gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.prompt"
_CONTENT_EVENT = "gen_ai.content.prompt"
_TEMPLATE, _VARIABLES = "traceloop.prompt.template", "traceloop.prompt.template_variables"
# Our columns and the attributes that say them, in order of precedence.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "account_id": ("user.id", "traceloop.association.properties.user_id"),
    "end_user": ("enduser.id", "enduser.pseudo.id", "gen_ai.user", "llm.user"),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "model": ("gen_ai.request.model", "gen_ai.response.model"),
    "ip": ("client.address", "http.client_ip"),
    "asn": ("client.as.number", "source.as.number"),
    "user_agent": ("user_agent.original", "http.user_agent"),
    "tokens_in": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "tokens_out": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
}
# What is no call of a model, or of one that takes no prompt; any other operation is one.
_OPERATIONS = frozenset(
    {"create_agent", "embeddings", "execute_tool", "invoke_agent", "invoke_workflow", "rerank", "retrieval"}
)
_KINDS = frozenset({"agent", "task", "tool", "workflow", "embedding", "rerank"})
_OPERATION = ("gen_ai.operation.name", "llm.request.type", "gen_ai.request.type")
_SIGNS = ("gen_ai.request.model", "gen_ai.response.model", _INPUT, _PROMPT)  # of a call whose operation is not told
_KIND = ("traceloop.span.kind", "gen_ai.span.kind")


def has_gen_ai(attributes: Mapping[str, Any]) -> bool:
    """Whether there are attributes of these conventions."""
    return bool(below(attributes, "gen_ai"))


def request_of(span: Span) -> Record | Bad | Passed:
    """The request of a span; NOT_A_CALL where it is of another operation."""
    if not _is_call(span):
        return NOT_A_CALL
    texts = _texts(span)
    if isinstance(texts, Bad | Passed):
        return texts
    variables = below(span.attributes, _VARIABLES) or read_variables(find(span.attributes, _VARIABLES))
    return {**facts(span, ATTRIBUTES), **texts, **given_template(find(span.attributes, _TEMPLATE), variables)}


def facts(span: Span, attributes: Mapping[str, tuple[str, ...]]) -> Record:
    """What a span says beside the texts: who, when, under what ids, and `attributes`."""
    trace, own = span.trace_id, span.span_id
    both = isinstance(trace, str) and isinstance(own, str) and trace and own
    found = {
        "request_id": f"{trace}-{own}" if both else own or span.first("gen_ai.response.id"),
        "timestamp": span.time,
        **{name: span.first(*paths) for name, paths in attributes.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def _is_call(span: Span) -> bool:
    operation, kind = span.first(*_OPERATION), span.first(*_KIND)
    if isinstance(operation, str):
        return operation.lower() not in _OPERATIONS | _KINDS
    if isinstance(kind, str) and kind.lower() in _KINDS:
        return False
    return span.first(*_SIGNS) is not None or bool(below(span.attributes, _PROMPT)) or any(map(_tells, span.events))


def _tells(event: Event) -> bool:
    return event.name.removeprefix("event.") in {DETAILS, _CONTENT_EVENT, *MESSAGES}


def _texts(span: Span) -> Record | Bad | Passed:
    """The columns `messages`, `prompt` and `system_prompt` of a call."""
    where = span.where
    given = _told(span, _INPUT)
    if given is not None:
        return _new(given, _told(span, _SYSTEM), where)
    turns = indexed(span.attributes, _PROMPT)
    if turns:
        return {"messages": [_turn(turn) for turn in turns]}
    prompts = [find(event.attributes, _PROMPT) for event in span.events if event.name == _CONTENT_EVENT]
    for prompt in (find(span.attributes, _PROMPT), *prompts):
        if prompt is not None:
            return read_input(prompt, f"{where}.{_PROMPT}")
    said = _messages(span.events)
    if not any(event.name in MESSAGES for event in span.events):
        return Bad(f"{where}.{_INPUT}", "missing field")
    return said if any(turn["role"] == "user" for turn in said["messages"]) else Passed("no message of a user")


def _told(span: Span, path: str) -> Any:
    """An attribute of the span, or of its event with the details, which may also have it in its body."""
    details = [event for event in span.events if event.name.removeprefix("event.") == DETAILS]
    trees: Iterable[Any] = (span.attributes, *(tree for event in details for tree in (event.attributes, event.body)))
    return next((value for tree in trees if (value := find(tree, path)) is not None), None)


def _new(given: Any, system: Any, where: str) -> Record | Bad:
    try:
        value = decoded(given)
    except UnparsableError:
        return Bad(f"{where}.{_INPUT}", "unparsable JSON")
    if not isinstance(value, list | dict):
        return Bad(f"{where}.{_INPUT}", "wrong type")
    found: Record = {"messages": messages(value)}
    if system is None:
        return found
    try:
        system = perhaps(system) if isinstance(system, str) else system
    except UnparsableError:
        return Bad(f"{where}.{_SYSTEM}", "unparsable JSON")
    if not isinstance(system, str | list | dict):
        return Bad(f"{where}.{_SYSTEM}", "wrong type")
    # An object with a role and a message in the first drafts, a list of parts since.
    text = joined(system.get("message", system) if isinstance(system, dict) else system)
    return found if text is None else {**found, "system_prompt": text}


def _turn(turn: Any) -> Any:
    """A message of OpenLLMetry; contents in parts are written as JSON text."""
    if not isinstance(turn, dict):
        return turn
    return messages([{"role": turn.get("role"), "content": _content(turn.get("content"))}])[0]


def _content(content: Any) -> Any:
    if not isinstance(content, str):
        return content
    try:
        value = perhaps(content)
    except UnparsableError:
        return content
    return value if isinstance(value, list) and all(isinstance(item, dict) for item in value) else content


def _messages(events: Iterable[Event]) -> Record:
    """The messages that events tell one by one."""
    said = []
    for event in events:
        role = MESSAGES.get(event.name)
        if role is None:
            continue
        content = next(
            (
                found
                for found in (
                    find(event.body, "content"),
                    event.body if isinstance(event.body, str) else None,
                    find(event.attributes, "gen_ai.event.content"),
                    find(event.attributes, "content"),
                )
                if found is not None
            ),
            None,
        )
        said.append({"role": role, "content": _event_content(content)})
    return {"messages": messages(said)}


def _event_content(content: Any) -> Any:
    """The words of an event; Azure's writes the whole message as JSON text."""
    if not isinstance(content, str):
        return content
    try:
        value = perhaps(content)
    except UnparsableError:
        return content
    if isinstance(value, dict) and isinstance(value.get("content"), str | list):
        return value["content"]
    return _content(content)
