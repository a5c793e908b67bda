"""What the body of a request to a model says, in our columns, whichever interface it follows.

Gateways log the body as it was sent, so one log holds several interfaces:
OpenAI chat, completions and Responses (https://github.com/openai/openai-openapi), Anthropic Messages
(https://docs.anthropic.com/en/api/messages), Bedrock Converse and Nova
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html), the bodies of Titan, Llama, Mistral,
Cohere and Stability on Bedrock (https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html), Gemini
(https://ai.google.dev/api/generate-content).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.chat_markup import turns_of
from refrain.dialects.dialect import Record
from refrain.dialects.json_values import first, given, mapping, told

_RESULTS = ("toolResult", "functionResponse")  # Converse, Gemini: what a tool answered, inside a user's message
_COHERE_ROLES = {"CHATBOT": "assistant", "USER": "user", "SYSTEM": "system", "TOOL": "tool"}


def read_body(body: Mapping[str, Any]) -> Record:
    """`messages` or `prompt`, `system_prompt`, `model` and `end_user`, each absent where the body has none.

    What has the wrong type stays as it is, for the intake to refuse. What a tool answered is a message of the role
    "tool", also where the interface puts it into the user's.
    """
    record = _said(body)
    system = given(body, "system", "instructions", "systemInstruction", "system_instruction", "preamble")
    values = {
        "system_prompt": None if system is None else _text(system),
        "model": given(body, "model", "modelId"),
        "end_user": first(
            body.get("safety_identifier"), body.get("user"), mapping(body.get("metadata")).get("user_id")
        ),
    }
    return record | told(values)


def has_text(record: Record) -> bool:
    """Whether something is said in a record."""
    return "messages" in record or "prompt" in record


def message_list(messages: object) -> object:
    """Messages of any of the interfaces as `role` and `content`; what is no list stays as it is."""
    return list(_messages(messages)) if isinstance(messages, list) else messages


def _said(body: Mapping[str, Any]) -> Record:
    """Who said what in a body, by the first of its fields that is there."""
    if body.get("messages"):
        return {"messages": message_list(body["messages"])}
    if body.get("input"):  # Responses
        return {"messages": message_list(body["input"])} if isinstance(body["input"], list) else _prompt(body["input"])
    if body.get("contents"):  # Gemini
        return {"messages": message_list(body["contents"])}
    if given(body, "message") is not None:  # Cohere
        history = body.get("chat_history")
        spoken = [*(history if isinstance(history, list) else ()), {"role": "USER", "message": body["message"]}]
        return {"messages": list(_messages(spoken))}
    for name in ("prompt", "inputText", "inputs"):
        if given(body, name) is not None:
            return _prompt(body[name])
    if body.get("text_prompts"):  # Stability
        return _prompt(_text(body["text_prompts"]))
    drawn = given(mapping(body.get("textToImageParams")), "text")  # Titan and Nova, images
    return {} if drawn is None else _prompt(drawn)


def _prompt(prompt: object) -> Record:
    """A raw prompt; as messages where it holds them in a model's markup."""
    if isinstance(prompt, list) and all(isinstance(text, str) for text in prompt):
        prompt = "\n".join(prompt)  # completions take several at once
    turns = turns_of(prompt) if isinstance(prompt, str) else []
    return {"messages": turns} if turns else {"prompt": prompt}


def _messages(messages: list[Any]) -> Iterator[Any]:
    for message in messages:
        if not isinstance(message, Mapping):
            yield message
            continue
        if message.get("type") == "function_call_output":  # Responses
            yield {"role": "tool", "content": message.get("output")}
            continue
        if "role" not in message and "content" not in message and "type" in message:
            continue  # Responses: a call, a reasoning step or a reference; nobody's words
        role = message.get("role")
        role = _COHERE_ROLES.get(role, role) if isinstance(role, str) else role
        content = given(message, "content", "parts", "message")
        if not isinstance(content, list):
            yield {"role": role, "content": content}
            continue
        answers = [part for part in content if _answers(part)]
        yield from ({"role": "tool", "content": _answer(part)} for part in answers)
        own = [_part(part) for part in content if not _answers(part)]
        if own or not answers:
            yield {"role": role, "content": own}


def _answers(part: object) -> bool:
    """Whether a part of a message is what a tool answered."""
    return isinstance(part, Mapping) and (part.get("type") == "tool_result" or any(name in part for name in _RESULTS))


def _answer(part: Mapping[str, Any]) -> Any:
    """The content of a tool's answer."""
    held = next((mapping(part[name]) for name in _RESULTS if name in part), part)
    return held.get("content")


def _part(part: object) -> object:
    """A part of a message with its text where the intake looks for it."""
    if isinstance(part, Mapping) and "guardContent" in part:  # Converse
        return mapping(mapping(part["guardContent"]).get("text"))
    return part


def _text(value: object) -> object:
    """A system prompt as one text: itself, or its parts line by line; what is neither stays as it is."""
    if isinstance(value, Mapping):
        value = value.get("parts", value.get("text"))  # Gemini
    if isinstance(value, list) and all(isinstance(part, Mapping | str) for part in value):
        texts = [part if isinstance(part, str) else mapping(_part(part)).get("text") for part in value]
        return "\n".join(text for text in texts if isinstance(text, str))
    return value
