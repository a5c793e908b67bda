"""Who asked, when, and under what id: the values that a record cannot do without, a column at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from refrain.batches import MISSING, Batch
from refrain.config import IngestConfig
from refrain.fields import Field, all_plain, read_id
from refrain.times import Clock, all_believed, read_time


@dataclass
class Refusals:
    """The records of a batch that go to quarantine: the field and the reason, the first that was found for each."""

    found: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, at: int, name: str, reason: str) -> None:
        """Refuses a record, unless it is refused already."""
        self.found.setdefault(at, (name, reason))


@dataclass(frozen=True)
class People:
    """The records' accounts, times in microseconds and request ids (None where there is none), with what was mended
    or cut. What stands where a record is refused means nothing."""

    accounts: Sequence[str]
    micros: Sequence[int]
    request_ids: Sequence[str | None]
    mended: bytearray
    cut: bytearray
    naive_times: int  # of records whose account and time can be used


def read_people(batch: Batch, config: IngestConfig, by: Clock, key: bytes, refused: Refusals) -> People:
    """The people of a batch; records without a usable account, time or id are added to `refused`."""
    size = len(batch.rows)
    mended, cut = bytearray(size), bytearray(size)
    accounts = _accounts(batch, config, key, refused, mended, cut)
    if config.source:
        accounts = [f"{config.source}:{name}" for name in accounts]
    micros, naive = _moments(batch, by, refused)
    request_ids = _request_ids(batch, config, key, refused, mended, cut)
    return People(accounts, micros, request_ids, mended, cut, naive)


def _accounts(
    batch: Batch, config: IngestConfig, key: bytes, refused: Refusals, mended: bytearray, cut: bytearray
) -> Sequence[str]:
    limit, names = config.max_field_characters, config.account
    first = batch.columns.get(names[0])
    if len(names) == 1 and first is not None and None not in first and all_plain(first, limit):
        return first
    absent: list[Any] = [MISSING] * len(batch.rows)
    columns = [batch.columns.get(name, absent) for name in names]
    accounts = []
    for at, values in enumerate(zip(*columns, strict=True)):
        parts: list[Field] = []
        for place, (name, value) in enumerate(zip(names, values, strict=True)):
            part = read_id(value, limit, key)
            if place == 0 and value is MISSING:
                refused.add(at, name, "missing column")
            elif part.wrong:
                refused.add(at, name, "wrong type")
            elif part.text is not None:
                parts.append(part)
            elif place == 0:
                refused.add(at, name, "no account")
            mended[at] |= part.mended
            cut[at] |= part.cut
        # "/" joins the parts, so where there may be several it is escaped inside them.
        several = len(names) > 1
        texts = [(p.text or "").replace("%", "%25").replace("/", "%2F") if several else p.text or "" for p in parts]
        accounts.append("/".join(texts))
    return accounts


def _moments(batch: Batch, by: Clock, refused: Refusals) -> tuple[Sequence[int], int]:
    """The times, and how many of them had no zone."""
    given = batch.columns.get("timestamp", [MISSING] * len(batch.rows))
    assumed = "timestamp" in batch.naive
    if None not in given and all_believed(given, by):
        return given, (len(given) - len(refused.found)) * assumed
    micros, naive = [], 0
    for at, value in enumerate(given):
        moment = read_time(value, by)
        micros.append(moment.micros if moment else 0)
        if at in refused.found:
            continue
        if value is MISSING:
            refused.add(at, "timestamp", "missing column")
        elif moment is None:
            refused.add(at, "timestamp", "unreadable time")
        else:
            naive += moment.naive or assumed
    return micros, naive


def _request_ids(
    batch: Batch, config: IngestConfig, key: bytes, refused: Refusals, mended: bytearray, cut: bytearray
) -> Sequence[str | None]:
    given = batch.columns.get("request_id")
    if given is None:
        return [None] * len(batch.rows)
    if all_plain(given, config.max_field_characters):
        return given
    found = [read_id(value, config.max_field_characters, key) for value in given]
    for at, part in enumerate(found):
        if part.wrong:
            refused.add(at, "request_id", "wrong type")
        mended[at] |= part.mended
        cut[at] |= part.cut
    return [part.text for part in found]
