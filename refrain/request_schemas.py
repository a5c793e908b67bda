"""The columns of the tables that an ingest leaves, as docs/architecture.md describes them."""

import pyarrow as pa

from refrain.columns import COUNTS, LABELS

_TIME = pa.timestamp("us", tz="UTC")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


REQUESTS = pa.schema(
    [
        _required("request_row", pa.int64()),
        _required("request_id", pa.string()),
        _required("account_row", pa.int64()),
        _required("timestamp", _TIME),
        *(pa.field(name, pa.string()) for name in LABELS),
        *(pa.field(name, pa.int64()) for name in COUNTS),
        pa.field("prompt_text_row", pa.int64()),
        pa.field("system_text_row", pa.int64()),
        _required("cut", pa.bool_()),
        _required("repaired", pa.bool_()),
    ]
)
REQUEST_SEGMENTS = pa.schema(
    [
        _required("request_row", pa.int64()),
        _required("position", pa.int32()),
        _required("role", pa.string()),
        _required("turn", pa.int32()),
        _required("segment_row", pa.int64()),
        _required("counted", pa.bool_()),
    ]
)
SEGMENTS = pa.schema(
    [
        _required("segment_row", pa.int64()),
        _required("digest", pa.binary(16)),
        _required("text", pa.string()),
        _required("raw", pa.string()),
        _required("words", pa.int32()),
        _required("requests", pa.int64()),
        _required("accounts", pa.int64()),
        _required("owners", pa.int64()),
        _required("first_seen", _TIME),
        _required("last_seen", _TIME),
    ]
)
ACCOUNTS = pa.schema(
    [
        _required("account_row", pa.int64()),
        _required("account_id", pa.string()),
        _required("owner_row", pa.int64()),
        _required("requests", pa.int64()),
        _required("first_seen", _TIME),
        _required("last_seen", _TIME),
        pa.field("created_at", _TIME),
        pa.field("closed_at", _TIME),
    ]
)
OWNERS = pa.schema(
    [_required("owner_row", pa.int64()), _required("accounts", pa.int64()), _required("kind", pa.string())]
)
TEXTS = pa.schema(
    [_required("text_row", pa.int64()), _required("digest", pa.binary(16)), _required("text", pa.string())]
)
