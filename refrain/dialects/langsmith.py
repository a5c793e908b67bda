"""LangSmith's runs, as the API, the SDK and the bulk export write them.

A run of the type "llm" is a call of a model. `session_id` is the project, not a conversation: that is named in the
metadata, as `session_id`, `thread_id` or `conversation_id`. The user stands in the metadata under a name that the
application chose, `user_id` in the documentation; LangSmith knows no account of a provider, so it stands for the
account.

https://docs.langchain.com/langsmith/run-data-format
https://docs.langchain.com/langsmith/threads
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.encoded import UnparsableError, decoded
from refrain.dialects.inputs import read_input
from refrain.dialects.paths import first

NOT_A_CALL = Passed("not a model call")
_TYPES = frozenset({"llm", "chain", "tool", "retriever", "embedding", "prompt", "parser"})
_METADATA = ("extra.metadata", "metadata")
_PATHS: Mapping[str, tuple[str, ...]] = {
    "request_id": ("id",),
    "timestamp": ("start_time",),
    "account_id": tuple(f"{holder}.{name}" for holder in _METADATA for name in ("user_id", "userId")),
    "end_user": tuple(f"{holder}.{name}" for holder in _METADATA for name in ("end_user", "end_user_id")),
    "conversation_id": tuple(
        f"{holder}.{name}" for holder in _METADATA for name in ("session_id", "thread_id", "conversation_id")
    ),
    "model": (
        "extra.metadata.ls_model_name",
        "metadata.ls_model_name",
        "extra.invocation_params.model",
        "extra.invocation_params.model_name",
    ),
    "tokens_in": ("prompt_tokens",),
    "tokens_out": ("completion_tokens",),
}


def recognises(raw: Mapping[str, Any]) -> bool:
    """Whether a record is a run of LangSmith."""
    kind = raw.get("run_type")
    return (
        isinstance(kind, str)
        and kind in _TYPES
        and {"id", "inputs", "start_time"} <= raw.keys()
        and any(name in raw for name in ("trace_id", "dotted_order", "session_id", "session_name"))
    )


def read(raw: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    """The request of a run."""
    yield _request(raw)


def _request(raw: Mapping[str, Any]) -> Record | Bad | Passed:
    kind = raw.get("run_type")
    if not isinstance(kind, str):
        return Bad("run_type", "missing field" if kind is None else "wrong type")
    if kind not in _TYPES:
        return Bad("run_type", "unknown version")
    if kind != "llm":
        return NOT_A_CALL
    held = dict(raw)
    for name in ("extra", "metadata", "inputs"):  # JSON text in the bulk export's columns
        try:
            held[name] = decoded(raw.get(name))
        except UnparsableError:
            return Bad(name, "unparsable JSON")
    if not isinstance(held["inputs"], dict | list | None):
        return Bad("inputs", "wrong type")
    texts = read_input(held["inputs"], "inputs")
    if isinstance(texts, Bad):
        return texts
    found = {name: first((held,), *paths) for name, paths in _PATHS.items()}
    return {**{name: value for name, value in found.items() if value is not None}, **texts}


DIALECT = Dialect(
    name="langsmith",
    title="LangSmith runs",
    version=1,
    recognises=recognises,
    read=read,
    fields={
        **_PATHS,
        "messages": ("inputs.messages", "inputs.input"),
        "prompt": ("inputs.prompt", "inputs.prompts"),
        "system_prompt": ("inputs.system",),
    },
    naive_times="UTC",
)
