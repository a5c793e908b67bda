"""Who said what: roles, turns, nothing twice."""

import json

import pytest

from refrain.turns import Turn, WrongTypeError, read_conversation

HISTORY = [
    {"role": "developer", "content": "Be brief."},
    {"role": "human", "content": "First question"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]},
    {"role": "function", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "42"}]}]},
    {"role": "assistant", "content": "The answer."},
    {"role": "user", "content": [{"type": "text", "text": "And now?"}, {"type": "image_url", "image_url": {}}]},
]
SAID = (
    Turn("system", 1, "Be brief."),
    Turn("user", 2, "First question"),
    Turn("tool", 4, "42"),
    Turn("assistant", 5, "The answer."),
    Turn("user", 6, "And now?"),
)


@pytest.mark.parametrize("messages", [HISTORY, json.dumps(HISTORY), json.dumps(HISTORY).encode()])
def test_every_message_keeps_its_role_and_turn(messages: object) -> None:
    found = read_conversation(None, None, messages, 100)
    assert found.turns == SAID
    assert (found.prompt, found.system) == ("And now?", "Be brief.")
    assert not found.mended and not found.cut


def test_a_prompt_that_is_the_last_user_turn_is_not_counted_twice() -> None:
    assert read_conversation(" And now?\n", None, HISTORY, 100).turns == SAID
    tools_after = [*HISTORY, {"role": "tool", "content": "late result"}]
    assert read_conversation("And now?", None, tools_after, 100).turns == (*SAID, Turn("tool", 7, "late result"))


def test_a_prompt_beside_the_history_is_one_more_turn() -> None:
    assert read_conversation("now", None, HISTORY, 100).turns == (*SAID, Turn("user", 7, "now"))


def test_a_system_prompt_is_turn_0_and_not_said_again_by_the_first_message() -> None:
    assert read_conversation(None, "Be brief.", HISTORY, 100).turns == (Turn("system", 0, "Be brief."), *SAID[1:])
    both = read_conversation(None, "Be kind.", HISTORY, 100)
    assert both.turns == (Turn("system", 0, "Be kind."), *SAID)
    assert both.system == "Be kind."


def test_of_too_many_messages_the_last_stay() -> None:
    found = read_conversation(None, None, HISTORY, 2)
    assert found.turns == (SAID[0], *SAID[-2:])
    assert found.cut


def test_unknown_roles_count_as_the_user_and_odd_messages_are_flagged() -> None:
    found = read_conversation(None, None, ["bare", {"role": "wizard", "content": "x"}, 7, {"role": "user"}], 100)
    assert [(turn.role, turn.text) for turn in found.turns] == [("user", "bare"), ("user", "x")]
    assert found.mended


@pytest.mark.parametrize("messages", ["no json", "{}", 7, {"role": "user", "content": "x"}, "[" * 100_000])
def test_unusable_messages_matter_only_where_there_is_no_prompt(messages: object) -> None:
    with pytest.raises(WrongTypeError):
        read_conversation(None, None, messages, 100)
    found = read_conversation("still here", None, messages, 100)
    assert (found.turns, found.mended) == ((Turn("user", 1, "still here"),), True)


def test_parts_inside_parts_end_somewhere() -> None:
    content: object = "deep"
    for _ in range(10_000):
        content = [content]
    assert read_conversation("p", None, [{"role": "user", "content": content}], 100).turns == (Turn("user", 1, "p"),)
