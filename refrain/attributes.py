"""What a record says beside who, when and what: labels, exit network, counts, the account's own times.

All of it may be missing or odd without costing the record.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from refrain.batches import MISSING, Batch
from refrain.columns import COUNTS, LABELS
from refrain.config import IngestConfig
from refrain.fields import Field, read_count, read_label
from refrain.owners import exit_network
from refrain.times import Clock, read_time

_REMEMBERED = 100_000  # labels whose coercion is remembered; only speed depends on it


class Attribute(NamedTuple):
    """One record's values: LABELS, network, COUNTS, created and closed in microseconds; None where there is none."""

    values: tuple[Any, ...]
    mended: bool
    cut: bool


class Attributes:
    """Reads batches column by column and remembers the labels that it has seen."""

    def __init__(self, config: IngestConfig, by: Clock, key: bytes) -> None:
        self._config, self._clock, self._key = config, by, key
        self._labels: dict[str | None, Field] = {}

    def read(self, batch: Batch) -> list[Attribute]:
        """The attributes of every record of a batch."""
        size = len(batch.rows)
        mended, cut = bytearray(size), bytearray(size)
        columns: list[Sequence[Any]] = [self._texts(batch.columns.get(name), mended, cut) for name in LABELS]
        prefixes = self._config.ipv4_prefix, self._config.ipv6_prefix
        columns.append([exit_network(address, *prefixes) for address in columns[LABELS.index("ip")]])
        columns += [_counts(batch.columns.get(name), mended) for name in COUNTS]
        times = ("account_created_at", "account_closed_at")
        columns += [self._moments(batch.columns.get(name), mended) for name in times]
        rows = zip(*columns, strict=True)
        return [Attribute(row, bool(m), bool(c)) for row, m, c in zip(rows, mended, cut, strict=True)]

    def _texts(self, given: list[Any] | None, mended: bytearray, cut: bytearray) -> Sequence[str | None]:
        if given is None:
            return [None] * len(mended)
        fields = [self._label(value) for value in given]
        for at, field in enumerate(fields):
            if field.mended or field.cut:
                mended[at] |= field.mended
                cut[at] |= field.cut
        return [field.text for field in fields]

    def _moments(self, given: list[Any] | None, mended: bytearray) -> Sequence[int | None]:
        if given is None:
            return [None] * len(mended)
        moments = [None if value is None or value is MISSING else read_time(value, self._clock) for value in given]
        for at, (value, moment) in enumerate(zip(given, moments, strict=True)):
            mended[at] |= moment is None and value is not None and value is not MISSING
        return [moment.micros if moment else None for moment in moments]

    def _label(self, value: object) -> Field:
        if not isinstance(value, str | None):
            return read_label(value, self._config.max_field_characters, self._key)
        found = self._labels.get(value)
        if found is None:
            if len(self._labels) >= _REMEMBERED:
                self._labels.clear()
            found = self._labels[value] = read_label(value, self._config.max_field_characters, self._key)
        return found


def _counts(given: list[Any] | None, mended: bytearray) -> Sequence[int | None]:
    if given is None:
        return [None] * len(mended)
    counts = [read_count(value) for value in given]
    for at, (_, odd) in enumerate(counts):
        mended[at] |= odd
    return [count for count, _ in counts]
