"""The tables of the ledger, as they are now. How a database gets there is in `migrations`; a test holds both together.

What an identity was after each night stands in `states`, one row for each night that changed it, so that a night can be
taken back. Sightings and events are of one night each.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)


class Moment(sa.types.TypeDecorator[datetime]):
    """An aware time in UTC. SQLite has no zones, and PostgreSQL answers in the session's."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """The time in UTC; ValueError where it has no zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the ledger needs its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        """The time with its zone."""
        if value is None:
            return None
        stored: datetime = value
        return stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored.astimezone(UTC)


nights = sa.Table(
    "nights",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("first_day", sa.Date, nullable=False),
    sa.Column("last_day", sa.Date, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("recorded", Moment, nullable=False),
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("id", sa.String(14), primary_key=True),
    sa.Column("kind", sa.String(9), nullable=False),
    sa.Column("born", sa.Date, nullable=False),
)

states = sa.Table(
    "states",
    metadata,
    sa.Column("identity", sa.String(14), sa.ForeignKey("identities.id"), primary_key=True),
    sa.Column("day", sa.Date, sa.ForeignKey("nights.day"), primary_key=True, index=True),
    sa.Column("state", sa.String(7), nullable=False),
    sa.Column("last_seen", sa.Date, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)

sightings = sa.Table(
    "sightings",
    metadata,
    # An identity is one thing of a night, and a thing of a night is one identity.
    sa.Column("day", sa.Date, sa.ForeignKey("nights.day"), primary_key=True),
    sa.Column("identity", sa.String(14), sa.ForeignKey("identities.id"), primary_key=True, index=True),
    sa.Column("kind", sa.String(9), nullable=False),
    sa.Column("local_id", sa.BigInteger, nullable=False),
    sa.Column("alert", sa.Boolean, nullable=False),
    sa.Column("members", sa.BigInteger, nullable=False),
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("first_seen", Moment),
    sa.Column("last_seen", Moment),
    sa.UniqueConstraint("day", "kind", "local_id"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("day", sa.Date, sa.ForeignKey("nights.day"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("identity", sa.String(14), sa.ForeignKey("identities.id"), nullable=False, index=True),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("others", sa.JSON, nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
)

aside = sa.Table(
    "aside",
    metadata,
    # Identities of nights that others took the place of, the last of them `until`; `born` as it was in those.
    sa.Column("id", sa.String(14), primary_key=True),
    sa.Column("kind", sa.String(9), nullable=False),
    sa.Column("born", sa.Date, nullable=False),
    sa.Column("until", sa.Date, nullable=False),
    sa.Column("retired", sa.Boolean, nullable=False),
)

aside_states = sa.Table(
    "aside_states",
    metadata,
    # No foreign key to the nights: these are gone.
    sa.Column("identity", sa.String(14), sa.ForeignKey("aside.id"), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("state", sa.String(7), nullable=False),
    sa.Column("last_seen", sa.Date, nullable=False),
    sa.Column("signature", sa.LargeBinary, nullable=False),
)

decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    # No foreign key: a night that is run again takes its births back, and they wait in `aside` for their things.
    sa.Column("identity", sa.String(14), nullable=False, index=True),
    sa.Column("verdict", sa.String(9), nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("when", Moment, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
)

suppressions = sa.Table(
    "suppressions",
    metadata,
    # What somebody dismissed, and what it was then (refrain.known.Suppression). `members` are keyed digests.
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("when", sa.Text, nullable=False),
    sa.Column("texts", sa.JSON, nullable=False),
    sa.Column("members", sa.JSON, nullable=False),
    sa.Column("families", sa.JSON, nullable=False),
    sa.Column("tests", sa.JSON, nullable=False),
    sa.Column("benign", sa.JSON, nullable=False),
)

runs = sa.Table(
    "runs",
    metadata,
    # Runs that were whole once. `content` is the digest of their exports, the days are those of their requests (UTC).
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("kind", sa.String(9), nullable=False),
    sa.Column("finished", Moment, nullable=False),
    sa.Column("first_day", sa.Date),
    sa.Column("last_day", sa.Date),
    sa.Column("counts", sa.JSON, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
)

marks = sa.Table(
    "marks",
    metadata,
    # One row, number 1. `generation` grows with every night recorded or taken back; `key` names the store's key;
    # no night before `kept_from` can be taken back.
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, nullable=False),
    sa.Column("key", sa.Text),
    sa.Column("kept_from", sa.Date),
)
