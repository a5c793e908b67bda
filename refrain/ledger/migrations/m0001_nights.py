"""The first schema: nights, identities, what each night found, and decisions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Nothing; makes all tables."""
    op.create_table(
        "nights",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("recorded", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("day", name="pk_nights"),
    )
    op.create_table(
        "identities",
        sa.Column("id", sa.String(14), nullable=False),
        sa.Column("kind", sa.String(9), nullable=False),
        sa.Column("born", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
    )
    op.create_table(
        "states",
        sa.Column("identity", sa.String(14), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("state", sa.String(7), nullable=False),
        sa.Column("last_seen", sa.Date, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("identity", "day", name="pk_states"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_states_identity"),
        sa.ForeignKeyConstraint(["day"], ["nights.day"], name="fk_states_day"),
    )
    op.create_index("ix_states_day", "states", ["day"])
    op.create_table(
        "sightings",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("identity", sa.String(14), nullable=False),
        sa.Column("kind", sa.String(9), nullable=False),
        sa.Column("local_id", sa.BigInteger, nullable=False),
        sa.Column("alert", sa.Boolean, nullable=False),
        sa.Column("members", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("first_seen", _TIME, nullable=True),
        sa.Column("last_seen", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("day", "identity", name="pk_sightings"),
        sa.ForeignKeyConstraint(["day"], ["nights.day"], name="fk_sightings_day"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_sightings_identity"),
        sa.UniqueConstraint("day", "kind", "local_id", name="uq_sightings_day"),
    )
    op.create_index("ix_sightings_identity", "sightings", ["identity"])
    op.create_table(
        "events",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("identity", sa.String(14), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("others", sa.JSON, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("day", "number", name="pk_events"),
        sa.ForeignKeyConstraint(["day"], ["nights.day"], name="fk_events_day"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_events_identity"),
    )
    op.create_index("ix_events_identity", "events", ["identity"])
    op.create_table(
        "decisions",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("identity", sa.String(14), nullable=False),
        sa.Column("verdict", sa.String(9), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("when", _TIME, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_decisions"),
    )
    op.create_index("ix_decisions_identity", "decisions", ["identity"])
