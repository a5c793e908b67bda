"""Spans and log records of OpenTelemetry, from a batch of OTLP JSON or one by one as exporters flatten them.

OTLP JSON: `resourceSpans[].scopeSpans[].spans[]` and `resourceLogs[].scopeLogs[].logRecords[]`, attributes as a list
of key and value (`{"stringValue": ...}`), numbers of 64 bits as texts, times in nanoseconds.
https://github.com/open-telemetry/opentelemetry-proto/blob/main/docs/specification.md#json-protobuf-encoding

Flattened: a span a record, attributes as an object, as dotted columns or as columns that begin with `attributes.`; as
the SDK's console exporter, Phoenix and the collector's ClickHouse exporter (`SpanAttributes`) write them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refrain.dialects.dialect import Bad, Passed
from refrain.dialects.encoded import UnparsableError, decoded
from refrain.dialects.paths import find, first

NO_SPAN = Passed("no span")
# Events that hold one message of a call, of the conventions up to v1.36, and its role (None: an answer).
# https://github.com/open-telemetry/semantic-conventions/blob/v1.36.0/docs/gen-ai/gen-ai-events.md
MESSAGES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": None,
}
_DEEPEST = 16  # values inside values
_NANOSECONDS = 1000  # in a microsecond
_NUMBER_DIGITS = 20  # of a number of 64 bits
_MAPS = ("attributes", "SpanAttributes", "LogAttributes")
_RESOURCES = ("resource.attributes", "resource", "ResourceAttributes")
_NANO_TIMES = (
    "startTimeUnixNano", "start_time_unix_nano", "timeUnixNano", "time_unix_nano", "observedTimeUnixNano",
)  # fmt: skip
_TIMES = ("start_time", "startTime", "Timestamp", "timestamp", "time", "observed_timestamp")
_TRACES = ("traceId", "trace_id", "TraceId", "context.trace_id")
_SPANS = ("spanId", "span_id", "SpanId", "context.span_id")
_EVENT_NAMES = ("eventName", "event_name", "EventName")
_PREFIX = "attributes."


@dataclass(frozen=True)
class Event:
    """Something that a span or a log record tells: its name, attributes and body."""

    name: str
    attributes: Mapping[str, Any]
    body: Any = None


@dataclass(frozen=True)
class Span:
    """A span, or log records of one. `time` is in microseconds where the log counts nanoseconds, else as it is there.

    `where` is the path at which the log has it, for what cannot be read."""

    attributes: Mapping[str, Any]
    resource: Mapping[str, Any] = field(default_factory=dict)
    time: Any = None
    trace_id: Any = None
    span_id: Any = None
    events: tuple[Event, ...] = ()
    kind: Any = None
    where: str = ""

    def first(self, *paths: str) -> Any:
        """The first of these attributes that it has; those of the resource stand in for its own."""
        return first((self.attributes, self.resource), *paths)


def is_batch(raw: Mapping[str, Any]) -> bool:
    """Whether a record is a batch of OTLP JSON."""
    return isinstance(raw.get("resourceSpans"), list) or isinstance(raw.get("resourceLogs"), list)


def spans_of(raw: Mapping[str, Any]) -> Iterator[Span | Bad | Passed]:
    """The spans of a record in order; a NO_SPAN where it has none."""
    if "resourceSpans" in raw or "resourceLogs" in raw:
        found = False
        for resource, scope, item, make in (
            ("resourceSpans", "scopeSpans", "spans", _span),
            ("resourceLogs", "scopeLogs", "logRecords", _log),
        ):
            for span in _batch(raw, (resource, scope, item), make):
                found = True
                yield span
        if not found:
            yield NO_SPAN
    else:
        yield _flattened(raw)


def _batch(raw: Mapping[str, Any], names: tuple[str, str, str], make: Any) -> Iterator[Span | Bad]:
    resources, scopes, items = names
    told: dict[tuple[str, str], list[Span]] = {}
    for resource in _objects(raw, resources, resources):
        if isinstance(resource, Bad):
            yield resource
            continue
        shared = _shared(find(resource, "resource.attributes"))
        for scope in _objects(resource, scopes, f"{resources}.{scopes}"):
            if isinstance(scope, Bad):
                yield scope
                continue
            where = f"{resources}.{scopes}.{items}"
            for item in _objects(scope, items, where):
                span = item if isinstance(item, Bad) else make(item, shared, where)
                if isinstance(span, Bad) or not (make is _log and span.span_id and span.events[0].name in MESSAGES):
                    yield span
                    continue
                # The messages of one call are a log record each: what the same span tells belongs together.
                told.setdefault((str(span.trace_id), str(span.span_id)), []).append(span)
    yield from map(_together, told.values())


def _together(spans: list[Span]) -> Span:
    """One span with the events of all; the first that says something counts."""
    attributes = {name: value for span in reversed(spans) for name, value in span.attributes.items()}
    return replace(spans[0], attributes=attributes, events=tuple(event for span in spans for event in span.events))


def _objects(holder: Mapping[str, Any], name: str, where: str) -> Iterator[Mapping[str, Any] | Bad]:
    """The objects in a list; Bad for each thing that is none, and for a list that is none."""
    given = holder.get(name)
    if given is None:
        return
    if not isinstance(given, list):
        yield Bad(where, "wrong type")
        return
    for item in given:
        yield item if isinstance(item, dict) else Bad(where, "wrong type")


def _shared(given: Any) -> Mapping[str, Any]:
    """A resource's attributes; none where they cannot be read, since its spans can do without."""
    found = attributes_of(given, "")
    return {} if isinstance(found, Bad) else found


def _span(item: Mapping[str, Any], resource: Mapping[str, Any], where: str) -> Span | Bad:
    attributes = attributes_of(item.get("attributes"), f"{where}.attributes")
    if isinstance(attributes, Bad):
        return attributes
    events = _events(item.get("events"))
    return Span(attributes, resource, _time(item), item.get("traceId"), item.get("spanId"), events, None, where)


def _log(item: Mapping[str, Any], resource: Mapping[str, Any], where: str) -> Span | Bad:
    attributes = attributes_of(item.get("attributes"), f"{where}.attributes")
    if isinstance(attributes, Bad):
        return attributes
    event = _event(item, attributes)
    return Span(attributes, resource, _time(item), item.get("traceId"), item.get("spanId"), (event,), None, where)


def _flattened(raw: Mapping[str, Any]) -> Span | Bad:
    """A record that is one span or log record."""
    attributes: dict[str, Any] = {}
    for name, value in raw.items():
        if not isinstance(name, str) or value is None:
            continue
        if name.startswith(_PREFIX):
            attributes[name[len(_PREFIX) :]] = value
        elif "." in name or isinstance(value, dict):
            attributes.setdefault(name, value)
    for name in _MAPS:
        held = attributes_of(raw.get(name), name)
        if isinstance(held, Bad):
            return held
        attributes.update(held)
    resource = _shared(first((raw,), *_RESOURCES))
    named = first((raw, attributes), *_EVENT_NAMES, "event.name")
    told = _events(raw.get("events"))
    if isinstance(named, str):
        told = (*told, _event(raw, attributes))
    return Span(
        attributes,
        resource,
        _time(raw),
        first((raw,), *_TRACES),
        first((raw,), *_SPANS),
        told,
        raw.get("span_kind"),
        "attributes",
    )


def _event(item: Mapping[str, Any], attributes: Mapping[str, Any]) -> Event:
    name = first((item, attributes), *_EVENT_NAMES, "event.name")
    body = item.get("body", item.get("Body"))
    return Event(name if isinstance(name, str) else "", attributes, _value(body, _DEEPEST))


def _events(given: Any) -> tuple[Event, ...]:
    """The events of a span that can be read; nothing of a request hangs on the others."""
    try:
        given = decoded(given)
    except UnparsableError:
        return ()
    if not isinstance(given, list):
        return ()
    found = []
    for item in given:
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            attributes = attributes_of(item.get("attributes"), "events.attributes")
            if not isinstance(attributes, Bad):
                found.append(Event(item["name"], attributes))
    return tuple(found)


def attributes_of(given: Any, where: str) -> Mapping[str, Any] | Bad:
    """Attributes as an object, from an object, a list of keys and values, or JSON text of either."""
    try:
        given = decoded(given)
    except UnparsableError:
        return Bad(where, "unparsable JSON")
    if given is None:
        return {}
    if isinstance(given, dict):
        return given
    if not isinstance(given, list):
        return Bad(where, "wrong type")
    found: dict[str, Any] = {}
    for item in given:
        if isinstance(item, dict) and isinstance(item.get("key"), str):
            found[item["key"]] = _value(item.get("value"), _DEEPEST)
        elif isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str):  # noqa: PLR2004 (a map's)
            found[item[0]] = item[1]
        else:
            return Bad(where, "wrong type")
    return found


def _value(given: Any, depth: int) -> Any:
    """The value of an AnyValue; another value as it is."""
    if not isinstance(given, dict) or len(given) != 1 or not depth:
        return given
    ((kind, value),) = given.items()
    match kind:
        case "stringValue" | "boolValue" | "doubleValue" | "bytesValue":
            return value
        case "intValue":
            short = isinstance(value, str) and len(value) <= _NUMBER_DIGITS and value.removeprefix("-").isdecimal()
            return int(value) if short else value
        case "arrayValue":
            values = value.get("values") if isinstance(value, dict) else None
            return [_value(item, depth - 1) for item in values] if isinstance(values, list) else []
        case "kvlistValue":
            values = value.get("values") if isinstance(value, dict) else None
            pairs = values if isinstance(values, list) else []
            return {
                item["key"]: _value(item.get("value"), depth - 1)
                for item in pairs
                if isinstance(item, dict) and isinstance(item.get("key"), str)
            }
    return given


def _time(item: Mapping[str, Any]) -> Any:
    """When it began: by the schema in nanoseconds, turned into microseconds, else whatever the log writes."""
    for name in _NANO_TIMES:
        given = item.get(name)
        if given in (None, "", 0, "0"):
            continue
        if isinstance(given, str) and len(given) <= _NUMBER_DIGITS and given.isascii() and given.isdigit():
            given = int(given)
        if isinstance(given, int) and not isinstance(given, bool):
            return given // _NANOSECONDS
        return given
    return first((item,), *_TIMES)
