"""The requests of a portion whose format is a dialect, as a batch of our columns."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from refrain.batches import Batch, Fault, Reading
from refrain.columns import COLUMNS, TIMES
from refrain.contents import Raw
from refrain.dialects import Bad, Dialect, Passed, Record
from refrain.times import Clock, clock, read_time


def dialect_batch(records: Iterable[Raw | Fault], dialect: Dialect, reading: Reading) -> Batch:
    """The requests of raw records. What a record lacks is None; a time without a zone is in the zone that the format's
    documentation names, where it names one.

    A raw record that holds nothing is one that was passed over, so that every one of them is counted.
    """
    batch = Batch()
    found: list[Record] = []
    zone = _clock(dialect, reading)
    for raw in records:
        if isinstance(raw, Fault):
            batch.faults.append(raw)
            continue
        row, record = raw
        try:
            told = list(dialect.read(record))
        except Exception:  # noqa: BLE001 (a reader of somebody else's meets a record of anybody's: it costs the record)
            batch.faults.append(Fault(row, "unreadable by its format", record))
            continue
        shown: Any = record
        for one in told:
            if isinstance(one, Bad):
                batch.faults.append(Fault(row, one.reason, shown, one.field))
                shown = ""  # once is enough: a batch of a thousand spans is one record
            elif isinstance(one, Passed):
                batch.passed += 1
            else:
                batch.rows.append(row)
                found.append(one)
        batch.passed += not told
    names = [name for name in COLUMNS if any(name in record for record in found)]
    needed = {*reading.required, "timestamp", "prompt", "messages"}
    names += [name for name in COLUMNS if name in needed and name not in names]
    batch.columns = {name: [record.get(name) for record in found] for name in names}
    if zone is not None:
        for name in TIMES:
            if name in batch.columns:
                batch.columns[name] = [_placed(value, zone) for value in batch.columns[name]]
    return batch


def _clock(dialect: Dialect, reading: Reading) -> Clock | None:
    if not dialect.naive_times:
        return None
    return replace(reading.clock, zone=clock(dialect.naive_times, 2000, 2000).zone)


def _placed(value: Any, by: Clock) -> Any:
    """The value itself, or microseconds where it is a time without a zone."""
    if not isinstance(value, str | bytes):
        return value
    moment = read_time(value, by)
    return moment.micros if moment is not None and moment.naive else value
