"""Messages as other interfaces write them, in the form that the intake reads: a role and texts.

Read are: parts (OpenTelemetry's `gen_ai.input.messages`, Gemini's `contents`), contents (OpenAI, Anthropic), and
LangChain's messages, plain, serialised or as pairs. Pictures, files and calls of tools hold no words.

https://github.com/open-telemetry/semantic-conventions/blob/main/docs/gen-ai/gen-ai-input-messages.json
https://python.langchain.com/api_reference/core/load/langchain_core.load.dump.dumpd.html
"""

from collections.abc import Iterator, Mapping
from typing import Any

_DEEPEST = 4  # lists of parts inside parts
_PAIR = 2  # a role and a text, as LangChain takes them
_TYPES = frozenset({"human", "ai", "system", "tool", "function", "user", "assistant", "developer"})
_WORDLESS = frozenset(
    {
        "audio", "blob", "document", "file", "file_data", "function_call", "image", "image_url", "input_audio",
        "input_file", "input_image", "reasoning", "redacted_thinking", "server_tool_call", "thinking", "tool_call",
        "tool_use", "uri", "video",
    }
)  # fmt: skip


def messages(value: Any) -> list[Any]:
    """The messages of a list, lists of lists in order; one that is not understood stays as it is, so that the intake
    flags it."""
    if isinstance(value, dict | str):
        return [said(value)]
    spread: list[Any] = []
    for item in value:
        spread += _spread(item)
    return [said(item) for item in spread]


def _spread(item: Any) -> list[Any]:
    return item if isinstance(item, list) and not _is_pair(item) else [item]


def said(message: Any) -> Any:
    """A message as {"role", "content"}; what is none stays as it is."""
    if _is_pair(message):
        return {"role": message[0], "content": message[1]}
    if not isinstance(message, dict):
        return message
    inner = next(
        (held for name in ("kwargs", "lc_kwargs", "data") if isinstance(held := message.get(name), dict)), message
    )
    parts = inner.get("parts")
    return {"role": _role(message, inner), "content": words(inner.get("content") if parts is None else parts)}


def words(content: Any) -> Any:
    """The content of a message, or its parts, as a text or as parts with a text each; what holds none is left out."""
    if isinstance(content, str) or content is None:
        return content
    if isinstance(content, list | dict):
        return [{"text": text} for text in _texts(content, _DEEPEST)]
    return content


def joined(content: Any) -> str | None:
    """The words of a content or of parts as one text, a line each; None where there are none."""
    text = "\n".join(_texts(content, _DEEPEST))
    return text or None


def are_messages(value: list[Any]) -> bool:
    """Whether some item of a list, or of a list in it, is a message by its form."""
    return any(is_message(item) for held in value for item in _spread(held))


def is_message(item: object) -> bool:
    """Whether something is a message by its form."""
    if not isinstance(item, dict):
        return _is_pair(item)
    kind = item.get("type")
    return any(item.get(name) is not None for name in ("role", "lc", "content", "parts")) or (
        isinstance(kind, str) and kind in _TYPES
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == _PAIR
        and all(isinstance(item, str) for item in value)
        and value[0] in _TYPES
    )


def _role(message: Mapping[str, Any], inner: Mapping[str, Any]) -> Any:
    for holder in (message, inner):
        if holder.get("role") is not None:
            return holder["role"]
    for holder in (message, inner):
        kind = holder.get("type")
        if isinstance(kind, str) and kind in _TYPES:
            return kind
    name = message.get("id")  # a class: ["langchain", "schema", "messages", "AIMessage"]
    if isinstance(name, list) and name and isinstance(name[-1], str):
        return name[-1].lower().removesuffix("chunk").removesuffix("message")
    return None


def _texts(content: Any, depth: int) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from _texts(part, depth - 1)
    elif isinstance(content, dict) and depth:
        kind = content.get("type")
        if isinstance(kind, str) and kind in _WORDLESS:
            return
        for name in ("text", "content", "response", "result"):
            if isinstance(content.get(name), str | list):
                yield from _texts(content[name], depth - 1)
                return
