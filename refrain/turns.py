"""Who said what in a request: the system prompt, then every message, each text with its role and turn."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

ROLES = ("system", "user", "assistant", "tool")
TEMPLATE = "template"
PARTS = (*ROLES, TEMPLATE)
"""Whose a segment of a request may be: somebody's who spoke, or the template's that the log gives."""
# What other interfaces call the same roles. An unknown role counts as the user's: nobody hides behind a new word.
_SYNONYMS = {"developer": "system", "human": "user", "model": "assistant", "ai": "assistant", "function": "tool"}
_DEEPEST = 4  # lists of parts inside parts, as tool results have them; deeper nesting carries no prompt


class Turn(NamedTuple):
    """One text of a request. Turn 0 is the system prompt that stands outside the messages."""

    role: str
    turn: int
    text: str


class Conversation(NamedTuple):
    """The texts of a request in order, its prompt and system prompt (None where it has none), and what was odd."""

    turns: tuple[Turn, ...]
    prompt: str | None
    system: str | None
    mended: bool
    cut: bool


class WrongTypeError(Exception):
    """A value that no text can be taken from."""


class _Message(NamedTuple):
    role: str
    turn: int
    parts: tuple[str, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.parts)


def read_conversation(prompt: str | None, system: str | None, messages: object, max_turns: int) -> Conversation:
    """A request's texts: the system prompt (turn 0), the messages (turn 1..), and the prompt.

    Where both messages and a prompt are given, the prompt is the last user turn; it is added as one only where the
    last user message says something else, so that it is never counted twice. The same holds for the system prompt and
    a leading system message. Blank texts are left out and keep their turn's number. Of more than `max_turns` messages
    the last stay. WrongTypeError where messages are unusable and there is no prompt without them.
    """
    if messages is None and prompt is not None:
        turns = [Turn("user", 1, prompt)]
        if system is not None:
            turns.insert(0, Turn("system", 0, system))
        return Conversation(tuple(turns), prompt, system, mended=False, cut=False)
    try:
        said, mended = _messages(messages)
    except WrongTypeError:
        if prompt is None:
            raise
        said, mended = [], True
    cut = len(said) > max_turns
    leading = said[0] if said and said[0].role == "system" else None
    last_user = next((m for m in reversed(said) if m.role == "user"), None)
    following = said[-1].turn + 1 if said else 1
    said = [m for m in (said[-max_turns:] if cut else said) if not (m is leading and system in (None, m.text))]

    turns = []
    if system is None and leading is not None:
        turns.append(Turn("system", leading.turn, leading.text))
    elif system is not None:
        turns.append(Turn("system", 0, system))
    turns.extend(Turn(m.role, m.turn, m.text) for m in said)
    if prompt is None:
        prompt = last_user.text if last_user else None
    elif last_user is None or prompt.strip() not in {text.strip() for text in (last_user.text, *last_user.parts)}:
        turns.append(Turn("user", following, prompt))
    spoken_system = system if system is not None else leading.text if leading else None
    return Conversation(tuple(turns), prompt, spoken_system, mended, cut)


def last_turns(turns: Sequence[Turn]) -> list[Turn]:
    """The system prompt's turns and the last one of the user, in order."""
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    return [turn for at, turn in enumerate(turns) if turn.role == "system" or at == last]


def _messages(value: object) -> tuple[list[_Message], bool]:
    """The messages that hold text, in order, and whether some part of the value was not understood."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        if not value.strip():
            return [], False
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise WrongTypeError from None  # the JSON error would carry the text
    if value is None:
        return [], False
    if not isinstance(value, list):
        raise WrongTypeError
    said, mended = [], False
    for turn, message in enumerate(value, start=1):
        role = message.get("role") if isinstance(message, dict) else None
        content = message.get("content") if isinstance(message, dict) else message
        if not isinstance(role, str) or not isinstance(content, str | list | None):
            mended = True
        parts = tuple(_parts(content, _DEEPEST))
        if any(part.strip() for part in parts):
            name = role.strip().lower() if isinstance(role, str) else ""
            said.append(_Message(name if name in ROLES else _SYNONYMS.get(name, "user"), turn, parts))
    return said, mended


def _parts(content: Any, depth: int) -> Iterator[str]:
    """The texts in a message's content: itself, or those of its parts; images and calls hold none."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, list) and depth:
        for part in content:
            yield from _parts(part, depth - 1)
    elif isinstance(content, dict) and depth:
        text = content.get("text")
        yield from _parts(text if text is not None else content.get("content"), depth - 1)
