"""How a night enters the ledger and leaves it, inside one transaction of its caller."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

import sqlalchemy as sa

from refrain.ledger.aside import forget_aside, portions, retire, set_aside, take_up
from refrain.ledger.checks import check_change, event_order, safe_details
from refrain.ledger.rows import EventRow, IdentityRow, NightRow, SightingRow
from refrain.ledger.tables import events, identities, nights, sightings, states


def add_night(
    connection: sa.Connection,
    night: NightRow,
    observed: Sequence[IdentityRow],
    seen: Sequence[SightingRow],
    happened: Sequence[EventRow],
) -> None:
    """Nothing; the rows of a night that is later than all others are added."""
    named = {row.identity for row in seen} | {row.identity for row in happened}
    known = {row.id: row for row in _named(connection, named | {row.id for row in observed})}
    for row in observed:
        check_change(known.get(row.id), row, night)
    strangers = named - known.keys() - {row.id for row in observed}
    if strangers:
        raise ValueError(f"{len(strangers)} identities have a sighting or an event and were never observed")
    connection.execute(nights.insert().values(**{**vars(night), "counts": dict(sorted(night.counts.items()))}))
    changed = sorted((row for row in observed if known.get(row.id) != row), key=lambda row: row.id)
    born = [{"id": row.id, "kind": row.kind, "born": row.born} for row in changed if row.id not in known]
    take_up(connection, (row.id for row in changed if row.id not in known), night.day)
    _insert(connection, identities, born)
    now = [
        {
            "identity": row.id,
            "day": night.day,
            "state": row.state,
            "last_seen": row.last_seen,
            "signature": row.signature,
        }
        for row in changed
    ]
    _insert(connection, states, now)
    _insert(connection, sightings, [vars(row) for row in sorted(seen, key=lambda row: row.identity)])
    numbered = enumerate(sorted(happened, key=event_order))
    _insert(
        connection,
        events,
        [
            {**vars(row), "number": number, "others": list(row.others), "details": safe_details(row.details)}
            for number, row in numbered
        ],
    )
    retire(connection, night.day)


def take_back(connection: sa.Connection, day: date) -> None:
    """Nothing; the nights from `day` on are gone, with the identities that were born in them: these are set aside."""
    set_aside(connection, day)
    for table in (sightings, events, states, nights):
        connection.execute(table.delete().where(table.c.day >= day))
    connection.execute(identities.delete().where(~sa.exists().where(states.c.identity == identities.c.id)))


def forget_states(connection: sa.Connection, nights_kept: int, kept_from: date | None) -> date | None:
    """The first day that can still be taken back, after former states that only earlier ones need are deleted: of the
    states before that day, each identity keeps its latest."""
    oldest = sa.select(nights.c.day).order_by(nights.c.day.desc()).offset(nights_kept - 1).limit(1)
    first: date | None = connection.execute(oldest).scalar()
    if first is None or (kept_from is not None and first <= kept_from):
        return kept_from
    later = states.alias()
    newer = sa.exists().where(later.c.identity == states.c.identity, later.c.day > states.c.day, later.c.day < first)
    connection.execute(states.delete().where(states.c.day < first, newer))
    forget_aside(connection, first)
    return first


def as_of(connection: sa.Connection, before: date | None, *conditions: sa.ColumnElement[bool]) -> list[IdentityRow]:
    """The identities as the last night (before a day, where one is given) left them, by id."""
    earlier = states.alias()
    latest = sa.select(sa.func.max(earlier.c.day)).where(earlier.c.identity == identities.c.id)
    if before is not None:
        latest = latest.where(earlier.c.day < before)
    columns = (identities, states.c.last_seen, states.c.state, states.c.signature)
    wanted = sa.select(*columns).join(states, states.c.identity == identities.c.id)
    wanted = wanted.where(states.c.day == latest.scalar_subquery(), *conditions).order_by(identities.c.id)
    return [IdentityRow(**row._mapping) for row in connection.execute(wanted)]


def _named(connection: sa.Connection, names: Iterable[str]) -> Iterator[IdentityRow]:
    """The identities of these ids as the last night left them; no others are read."""
    for some in portions(names):
        yield from as_of(connection, None, identities.c.id.in_(some))


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:  # an empty list would insert one row of defaults
        connection.execute(table.insert(), rows)
