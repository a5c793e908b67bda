"""Records that cannot be used: where each stood, why, and enough of it to recognise it."""

import json
from collections import Counter
from typing import Any

import pyarrow as pa

from refrain.batches import MISSING
from refrain.errors import InputError
from refrain.text import repair

CONFLICT = "duplicate id, different content"
TORN = "torn file"
# The record has not the form of a record: many of these mean the wrong file or the wrong mapping.
STRUCTURAL = frozenset(
    {
        "over-long record",
        "unparsable record",
        "no object",
        "wrong number of fields",
        "missing column",
        "missing field",
        "unknown version",
        "unparsable JSON",
        "unreadable by its format",
        "wrong type",
        "unreadable time",
        TORN,
    }
)
SCHEMA = pa.schema(
    [
        pa.field("file", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("request_id", pa.string()),
        pa.field("content", pa.string(), nullable=False),
    ]
)
_REASONS_SHOWN = 3


class Quarantine:
    """Counts refused records and holds the newest until they are drained."""

    def __init__(self, content_characters: int) -> None:
        self.reasons: Counter[tuple[str, str]] = Counter()
        self._limit = content_characters
        self._rows: list[dict[str, Any]] = []

    def add(self, file: str, row: int, field: str, reason: str, request_id: str | None, content: Any) -> None:
        """Refuses one record; `content` is the record, or what could be seen of it."""
        self.reasons[reason, field] += 1
        shown = record_json(content, self._limit)
        self._rows.append(
            {"file": file, "row": row, "field": field, "reason": reason, "request_id": request_id, "content": shown}
        )

    def drain(self) -> pa.Table:
        """The records since the last call."""
        rows, self._rows = self._rows, []
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    @property
    def total(self) -> int:
        """Records refused so far."""
        return self.reasons.total()

    @property
    def structural(self) -> int:
        """Those among them that have not the form of a record."""
        return sum(count for (reason, _), count in self.reasons.items() if reason in STRUCTURAL)

    def summary(self) -> str:
        """The most frequent reasons with their counts, without a word of the log."""
        ranked = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))[:_REASONS_SHOWN]
        return "; ".join(f"{reason}{f' ({field})' if field else ''}: {count:,}" for (reason, field), count in ranked)

    def check(self, read: int, share: float) -> None:
        """Nothing; InputError where more than `share` of the `read` records are structurally broken."""
        if read and self.structural > share * read:
            raise InputError(
                f"{self.structural:,} of {read:,} records ({self.structural / read:.1%}) are structurally broken, "
                f"more than the {share:.1%} of ingest.max_structural_error_share: {self.summary()}",
                hint="other column names are mapped in [ingest.columns]; other endings name other formats",
            )


def record_json(record: Any, limit: int) -> str:
    """A record as at most `limit` characters of JSON, valid text whatever it held."""
    if isinstance(record, bytes):
        record = repair(record[: limit * 4])[0]  # four bytes a character at most
    if isinstance(record, dict):
        given = ((key, value) for key, value in record.items() if value is not MISSING and value is not None)
        record = {key: _shortened(value, limit) for key, value in given}
    try:
        text = json.dumps(_shortened(record, limit), ensure_ascii=False, default=str)
    except RecursionError:  # decoded with a few frames less than there are here
        text = '"nested too deeply to be shown"'
    return repair(text)[0][:limit]


def _shortened(value: Any, limit: int) -> Any:
    """A long text or list cut before it is copied into JSON."""
    return value[:limit] if isinstance(value, str | bytes | list) else value
