"""The logs of Acme's gateway: {"acme": 2, "who": ..., "at": ..., "turns": [{"by": "u", "said": ...}]}."""

from refrain.dialects import Bad, Dialect, Passed

CURRENT = 2


def recognises(record):
    return record.get("acme") in (1, CURRENT) and "turns" in record


def read(record):
    if record.get("acme") != CURRENT:
        yield Bad("acme", "unknown version")
    elif not isinstance(record.get("turns"), list):
        yield Bad("turns", "wrong type")
    elif record.get("kind") == "health check":
        yield Passed("not a model call")
    else:
        roles = {"u": "user", "m": "assistant"}
        turns = [turn for turn in record["turns"] if isinstance(turn, dict)]
        messages = [{"role": roles.get(turn.get("by")), "content": turn.get("said")} for turn in turns]
        yield {"account_id": record.get("who"), "timestamp": record.get("at"), "messages": messages}


DIALECT = Dialect(
    name="acme",
    title="Acme gateway logs",
    version=1,
    recognises=recognises,
    read=read,
    fields={"account_id": ("who",), "timestamp": ("at",), "messages": ("turns.N.said",)},
    naive_times="UTC",
)
