"""What a night must be before it is recorded: rows that agree with one another and hold but counts and names."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from refrain.ledger.rows import KINDS, STATES, EventRow, IdentityRow, NightRow, SightingRow
from refrain.printable import printable

_ID = re.compile(r"[cts]-[0-9a-f]{12}\Z")
_PREFIXES = dict(zip(KINDS, "cts", strict=True))
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_NAME_CHARACTERS = 200  # of a model's name, which comes from a log


def check_night(
    night: NightRow, observed: Sequence[IdentityRow], sightings: Sequence[SightingRow], events: Sequence[EventRow]
) -> None:
    """Nothing; ValueError where the rows of a night cannot be true together. It quotes no row."""
    _must(night.first_day <= night.last_day == night.day, "a night ends with its own day")
    _must(night.recorded.tzinfo is not None, "`recorded` needs its zone")
    _must(all(type(count) is int for count in night.counts.values()), "a night's counts are whole numbers")
    for identity in observed:
        _must(_ID.match(identity.id) is not None, "an identity is c-, t- or s- and 12 hexadecimal digits")
        _must(identity.id.startswith(f"{_PREFIXES.get(identity.kind)}-"), "an identity is of another kind than its id")
        _must(identity.state in STATES, "an identity's state is unknown")
        _must(identity.born <= identity.last_seen <= night.day, "an identity was born after it was seen, or later")
    _must(len({row.id for row in observed}) == len(observed), "an identity is observed twice in one night")
    days = [row.day for row in sightings] + [row.day for row in events]
    _must(all(day == night.day for day in days), "a sighting or an event is of another night")
    for sighting in sightings:
        _must(min(sighting.local_id, sighting.members, sighting.requests) >= 0, "a sighting's count is negative")
        for moment in (sighting.first_seen, sighting.last_seen):
            _must(moment is None or moment.tzinfo is not None, "a sighting's time needs its zone")
    _must(len({row.identity for row in sightings}) == len(sightings), "an identity is seen twice in one night")
    numbers = {(row.kind, row.local_id) for row in sightings}
    _must(len(numbers) == len(sightings), "two identities have one number of a run")
    for event in events:
        _must(_NAME.match(event.event) is not None, "an event's name is a lower-case word")
        _must(all(map(_ID.match, event.others)), "what an event happened with are identities")
        _must(all(map(_NAME.match, event.details)), "a detail's name is a lower-case word")
        _must(all(map(_plain_value, event.details.values())), "a detail is a number or a model's name")


def check_change(before: IdentityRow | None, after: IdentityRow, night: NightRow) -> None:
    """Nothing; ValueError where an id would stand for two things: another kind or birth, or one that was at an end."""
    if before is None:
        _must(after.born == night.day, f"{after.id} is new and was born on another night")
        return
    _must((before.kind, before.born) == (after.kind, after.born), f"{after.id} was another thing before")
    over = before.state in ("ended", "merged")
    _must(not over or after.state == before.state, f"{after.id} is {before.state} and cannot come back")


def safe_details(details: Mapping[str, int | float | str]) -> dict[str, int | float | str]:
    """Details by name, their texts cut short and made printable: a model's name is whatever a log says it is."""
    return {
        name: printable(value, _NAME_CHARACTERS) if isinstance(value, str) else value
        for name, value in sorted(details.items())
    }


def event_order(event: EventRow) -> tuple[Any, ...]:
    """By identity, then event: the order in which a night's events are numbered."""
    values = asdict(event)
    return (event.identity, event.event, event.others, sorted((k, str(v)) for k, v in values["details"].items()))


def _plain_value(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int | str) and not isinstance(value, bool)


def _must(holds: bool, why: str) -> None:
    if not holds:
        raise ValueError(why)
