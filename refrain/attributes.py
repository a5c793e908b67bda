"""What a record says beside who, when and what: labels, exit network, counts, the account's own times.

All of it may be missing or odd without costing the record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

from refrain.batches import MISSING, Batch
from refrain.columns import COUNTS, LABELS
from refrain.config import IngestConfig
from refrain.fields import LARGEST_COUNT, Field, all_plain, read_count, read_label
from refrain.networks import exit_network
from refrain.systems import read_system
from refrain.times import Clock, all_believed, read_time

_REMEMBERED = 100_000  # labels whose coercion is remembered; only speed depends on it
NAMES = (*LABELS, "exit_network", *COUNTS, "created", "closed")


@dataclass(frozen=True)
class Attributes:
    """The records' values: a column for each of NAMES (times in microseconds, None where there is none), and which
    records had something mended or cut."""

    columns: tuple[Sequence[Any], ...]
    mended: bytearray
    cut: bytearray

    def column(self, name: str) -> Sequence[Any]:
        """One of the columns."""
        return self.columns[NAMES.index(name)]


class AttributeReader:
    """Reads batches column by column and remembers the labels that it has seen."""

    def __init__(self, config: IngestConfig, by: Clock, key: bytes) -> None:
        self._config, self._clock, self._key = config, by, key
        self._labels: dict[str | None, Field] = {}

    def read(self, batch: Batch) -> Attributes:
        """The attributes of every record of a batch."""
        size = len(batch.rows)
        mended, cut = bytearray(size), bytearray(size)
        columns: list[Sequence[Any]] = []
        for name in LABELS:
            given = batch.columns.get(name)
            columns.append(self._systems(given, mended, cut) if name == "asn" else self._texts(given, mended, cut))
        prefixes = self._config.ipv4_prefix, self._config.ipv6_prefix
        addresses, networks = (columns[LABELS.index(name)] for name in ("ip", "network"))
        columns.append(
            [
                exit_network(address, *prefixes) if given is None else given
                for address, given in zip(addresses, networks, strict=True)
            ]
        )
        columns += [_counts(batch.columns.get(name), mended) for name in COUNTS]
        times = ("account_created_at", "account_closed_at")
        columns += [self._moments(batch.columns.get(name), mended) for name in times]
        return Attributes(tuple(columns), mended, cut)

    def _texts(self, given: list[Any] | None, mended: bytearray, cut: bytearray) -> Sequence[str | None]:
        if given is None:
            return [None] * len(mended)
        if all_plain(given, self._config.max_field_characters):
            return given
        return _flagged([self._label(value) for value in given], mended, cut)

    def _systems(self, given: list[Any] | None, mended: bytearray, cut: bytearray) -> Sequence[str | None]:
        if given is None:
            return [None] * len(mended)
        limit = self._config.max_field_characters
        return _flagged([read_system(value, limit, self._key) for value in given], mended, cut)

    def _moments(self, given: list[Any] | None, mended: bytearray) -> Sequence[int | None]:
        if given is None:
            return [None] * len(mended)
        if all_believed(given, self._clock):
            return given
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


def _flagged(fields: list[Field], mended: bytearray, cut: bytearray) -> Sequence[str | None]:
    """The texts; what was done to get them is noted."""
    for at, field in enumerate(fields):
        if field.mended or field.cut:
            mended[at] |= field.mended
            cut[at] |= field.cut
    return [field.text for field in fields]


def _counts(given: list[Any] | None, mended: bytearray) -> Sequence[int | None]:
    if given is None:
        return [None] * len(mended)
    if set(map(type, given)) <= {int, NoneType}:
        whole = [value for value in given if value is not None]
        if not whole or (min(whole) >= 0 and max(whole) <= LARGEST_COUNT):
            return given
    counts = [read_count(value) for value in given]
    for at, (_, odd) in enumerate(counts):
        mended[at] |= odd
    return [count for count, _ in counts]
