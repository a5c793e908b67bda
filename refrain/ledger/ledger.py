"""The ledger of a store: nights that were published, what became of each identity, and what people decided.

A night is published when its row stands here. Everything it adds is written in one transaction, so whoever dies before
its end has published nothing, and the night is simply run again. An identity's state, last sight and signature are kept
for each night that changed them, so that a night that is run again is matched with what stood before it.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from refrain.errors import LedgerBusyError, LedgerError
from refrain.ledger.aside import ids_aside, spare_on
from refrain.ledger.checks import check_night
from refrain.ledger.database import Database
from refrain.ledger.dismissed import Dismissed
from refrain.ledger.entries import add_night, as_of, forget_states, take_back
from refrain.ledger.noted import Noted
from refrain.ledger.rows import (
    STATES,
    VERDICTS,
    DecisionRow,
    Entered,
    EventRow,
    IdentityRow,
    Kind,
    NewDecision,
    NightRow,
    SightingRow,
    State,
    Verdict,
)
from refrain.ledger.tables import decisions, events, identities, marks, nights, sightings, states

_WORDS = 500  # characters that a person writes on one line


class Ledger:
    """The ledger of one store. Its methods may be called from any thread; each is one transaction."""

    def __init__(self, database: Database, *, key: str, signature_nights: int) -> None:
        self._database = database
        self._key = key
        self._signature_nights = signature_nights

    @property
    def name(self) -> str:
        """Where it is, for people; without a password."""
        return self._database.name

    @property
    def dismissed(self) -> Dismissed:
        """The findings that somebody dismissed."""
        return Dismissed(self._database, self._key)

    @property
    def runs(self) -> Noted:
        """The runs that were whole once."""
        return Noted(self._database)

    def generation(self) -> int:
        """A number that grows with every night that is recorded or taken back: read it before the identities, give it
        to `record_night`, and nobody can have changed them in between."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(marks.c.generation)).scalar_one())

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
        then all nights from that day on are taken back first (their identities go back to what they were). LedgerError,
        too, where `generation` is given and another night was recorded since. ValueError where the rows contradict one
        another, or an id would stand for two things.
        """
        check_night(night, observed, sightings, events)
        with self._database.writing() as connection:
            mark = connection.execute(sa.select(marks)).one()
            if generation is not None and generation != mark.generation:
                raise LedgerBusyError(
                    f"another night was recorded in {self.name} while this one ran: nothing was recorded",
                    hint="run the night again",
                )
            last = connection.execute(sa.select(sa.func.max(nights.c.day))).scalar()
            if last is not None and night.day <= last:
                if night.day < last and not replace:
                    raise LedgerError(
                        f"nights up to {last} were recorded on what {night.day} was: it cannot be recorded alone",
                        hint="run it again and all nights after it (--again)",
                    )
                self._check_depth(mark.kept_from, night.day)
                take_back(connection, night.day)
            add_night(connection, night, observed, sightings, events)
            kept_from = forget_states(connection, self._signature_nights, mark.kept_from)
            after = {"generation": mark.generation + 1, "key": self._key, "kept_from": kept_from}
            connection.execute(marks.update().values(**after))

    def nights(self) -> list[NightRow]:
        """All nights, by day."""
        with self._database.reading() as connection:
            return [NightRow(**row._mapping) for row in connection.execute(sa.select(nights).order_by(nights.c.day))]

    def last_night(self) -> NightRow | None:
        """The night of the latest day."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(nights).order_by(nights.c.day.desc()).limit(1)).one_or_none()
        return None if row is None else NightRow(**row._mapping)

    def identities(
        self, kind: Kind, *, before: date | None = None, in_states: Collection[State] = STATES
    ) -> list[IdentityRow]:
        """The identities of a kind as the last night left them (with `before`: as the last night before that day did,
        which is what a night that is run again has to be matched with), ordered by id; those in some states only, where
        these are given.

        LedgerError where `before` lies further back than signatures are kept.
        """
        with self._database.reading() as connection:
            if before is not None:
                self._check_depth(connection.execute(sa.select(marks.c.kept_from)).scalar_one(), before)
            return as_of(connection, before, identities.c.kind == kind, states.c.state.in_(in_states))

    def spare(self, day: date) -> list[IdentityRow]:
        """The identities that lose their nights, or lost them, where the night of `day` is run again: what is new on it
        and is the thing of one of them has its id. None where the night is the first of its day."""
        with self._database.reading() as connection:
            return spare_on(connection, day)

    def aside(self) -> dict[str, bool]:
        """The ids of nights that others took the place of, which no night has now, and whether they are retired: those
        nights were run anew to their end, and nothing came back."""
        with self._database.reading() as connection:
            return ids_aside(connection)

    def identity(self, identity: str) -> IdentityRow | None:
        """One identity as the last night left it, None where it is unknown."""
        with self._database.reading() as connection:
            return next(iter(as_of(connection, None, identities.c.id == identity)), None)

    def identifiers(self, beginning: str = "") -> list[str]:
        """The ids of all identities that begin so, in order."""
        wanted = sa.select(identities.c.id).where(identities.c.id.startswith(beginning, autoescape=True))
        with self._database.reading() as connection:
            return list(connection.execute(wanted.order_by(identities.c.id)).scalars())

    def events(self, identity: str | None = None, *, day: date | None = None) -> list[EventRow]:
        """Events in order of day, identity, event."""
        wanted = _wanted(sa.select(events), (events.c.identity, identity), (events.c.day, day))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(events.c.day, events.c.number)).all()
        return [EventRow(row.day, row.identity, row.event, tuple(row.others), row.details) for row in rows]

    def sightings(
        self, identity: str | None = None, *, day: date | None = None, kind: Kind | None = None
    ) -> list[SightingRow]:
        """Sightings in order of day, kind, local id."""
        table = sightings
        wanted = _wanted(sa.select(table), (table.c.identity, identity), (table.c.day, day), (table.c.kind, kind))
        with self._database.reading() as connection:
            rows = connection.execute(wanted.order_by(table.c.day, table.c.kind, table.c.local_id)).all()
        return [SightingRow(**row._mapping) for row in rows]

    def decide(self, identity: str, verdict: Verdict, *, by: str, when: datetime, why: str) -> DecisionRow:
        """The decision as written; LedgerError where no night knows the identity, ValueError for another verdict or
        words that are blank or longer than 500 characters."""
        _check_words(verdict, by, why)
        with self._database.writing() as connection:
            if not connection.execute(sa.select(sa.exists().where(identities.c.id == identity))).scalar():
                raise LedgerError(f"{self.name} knows no such identity", hint="refrain show lists them")
            values = {"identity": identity, "verdict": verdict, "by": by, "when": when, "why": why}
            connection.execute(decisions.insert().values(**values))
            # Nobody else writes before this transaction ends.
            newest = sa.select(decisions).order_by(decisions.c.number.desc()).limit(1)
            written = connection.execute(newest).one()
        return DecisionRow(**written._mapping)

    def add_decisions(self, rows: Sequence[NewDecision], *, dry_run: bool = False) -> list[Entered]:
        """What became of each decision from elsewhere, or with `dry_run` would: it is `written`, or `known` because the
        same one stands here or earlier in `rows`, or its identity is a `stranger` to every night.

        All are written in one transaction; with `dry_run` none. ValueError as `decide`, and nothing is written.
        """
        for row in rows:
            _check_words(row.verdict, row.by, row.why)
        entered: list[Entered] = []
        with self._database.reading() if dry_run else self._database.writing() as connection:
            there = set(connection.execute(sa.select(identities.c.id)).scalars())
            columns = [decisions.c[name] for name in ("identity", "verdict", "by", "when", "why")]
            known = {NewDecision(**row._mapping) for row in connection.execute(sa.select(*columns))}
            for row in rows:
                if row in known:  # on an identity that a night took back, too
                    entered.append("known")
                elif row.identity in there:
                    entered.append("written")
                    known.add(row)
                else:
                    entered.append("stranger")
            new = [vars(row) for row, state in zip(rows, entered, strict=True) if state == "written"]
            if new and not dry_run:
                connection.execute(decisions.insert(), new)
        return entered

    def decisions(self, identity: str | None = None) -> list[DecisionRow]:
        """Decisions, oldest first by when they were made, wherever that was, then in the order in which they came.

        One on an identity that is taken back stays (see `aside`).
        """
        wanted = _wanted(sa.select(decisions), (decisions.c.identity, identity))
        with self._database.reading() as connection:
            found = connection.execute(wanted.order_by(decisions.c.when, decisions.c.number))
            return [DecisionRow(**row._mapping) for row in found]

    def prune(self, days: int) -> dict[str, int]:
        """Rows deleted by table: sightings and events of nights more than `days` days before the last. Nights, ids with
        their latest signature, and decisions stay: an id must never come to mean something else."""
        if days < 1:
            raise ValueError("days must be at least 1")
        with self._database.writing() as connection:
            last = connection.execute(sa.select(sa.func.max(nights.c.day))).scalar()
            if last is None:
                return {"sightings": 0, "events": 0}
            first = last - timedelta(days=days)
            return {
                table.name: connection.execute(table.delete().where(table.c.day < first)).rowcount
                for table in (sightings, events)
            }

    def faults(self) -> list[str]:
        """What is wrong with the database, in words; empty where it is sound. PostgreSQL looks after itself."""
        if self._database.dialect != "sqlite":
            return []
        with self._database.reading() as connection:
            said = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            strays = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        return [f"{self.name}: {line}" for line in said if line != "ok"] + [
            f"{self.name}: {len(strays)} rows belong to no night" for _ in strays[:1]
        ]

    def check_owner(self) -> None:
        """Nothing; LedgerError where another store's nights stand here: its digests and ids mean nothing in this."""
        with self._database.reading() as connection:
            owner = connection.execute(sa.select(marks.c.key)).scalar_one()
        if owner is not None and owner != self._key:
            raise LedgerError(
                f"{self.name} belongs to a store with another key",
                hint="give each outputs folder a ledger of its own (ledger.url), or restore the folder's key",
            )

    def _check_depth(self, kept_from: date | None, day: date) -> None:
        if kept_from is not None and day < kept_from:
            raise LedgerError(
                f"what {self.name} knew before {day} is forgotten: it goes back to {kept_from} at most",
                hint="ledger.signature_nights says how far; for older nights, begin a new ledger and backfill",
            )


def _check_words(verdict: str, by: str, why: str) -> None:
    """Nothing; ValueError for another verdict, or words that are blank, too long, or that a database cannot hold."""
    if verdict not in VERDICTS:
        raise ValueError(f"a verdict is one of {', '.join(VERDICTS)}")
    if not all(0 < len(words.strip()) <= len(words) <= _WORDS and "\x00" not in words for words in (by, why)):
        raise ValueError(f"who decided and why are texts of at most {_WORDS} characters")


def _wanted(query: sa.Select[Any], *conditions: tuple[sa.Column[Any], object]) -> sa.Select[Any]:
    """The query with a condition for each column whose value is given."""
    for column, value in conditions:
        if value is not None:
            query = query.where(column == value)
    return query
