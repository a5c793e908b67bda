"""Conversations as the WildChat data sets have them: one request for each turn of the user.

Schema: https://huggingface.co/datasets/allenai/WildChat-1M. There are no accounts: `hashed_ip`, the salted hash of the
address, stands for one, since it is what the data set tells people apart by. `timestamp` is the time of the last turn,
and in newer releases of each answer; a turn without one has that of the answer to it, or else the conversation's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.logged_bodies import value_at

_IDS = ("conversation_hash", "conversation_id")


def _recognises(record: Mapping[str, Any]) -> bool:
    turns = record.get("conversation")
    return (
        isinstance(turns, list)
        and bool(turns)
        and all(isinstance(turn, Mapping) and "role" in turn and "content" in turn for turn in turns)
        and any(key in record for key in _IDS)
        and "model" in record
    )


def _read(record: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    turns = record.get("conversation")
    if not isinstance(turns, list):
        yield Bad("conversation", "missing field" if turns is None else "wrong type")
        return
    name = next((record[key] for key in _IDS if record.get(key) is not None), None)
    system, asked = None, 0
    for at, turn in enumerate(turns):
        if not isinstance(turn, Mapping):
            yield Bad(f"conversation.{at}", "wrong type")
        elif turn.get("role") == "system":
            system = turn.get("content")
        elif turn.get("role") == "user":
            asked += 1
            yield _request(record, turns, at, {"conversation_id": name, "system_prompt": system}, asked)
    if not asked:
        yield Passed("no turn of a user")


def _request(record: Mapping[str, Any], turns: Sequence[Any], at: int, facts: Record, asked: int) -> Record | Bad:
    turn = turns[at]
    if "content" not in turn:
        return Bad(f"conversation.{at}.content", "missing field")
    following = turns[at + 1] if at + 1 < len(turns) else None
    name = facts["conversation_id"]
    found = {
        **facts,
        "request_id": f"{name}#{asked}" if isinstance(name, str | int) else None,
        "account_id": _first(turn.get("hashed_ip"), record.get("hashed_ip")),
        "timestamp": _first(turn.get("timestamp"), value_at(following, "timestamp"), record.get("timestamp")),
        "prompt": turn["content"],
        "model": record.get("model"),
        "user_agent": _first(value_at(turn, "header.user-agent"), value_at(record, "header.user-agent")),
    }
    return {column: value for column, value in found.items() if value is not None}


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


DIALECT = Dialect(
    name="wildchat",
    title="WildChat conversations",
    version=1,
    recognises=_recognises,
    read=_read,
    fields={
        "request_id": ("conversation_hash", "conversation_id"),
        "account_id": ("conversation.N.hashed_ip", "hashed_ip"),
        "timestamp": ("conversation.N.timestamp", "timestamp"),
        "prompt": ("conversation.N.content",),
        "system_prompt": ("conversation.N.content",),
        "conversation_id": ("conversation_hash", "conversation_id"),
        "model": ("model",),
        "user_agent": ("conversation.N.header.user-agent", "header.user-agent"),
    },
    naive_times="UTC",
)
