"""OpenTelemetry's conventions for generative AI: spans and events, as OTLP JSON or flattened."""

from collections.abc import Mapping
from typing import Any

from refrain.dialects.dialect import Dialect
from refrain.dialects.gen_ai_spans import ATTRIBUTES
from refrain.dialects.otlp import is_batch
from refrain.dialects.span_requests import conventions, paths, read


def recognises(raw: Mapping[str, Any]) -> bool:
    """Whether a record is a batch of OTLP JSON or a flattened span with `gen_ai.*`, and none of OpenInference."""
    found = conventions(raw)
    return "openinference" not in found and ("gen_ai" in found or is_batch(raw))


DIALECT = Dialect(
    name="otel",
    title="OpenTelemetry GenAI spans (OTLP JSON or flattened)",
    version=2,
    recognises=recognises,
    read=read,
    fields={
        "request_id": ("traceId and spanId",),
        "timestamp": ("startTimeUnixNano", "timeUnixNano", "observedTimeUnixNano", "start_time", "Timestamp"),
        "messages": (
            "gen_ai.input.messages",
            "gen_ai.prompt.N",
            "gen_ai.prompt",
            "event gen_ai.content.prompt",
            "event gen_ai.user.message",
        ),
        "prompt": ("gen_ai.prompt",),
        "system_prompt": ("gen_ai.system_instructions",),
        "prompt_template": ("traceloop.prompt.template",),
        **ATTRIBUTES,
    },
    paths=paths,
)
