"""OpenInference: spans as Phoenix and Arize keep them, as OTLP JSON, JSON of the API, or a dataframe's columns."""

from collections.abc import Mapping
from typing import Any

from refrain.dialects.dialect import Dialect
from refrain.dialects.openinference_spans import ATTRIBUTES
from refrain.dialects.span_requests import conventions, paths, read


def recognises(raw: Mapping[str, Any]) -> bool:
    """Whether a record holds a span with a kind of OpenInference."""
    return "openinference" in conventions(raw)


DIALECT = Dialect(
    name="openinference",
    title="OpenInference spans (Phoenix, Arize)",
    version=2,
    recognises=recognises,
    read=read,
    fields={
        "request_id": ("traceId and spanId",),
        "timestamp": ("start_time", "startTimeUnixNano"),
        "messages": ("llm.input_messages", "llm.input_messages.N", "input.value"),
        "prompt": ("llm.prompts", "llm.prompts.N", "input.value", "llm.prompt_template.template"),
        "system_prompt": ("input.value",),
        "prompt_template": ("llm.prompt_template.template",),
        **ATTRIBUTES,
    },
    paths=paths,
)
