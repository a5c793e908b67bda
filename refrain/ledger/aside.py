"""Identities set aside: they were born in nights that are taken back, and what comes back may have its id again.

Inside one transaction of the caller. An id that no thing of the nights run anew took is *retired* when they have come
as far as those that were taken back had. It stays here: no other thing may ever have it. Where these nights are run
anew once more, the thing itself may.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import sqlalchemy as sa

from refrain.ledger.rows import IdentityRow
from refrain.ledger.tables import aside, aside_states, identities, nights, states

_AT_ONCE = 500  # ids named in one statement: SQLite takes some thousands


def set_aside(connection: sa.Connection, day: date) -> None:
    """Nothing; the identities born on or after a day, which is taken back, are aside with all that they were."""
    last: date | None = connection.execute(sa.select(sa.func.max(nights.c.day))).scalar()
    if last is None:
        return
    # Nights run anew that were not finished: what they had to come as far as still holds.
    open_until = connection.execute(sa.select(sa.func.max(aside.c.until)).where(~aside.c.retired)).scalar()
    until = last if open_until is None else max(last, open_until)
    born = identities.c.born >= day
    columns = (identities.c.id, identities.c.kind, identities.c.born, sa.literal(until, sa.Date), sa.false())
    connection.execute(
        aside.insert().from_select(["id", "kind", "born", "until", "retired"], sa.select(*columns).where(born))
    )
    names = [column.name for column in aside_states.c]
    former = sa.select(*(states.c[name] for name in names)).join(identities, identities.c.id == states.c.identity)
    connection.execute(aside_states.insert().from_select(names, former.where(born)))


def take_up(connection: sa.Connection, names: Iterable[str], day: date) -> None:
    """Nothing; of ids that are born on a night, those that were aside no longer are. ValueError where one of them was
    retired and did not live as long as that: it would stand for two things."""
    for some in portions(names):
        rows = connection.execute(sa.select(aside).where(aside.c.id.in_(some))).all()
        late = [row for row in rows if row.retired and row.until < day]
        if late:
            raise ValueError(f"{late[0].id} is retired and cannot come back")
        taken = [row.id for row in rows]
        connection.execute(aside_states.delete().where(aside_states.c.identity.in_(taken)))
        connection.execute(aside.delete().where(aside.c.id.in_(taken)))


def retire(connection: sa.Connection, day: date) -> None:
    """Nothing; what is still aside, and lived no longer than to the night of `day`, which is recorded, is retired."""
    connection.execute(aside.update().where(aside.c.until <= day, ~aside.c.retired).values(retired=True))


def forget_aside(connection: sa.Connection, kept_from: date | None) -> None:
    """Nothing; of what nights that can still be taken back do not reach, the id alone is kept."""
    if kept_from is not None:
        old = sa.select(aside.c.id).where(aside.c.until < kept_from)
        connection.execute(aside_states.delete().where(aside_states.c.identity.in_(old)))


def spare_on(connection: sa.Connection, day: date) -> list[IdentityRow]:
    """The identities by id whose thing a new one of the night of `day` may be, as that night left them before, or the
    first one after it: those aside, and those that recording the night would set aside."""
    open_ones = sa.or_(~aside.c.retired, aside.c.until >= day)
    return sorted(
        [*_spare(connection, aside, aside_states, open_ones, day),
         *_spare(connection, identities, states, identities.c.born >= day, day)],
        key=lambda row: row.id,
    )  # fmt: skip


def ids_aside(connection: sa.Connection) -> dict[str, bool]:
    """The ids that are aside, and whether they are retired."""
    return {row.id: row.retired for row in connection.execute(sa.select(aside.c.id, aside.c.retired))}


def _spare(
    connection: sa.Connection, table: sa.Table, former: sa.Table, condition: sa.ColumnElement[bool], day: date
) -> Iterator[IdentityRow]:
    other = former.alias()
    latest = sa.select(sa.func.max(other.c.day)).where(other.c.identity == table.c.id, other.c.day <= day)
    first = sa.select(sa.func.min(other.c.day)).where(other.c.identity == table.c.id)
    at = sa.func.coalesce(latest.scalar_subquery(), first.scalar_subquery())
    columns = (table.c.id, table.c.kind, table.c.born, former.c.last_seen, former.c.state, former.c.signature)
    wanted = sa.select(*columns).join(former, former.c.identity == table.c.id).where(condition, former.c.day == at)
    return (IdentityRow(**row._mapping) for row in connection.execute(wanted))


def portions(names: Iterable[str]) -> Iterator[Sequence[str]]:
    """The names in lots that one statement can name."""
    found = sorted(set(names))
    return (found[at : at + _AT_ONCE] for at in range(0, len(found), _AT_ONCE))
