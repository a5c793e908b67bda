"""Rows of small nights, for the tests of the ledger."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from refrain.config import LedgerConfig
from refrain.ledger import EventRow, IdentityRow, NightRow, SightingRow
from refrain.ledger.rows import State

FIRST = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SQLITE = LedgerConfig(url="", signature_nights=28)


def day(number: int) -> date:
    """The day of night `number`."""
    return FIRST + timedelta(days=number)


def night(number: int, run: str = "run") -> NightRow:
    """The row of night `number`, with a window of five days."""
    end = day(number)
    recorded = NOON + timedelta(days=number)
    return NightRow(end, run, end - timedelta(days=4), end, "digest", {"requests": 10 + number, "late": 0}, recorded)


def campaign(name: int, born: int, seen: int, state: State = "active", signature: bytes = b"") -> IdentityRow:
    """The identity of a campaign as a night left it."""
    return IdentityRow(f"c-{name:012x}", "campaign", day(born), day(seen), state, signature or b"%d %d" % (name, seen))


def sighting(row: IdentityRow, number: int, local_id: int = 0) -> SightingRow:
    """Where night `number` saw a campaign."""
    return SightingRow(day(number), row.id, row.kind, local_id, True, 5, 50, NOON, NOON + timedelta(hours=1))


def event(row: IdentityRow, number: int, name: str, *others: IdentityRow) -> EventRow:
    """What happened to a campaign in night `number`."""
    return EventRow(day(number), row.id, name, tuple(other.id for other in others), {"members": 5, "share": 0.5})


def outputs_of(folder: Path) -> Path:
    """An outputs folder in `folder`."""
    return folder / "outputs"
