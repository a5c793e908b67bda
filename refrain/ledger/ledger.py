"""Signatures only for now: see the branch's next commits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

from refrain.config import LedgerConfig
from refrain.ledger.rows import DecisionRow, EventRow, IdentityRow, Kind, NightRow, SightingRow, Verdict


class Ledger:
    """The ledger of one store."""

    def generation(self) -> int:
        """A number that grows with every night that is recorded or taken back: read it before the identities, give it
        to `record_night`, and nobody can have changed them in between."""
        raise NotImplementedError

    def record_night(
        self,
        night: NightRow,
        observed: Sequence[IdentityRow],
        sightings: Sequence[SightingRow],
        events: Sequence[EventRow],
        *,
        replace: bool = False,
        generation: int | None = None,
    ) -> None:
        """Nothing; publishes a night in one transaction. `observed`: every identity whose state, last_seen or signature
        is other than the night before left it (others may be among them and cost nothing).

        The last night again replaces it. An earlier day, or one between, is refused with LedgerError, unless `replace`:
        then all nights from that day on are taken back first (their identities go back to what they were).
        """
        raise NotImplementedError

    def nights(self) -> list[NightRow]:
        """All nights, by day."""
        raise NotImplementedError

    def last_night(self) -> NightRow | None:
        """The night of the latest day."""
        raise NotImplementedError

    def identities(self, kind: Kind, *, before: date | None = None) -> list[IdentityRow]:
        """The identities of a kind as the last night left them (with `before`: as the last night before that day did,
        which is what a night that is run again has to be matched with), ordered by id."""
        raise NotImplementedError

    def identity(self, identity: str) -> IdentityRow | None:
        """One identity as the last night left it."""
        raise NotImplementedError

    def events(self, identity: str | None = None, *, day: date | None = None) -> list[EventRow]:
        """Events in order of day, identity, event."""
        raise NotImplementedError

    def sightings(
        self, identity: str | None = None, *, day: date | None = None, kind: Kind | None = None
    ) -> list[SightingRow]:
        """Sightings in order of day, kind, local id."""
        raise NotImplementedError

    def decide(self, identity: str, verdict: Verdict, *, by: str, when: datetime, why: str) -> DecisionRow:
        """The decision as written; LedgerError where no such identity is known."""
        raise NotImplementedError

    def decisions(self, identity: str | None = None) -> list[DecisionRow]:
        """Decisions, oldest first."""
        raise NotImplementedError

    def prune(self, days: int) -> dict[str, int]:
        """Rows deleted by table: sightings, events and former states of nights more than `days` before the last."""
        raise NotImplementedError


@contextmanager
def open_ledger(outputs: Path, config: LedgerConfig) -> Iterator[Ledger]:
    """The ledger of the store in `outputs`, made or migrated where that is needed; LedgerError (a StoreError) where it
    cannot be reached or is of a newer refrain."""
    raise NotImplementedError
    yield Ledger()
