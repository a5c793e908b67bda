"""Amazon Bedrock's model invocation logs, as they lie in S3 or come out of CloudWatch Logs.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html; in CloudWatch a record is the text
of an event (`message`, in Insights `@message`, in a subscription `logEvents`). A body of more than 100 kB lies in an
object of its own (`inputBodyS3Path`) and is not in the log.

The account is the caller (`identity.arn`), the AWS account (`accountId`) its organisation: principals of one AWS
account openly belong together. `api_key_id` is the caller without the name of its session, as roles change that.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from refrain.dialects.dialect import Bad, Dialect, Passed, Record
from refrain.dialects.encoded import UnparsableError
from refrain.dialects.json_values import first, given, mapping, parsed, told
from refrain.dialects.request_bodies import has_text, read_body

_TYPE = "ModelInvocationLog"
_INPUT = ("inputBodyJson", "inputBodyS3Path", "inputContentType")
_TEXTS = ("message", "@message")  # fields of CloudWatch that hold a record as text
_MAJOR = "1"  # of schemaVersion
_NO_PROMPT = ("embed", "rerank")  # in the names of models that answer no prompt
_ROLE = ":assumed-role/"


def _recognises(raw: Mapping[str, Any]) -> bool:
    if isinstance(raw.get("logEvents"), list):
        return any(isinstance(event, Mapping) and _recognises(event) for event in raw["logEvents"])
    text = given(raw, *_TEXTS)
    if isinstance(text, str):
        return f'"{_TYPE}"' in text
    return raw.get("schemaType") == _TYPE or (
        "modelId" in raw and isinstance(raw.get("input"), Mapping) and any(name in raw["input"] for name in _INPUT)
    )


def _read(raw: Mapping[str, Any]) -> Iterator[Record | Bad | Passed]:
    events = raw.get("logEvents")
    if not isinstance(events, list):
        yield _request(raw)
        return
    for event in events:
        yield _request(event) if isinstance(event, Mapping) else Bad("logEvents", "wrong type")


def _request(raw: Mapping[str, Any]) -> Record | Bad | Passed:
    name = next((name for name in _TEXTS if isinstance(raw.get(name), str)), "")
    if name and "modelId" not in raw:
        try:
            inner = parsed(raw[name])
        except UnparsableError:
            return Bad(name, "unparsable JSON")
        if not isinstance(inner, Mapping) or inner.get("schemaType") != _TYPE:
            return Passed("not a model call")  # CloudWatch's own lines, such as a test of the permission
        raw = inner
    version = raw.get("schemaVersion")
    if version is not None and str(version).partition(".")[0] != _MAJOR:
        return Bad("schemaVersion", "unknown version")
    model = raw.get("modelId")
    if isinstance(model, str) and any(part in model.lower() for part in _NO_PROMPT):
        return Passed("not a model call")
    said = _said(mapping(raw.get("input")))
    if isinstance(said, Bad):
        return said
    caller = first(mapping(raw.get("identity")).get("arn"), raw.get("accountId"))
    values = {
        "request_id": raw.get("requestId"),
        "account_id": caller,
        "timestamp": raw.get("timestamp"),
        "model": model,
        "org_id": raw.get("accountId"),
        "api_key_id": _principal(caller),
        "tokens_in": mapping(raw.get("input")).get("inputTokenCount"),
        "tokens_out": mapping(raw.get("output")).get("outputTokenCount"),
    }
    return said | told(values)


def _said(held: Mapping[str, Any]) -> Record | Bad:
    """The texts of a request, and the end user that its body names."""
    try:
        body = parsed(held.get("inputBodyJson"))
    except UnparsableError:
        return Bad("input.inputBodyJson", "unparsable JSON")
    if body is None:
        elsewhere = held.get("inputBodyS3Path")
        return (
            Bad("input.inputBodyS3Path", "kept elsewhere") if elsewhere else Bad("input.inputBodyJson", "missing field")
        )
    if not isinstance(body, Mapping):
        return Bad("input.inputBodyJson", "wrong type")
    said = read_body(body)
    return said if has_text(said) else Bad("input.inputBodyJson", "missing field")


def _principal(caller: object) -> Any:
    """The caller without its session: arn:aws:sts::1:assumed-role/name, of a user the whole name."""
    if not isinstance(caller, str) or _ROLE not in caller:
        return caller
    before, _, after = caller.partition(_ROLE)
    return f"{before}{_ROLE}{after.partition('/')[0]}"


DIALECT = Dialect(
    name="bedrock",
    title="Amazon Bedrock model invocation logs",
    version=1,
    recognises=_recognises,
    read=_read,
    fields={
        "request_id": ("requestId",),
        "account_id": ("identity.arn", "accountId"),
        "timestamp": ("timestamp",),
        "prompt": ("input.inputBodyJson.prompt", "input.inputBodyJson.inputText"),
        "system_prompt": ("input.inputBodyJson.system", "input.inputBodyJson.preamble"),
        "messages": ("input.inputBodyJson.messages", "input.inputBodyJson.message"),
        "model": ("modelId",),
        "org_id": ("accountId",),
        "api_key_id": ("identity.arn",),
        "end_user": ("input.inputBodyJson.metadata.user_id",),
        "tokens_in": ("input.inputTokenCount",),
        "tokens_out": ("output.outputTokenCount",),
    },
    naive_times="UTC",
)
