"""What was said in the records of a batch: the texts that are cut, the prompt and system prompt that are kept.

A template that the log gives is cut as they are and follows them, as a part of its own. It is no prompt: where nothing
else is said the record is refused, and where it is no text it is left out and the record flagged.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from refrain.batches import MISSING, Batch
from refrain.config import IngestConfig
from refrain.fields import NOTHING, read_text
from refrain.people import Refusals
from refrain.turns import PARTS, TEMPLATE, Turn, WrongTypeError, last_turns, read_conversation

_ROLE_CODES = {role: code for code, role in enumerate(PARTS)}
_SYSTEM, _USER, _GIVEN = (_ROLE_CODES[role] for role in ("system", "user", TEMPLATE))


class Talk(NamedTuple):
    """One record's texts. `spoken` is (role, turn, text) of every turn that has room, `said` every text."""

    spoken: Sequence[tuple[int, int, str]]
    said: Sequence[str]
    prompt: str | None
    system: str | None
    mended: bool
    cut: bool


class Talks:
    """Reads the texts of a batch's records one by one."""

    def __init__(self, batch: Batch, config: IngestConfig) -> None:
        self._config = config
        absent: list[Any] = [MISSING] * len(batch.rows)
        self._prompts, self._systems, self._messages = (
            batch.columns.get(name, absent) for name in ("prompt", "system_prompt", "messages")
        )
        self._templates = batch.columns.get("prompt_template")

    def read(self, at: int, refused: Refusals) -> Talk | None:
        """What was said in a record; None where it is refused."""
        talk = self._read(at, refused)
        if talk is None or self._templates is None:
            return talk
        given = read_text(self._templates[at])
        mended = talk.mended or given.mended or given.wrong
        if given.text is None:
            return talk._replace(mended=mended)
        spoken = [*talk.spoken, (_GIVEN, 0, given.text)]
        return talk._replace(spoken=spoken, said=[*talk.said, given.text], mended=mended)

    def _read(self, at: int, refused: Refusals) -> Talk | None:
        given, above, messages = self._prompts[at], self._systems[at], self._messages[at]
        if given is MISSING and messages is MISSING:
            refused.add(at, "prompt", "missing column")
            return None
        prompt = read_text(given)
        system = NOTHING if above is None else read_text(above)
        if prompt.wrong or system.wrong:
            refused.add(at, "prompt" if prompt.wrong else "system_prompt", "wrong type")
            return None
        mended = prompt.mended or system.mended
        if messages is MISSING or messages is None:
            room = min(self._config.max_request_characters, self._config.max_text_characters)
            if prompt.text is not None and len(prompt.text) <= room:  # as nearly all are
                spoken = [(_USER, 1, prompt.text)]
                if system.text is not None:
                    spoken.insert(0, (_SYSTEM, 0, system.text))
                return Talk(spoken, [text for *_, text in spoken], prompt.text, system.text, mended, False)
            messages = None
        try:
            conversation = read_conversation(prompt.text, system.text, messages, self._config.max_turns)
        except WrongTypeError:
            refused.add(at, "messages", "wrong type")
            return None
        if all(turn.role == "system" for turn in conversation.turns):
            refused.add(at, "prompt", "no prompt")
            return None
        turns = conversation.turns if self._config.turns == "all" else last_turns(conversation.turns)
        spoken, cut = self._spoken(turns)
        return Talk(
            spoken,
            [turn.text for turn in turns],
            conversation.prompt,
            conversation.system,
            mended or conversation.mended,
            cut or conversation.cut,
        )

    def _spoken(self, turns: Sequence[Turn]) -> tuple[list[tuple[int, int, str]], bool]:
        """The turns' texts, and whether some had to go: the newest stay within the request's size."""
        room, cut = self._config.max_request_characters, False
        spoken: list[tuple[int, int, str]] = []
        for turn in reversed(turns):
            text = turn.text[:room] if turn.turn else turn.text  # the system prompt has its own limit
            if len(text) < len(turn.text):
                cut = True
            if turn.turn:
                room -= min(len(text), self._config.max_text_characters)
            if text:
                spoken.append((_ROLE_CODES[turn.role], turn.turn, text))
        return spoken[::-1], cut
