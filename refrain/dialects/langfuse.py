"""Langfuse's exports: traces and observations, of the blob storage, the API and the page, as JSON, JSONL, CSV, Parquet.

A generation is a call of a model. The older export of observations names no user: it is looked up at the trace, which
the same log must hold (refrain.dialects.joining). A trace is a request itself where the log has no generation of it.
The user is whom the application names; Langfuse knows no account of a provider, so it stands for the account.

https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields
https://github.com/langfuse/langfuse/tree/main/worker/src/features/database-read-stream
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Facts, Join, Lookup, Passed, Record
from refrain.dialects.encoded import UnparsableError, decoded
from refrain.dialects.inputs import read_input
from refrain.dialects.joining import nothing_known
from refrain.dialects.otlp import attributes_of
from refrain.dialects.paths import first

NO_TRACE = Bad("traceId", "no trace")
NOT_A_CALL = Passed("not a model call")
TOLD = Passed("a trace whose generations are read")
_TYPES = frozenset(
    {"SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"}
)
_USER, _SESSION, _TRACE = ("userId", "user_id"), ("sessionId", "session_id"), ("traceId", "trace_id")
_OWN = ("parentObservationId", "parent_observation_id", "projectId", "project_id", "environment")
_TIME = ("startTime", "start_time", "timestamp")
_MODEL = ("model", "providedModelName", "provided_model_name")
_TOKENS_IN = ("usageDetails.input", "usage_details.input", "inputUsage", "usage.input", "promptTokens")
_TOKENS_OUT = ("usageDetails.output", "usage_details.output", "outputUsage", "usage.output", "completionTokens")
_GENERATION, _SESSION_FACT, _TRACE_FACT, _USER_FACT = "generation", "session", "trace", "user"


def recognises(raw: Mapping[str, Any]) -> bool:
    """Whether a record is an observation or a trace of Langfuse, or lies beside them in an export."""
    return _is_observation(raw) or _is_trace(raw) or _is_beside(raw)


def _is_beside(raw: Mapping[str, Any]) -> bool:
    """Whether a record is a score, or the list of the files of an export."""
    names = raw.keys()
    score = {"id", "name", "source", "timestamp", "value"} <= names and bool({"data_type", "dataType"} & names)
    return score or {"exportSource", "files", "tables"} <= names


def _is_observation(raw: Mapping[str, Any]) -> bool:
    kind = raw.get("type")
    return (
        isinstance(kind, str)
        and kind in _TYPES
        and all(any(name in raw for name in names) for names in (("id",), _TRACE, _TIME[:2], _OWN))
    )


def _is_trace(raw: Mapping[str, Any]) -> bool:
    # A cell of CSV that is empty is not there at all, so neither its user nor its release can be asked for.
    return (
        {"id", "timestamp", "public"} <= raw.keys()
        and bool({"bookmarked", "release"} & raw.keys())
        and not any(name in raw for name in (*_TRACE, *_TIME[:2]))
    )


def trace_key(raw: Mapping[str, Any]) -> str | None:
    """The id of the trace that a record is, or belongs to; None where it has none."""
    key = raw.get("id") if _is_trace(raw) else first((raw,), *_TRACE)
    return key if isinstance(key, str) and key else None


def trace_facts(raw: Mapping[str, Any]) -> Facts:
    """What a record says of its trace: the user and session of a trace, that an observation is a generation."""
    if _is_trace(raw):
        found = {_USER_FACT: _plain(raw, _USER), _SESSION_FACT: _plain(raw, _SESSION), _TRACE_FACT: True}
        inner = any(_is_generation(item) for item in _observations(raw))
        return {**found, **({_GENERATION: True} if inner else {})}
    return {_GENERATION: True} if _is_generation(raw) else {}


def _plain(raw: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """An id as it is; an empty list, which the intake refuses as one of a wrong type, for what can be none."""
    value = first((raw,), *names)
    return value if isinstance(value, str | int | float | None) and not isinstance(value, bool) else []


def tell(raw: Mapping[str, Any]) -> Iterator[tuple[str, Facts]]:
    """The trace's id and what the record says of it, where it says something."""
    key = trace_key(raw)
    if key is not None and (found := trace_facts(raw)):
        yield key, found


def read_joined(raw: Mapping[str, Any], lookup: Lookup) -> Iterator[Record | Bad | Passed]:
    """The requests of a record, with what the log says of its trace."""
    if _is_trace(raw):
        yield from _trace(raw, lookup)
    elif _is_beside(raw):
        yield NOT_A_CALL
    else:
        yield _observation(raw, lookup)


def read(raw: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    """The requests of a record alone: an observation without a user has no trace then."""
    return read_joined(raw, nothing_known)


def _trace(raw: Mapping[str, Any], lookup: Lookup) -> Iterator[Record | Bad | Passed]:
    """A trace downloaded with its observations, or one that may have some elsewhere in the log."""
    inner = _observations(raw)
    own = trace_facts(raw)
    if any(_is_generation(item) for item in inner):
        yield TOLD
        for item in inner:
            yield _observation(item, lambda _: own)
        return
    key = trace_key(raw)
    known = None if key is None else lookup(key)
    if known is not None and known.get(_GENERATION):
        yield TOLD
    else:
        texts = read_input(raw.get("input"), "input")
        yield texts if isinstance(texts, Bad) else {**_columns(raw, own), **texts}


def _observation(raw: Any, lookup: Lookup) -> Record | Bad | Passed:
    kind = raw.get("type") if isinstance(raw, dict) else None
    if not isinstance(kind, str):
        return Bad("type", "missing field" if kind is None else "wrong type")
    if kind not in _TYPES:
        return Bad("type", "unknown version")
    if kind != "GENERATION":
        return NOT_A_CALL
    facts: Facts = {_USER_FACT: first((raw,), *_USER), _SESSION_FACT: first((raw,), *_SESSION)}
    if facts[_USER_FACT] is None:
        key = trace_key(raw)
        known = None if key is None else lookup(key)
        if known is not None and known.get(_TRACE_FACT):
            facts = {**known, **{name: value for name, value in facts.items() if value is not None}}
        elif not any(name in raw for name in _USER):
            return NO_TRACE
    texts = read_input(raw.get("input"), "input")
    return texts if isinstance(texts, Bad) else {**_columns(raw, facts), **texts}


def _columns(raw: Mapping[str, Any], facts: Facts) -> Record:
    usage = {name: _mapping(raw[name]) for name in ("usageDetails", "usage_details", "usage") if name in raw}
    details = {**raw, **usage}
    found = {
        "request_id": raw.get("id"),
        "account_id": facts.get(_USER_FACT),
        "timestamp": first((raw,), *_TIME),
        "conversation_id": facts.get(_SESSION_FACT) or None,
        "model": first((raw,), *_MODEL) or None,
        "tokens_in": first((details,), *_TOKENS_IN),
        "tokens_out": first((details,), *_TOKENS_OUT),
    }
    # An account that the trace leaves out is none; everything else is absent.
    return {name: value for name, value in found.items() if value is not None or name == "account_id"}


def _mapping(value: Any) -> Mapping[str, Any]:
    """An object, which CSV holds as JSON text and Parquet as pairs."""
    found = attributes_of(value, "")
    return {} if isinstance(found, Bad) else found


def _observations(raw: Mapping[str, Any]) -> list[Any]:
    """The observations that a downloaded trace holds; the API lists their ids alone."""
    try:
        held = decoded(raw.get("observations"))
    except UnparsableError:
        return []
    return held if isinstance(held, list) and any(isinstance(item, dict) for item in held) else []


def _is_generation(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "GENERATION"


DIALECT = Dialect(
    name="langfuse",
    title="Langfuse export (traces, observations)",
    version=1,
    recognises=recognises,
    read=read,
    fields={
        "request_id": ("id",),
        "account_id": (*_USER, "userId of the trace"),
        "timestamp": _TIME,
        "messages": ("input",),
        "prompt": ("input",),
        "system_prompt": ("input.system",),
        "conversation_id": (*_SESSION, "sessionId of the trace"),
        "model": _MODEL,
        "tokens_in": _TOKENS_IN,
        "tokens_out": _TOKENS_OUT,
    },
    naive_times="UTC",
    join=Join(tell, read_joined),
)
