"""The requests of a record that holds spans, each read by the conventions that it follows.

One collector writes the spans of many applications into one file; so both formats of spans read both conventions.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects import gen_ai_spans, openinference_spans
from refrain.dialects.dialect import Bad, Passed, Record
from refrain.dialects.otlp import Span, spans_of
from refrain.dialects.paths import names

_TIMES = {"resourceSpans.scopeSpans.spans": "startTimeUnixNano", "resourceLogs.scopeLogs.logRecords": "timeUnixNano"}


def read(raw: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    """The requests of a record's spans, in order."""
    for span in spans_of(raw):
        if not isinstance(span, Span):
            yield span
        elif openinference_spans.span_kind(span) is None:
            yield gen_ai_spans.request_of(span)
        else:
            yield openinference_spans.request_of(span)


def paths(raw: Mapping[str, Any]) -> Iterator[str]:
    """What a record has, as the fields of the formats name it: attributes wherever they stand, events, ids, times."""
    for span in spans_of(raw):
        if isinstance(span, Span):
            yield from names(span.resource)
            yield from names(span.attributes)
            yield from (f"event {event.name}" for event in span.events if event.name)
            if span.trace_id and span.span_id:
                yield "traceId and spanId"
            if span.time is not None and span.where in _TIMES:
                yield _TIMES[span.where]
    yield from (name for name, value in raw.items() if not isinstance(value, list | dict))


def conventions(raw: Mapping[str, Any]) -> frozenset[str]:
    """The conventions that a record's spans follow: "openinference", "gen_ai"."""
    found = set()
    for span in spans_of(raw):
        if isinstance(span, Span):
            if openinference_spans.span_kind(span) is not None:
                found.add("openinference")
            elif gen_ai_spans.has_gen_ai(span.attributes) or any(
                event.name.removeprefix("event.").startswith("gen_ai.") for event in span.events
            ):
                found.add("gen_ai")
    return frozenset(found)
