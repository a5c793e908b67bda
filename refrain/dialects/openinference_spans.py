"""The request of a span with the attributes of OpenInference, as Phoenix and Arize keep them.

Texts, in order of precedence: `llm.input_messages` (a list, or flattened with its positions), `llm.prompts` of the
completions API, `input.value`, `llm.prompt_template` filled with its variables. What the instrumentation hid
(`OPENINFERENCE_HIDE_INPUTS` and the like) is missing: the word that stands for it is nobody's template. Only spans of
the kind LLM are requests.

The template stands beside the texts (refrain.dialects.prompt_templates).

https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from collections.abc import Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Passed, Record
from refrain.dialects.encoded import UnparsableError, decode
from refrain.dialects.gen_ai_spans import NOT_A_CALL, facts
from refrain.dialects.inputs import read_input
from refrain.dialects.messages import messages
from refrain.dialects.otlp import Span
from refrain.dialects.paths import below, find, indexed
from refrain.dialects.prompt_templates import given_template, read_variables, replaced

KIND = "openinference.span.kind"
KINDS = frozenset(
    {
        "LLM", "EMBEDDING", "CHAIN", "RETRIEVER", "RERANKER", "TOOL", "AGENT", "GUARDRAIL", "EVALUATOR", "PROMPT",
        "UNKNOWN",
    }
)  # fmt: skip
_MESSAGES, _PROMPTS, _INPUT, _TEMPLATE = "llm.input_messages", "llm.prompts", "input.value", "llm.prompt_template"
_HIDDEN = "__REDACTED__"  # as the instrumentation writes it
# Our columns and the attributes that say them, in order of precedence.
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "account_id": ("user.id",),
    "end_user": ("enduser.id", "enduser.pseudo.id"),
    "conversation_id": ("session.id",),
    "model": ("llm.request.model_name", "llm.model_name", "llm.response.model_name"),
    "ip": ("client.address", "http.client_ip"),
    "asn": ("client.as.number", "source.as.number"),
    "user_agent": ("user_agent.original", "http.user_agent"),
    "tokens_in": ("llm.token_count.prompt",),
    "tokens_out": ("llm.token_count.completion",),
}


def span_kind(span: Span) -> str | None:
    """The kind of a span of OpenInference; None where it is of other conventions."""
    kind = find(span.attributes, KIND)
    if kind is None and any(below(span.attributes, path) for path in ("llm", "input", "output")):
        kind = span.kind  # Phoenix's exports have it beside the attributes
    return kind.upper() if isinstance(kind, str) and kind.upper() in KINDS else None


def request_of(span: Span) -> Record | Bad | Passed:
    """The request of a span; NOT_A_CALL where it is of another kind."""
    if span_kind(span) != "LLM":
        return NOT_A_CALL
    texts = _texts(span)
    return texts if isinstance(texts, Bad) else {**facts(span, ATTRIBUTES), **texts, **given_template(*_template(span))}


def _texts(span: Span) -> Record | Bad:
    where, given = span.where, find(span.attributes, _MESSAGES)
    if isinstance(given, str):
        try:
            given = decode(given)
        except UnparsableError:
            return Bad(f"{where}.{_MESSAGES}", "unparsable JSON")
    turns = given if isinstance(given, list) else indexed(span.attributes, _MESSAGES)
    if given is not None and not isinstance(given, list | dict):
        return Bad(f"{where}.{_MESSAGES}", "wrong type")
    if turns:
        return {"messages": messages([_turn(turn) for turn in turns])}
    prompts = [_prompt(item) for item in indexed(span.attributes, _PROMPTS)]
    if prompts and all(isinstance(prompt, str) for prompt in prompts) and _HIDDEN not in prompts:
        return {"prompt": "\n".join(prompts)}
    given = _seen(find(span.attributes, _INPUT))
    if given is None and (filled := _filled(span)) is not None:
        return {"prompt": filled}
    return read_input(given, f"{where}.{_INPUT}")


def _filled(span: Span) -> str | None:
    """The template of the prompt with its variables in their places; None where there is none."""
    template, known = _template(span)
    if not isinstance(template, str):
        return None

    def value(name: str) -> str | None:
        found = known.get(name)
        return found if found is None else str(found)

    return replaced(template, value)


def _template(span: Span) -> tuple[Any, dict[str, Any]]:
    """The template of the prompt, None where it is hidden, and its variables by name."""
    template, variables = (_seen(find(span.attributes, f"{_TEMPLATE}.{name}")) for name in ("template", "variables"))
    return template, read_variables(variables)


def _seen(value: Any) -> Any:
    """The value, None where it was hidden."""
    return None if value == _HIDDEN else value


def _turn(turn: Any) -> Any:
    """A message with its texts; what is no object stays as it is."""
    if not isinstance(turn, dict):
        return turn
    role, content = _of(turn, "message.role"), _seen(_of(turn, "message.content"))
    if content is None:
        parts = indexed(turn, "message.contents") or indexed(turn, "contents")
        content = [
            {"type": _of(part, "message_content.type"), "text": _seen(_of(part, "message_content.text"))}
            for part in parts
        ]
    return {"role": role, "content": content}


def _of(holder: Any, path: str) -> Any:
    """A field of a message, which some exporters write without its namespace."""
    value = find(holder, path)
    return find(holder, path.partition(".")[2]) if value is None else value


def _prompt(item: Any) -> Any:
    return item if isinstance(item, str) else _of(item, "prompt.text")
