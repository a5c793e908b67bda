"""What a model was given, from a field whose shape the log's schema leaves to the application.

Such are the inputs of Langfuse, LangSmith and `input.value` of OpenInference: a list of messages, a request's body, a
text, or the arguments of a function. What is of none of these shapes is read as its JSON text: whoever wrote a prompt
in an odd form is not left out for it.
"""

import json
from typing import Any

from refrain.dialects.dialect import Bad, Record
from refrain.dialects.encoded import UnparsableError, perhaps
from refrain.dialects.messages import are_messages, is_message, joined, messages

# Fields of a body that hold messages or a text, in order of precedence, and those that hold a system prompt.
NAMES = ("messages", "contents", "input", "prompt", "prompts", "question", "query", "text")
SYSTEMS = ("system", "instructions", "system_instruction", "system_prompt")
_DEEPEST = 4  # bodies inside bodies: {"kwargs": {"input": {"messages": ...}}}


def read_input(value: Any, path: str) -> Record | Bad:
    """The columns `messages`, `prompt` and `system_prompt`, as far as the input has them; Bad at `path` where it has
    nothing, is no input, or is JSON that was cut off."""
    try:
        value = perhaps(value) if isinstance(value, str) else value
    except UnparsableError:
        return Bad(path, "unparsable JSON")
    found = _read(value, _DEEPEST)
    if found is not None:
        return found
    if value is None or (isinstance(value, str) and not value.strip()) or value in ([], {}):
        return Bad(path, "missing field")
    if not isinstance(value, list | dict):
        return Bad(path, "wrong type")
    try:
        return {"prompt": json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)}
    except (ValueError, TypeError, RecursionError):
        return Bad(path, "wrong type")


def _read(value: Any, depth: int) -> Record | None:
    """What is said in a value of a known shape; None where it is of none."""
    if isinstance(value, str):
        return {"prompt": value} if value and not value.isspace() else None
    if isinstance(value, list):
        return _listed(value, depth)
    if not isinstance(value, dict) or not depth:
        return None
    if is_message(value):
        return {"messages": messages(value)}
    for name in NAMES:
        given = value.get(name)
        found = None if given is None else _read(given, depth - 1)
        if found is not None:
            system = next((text for name in SYSTEMS if (text := joined(_parts(value.get(name)))) is not None), None)
            return {**found, **({} if system is None else {"system_prompt": system})}
    for name in ("kwargs", "args"):  # a traced function's arguments
        if (found := _read(value.get(name), depth - 1)) is not None:
            return found
    return None


def _listed(value: list[Any], depth: int) -> Record | None:
    if all(isinstance(item, str) for item in value):
        text = "\n".join(value)
        return {"prompt": text} if text and not text.isspace() else None
    if are_messages(value):
        return {"messages": messages(value)}
    if len(value) == 1 and depth:
        return _read(value[0], depth - 1)
    return None


def _parts(system: Any) -> Any:
    return system.get("parts", system) if isinstance(system, dict) else system
