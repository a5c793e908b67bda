"""Identities of nights that others took the place of: what came back may have its id again, nothing else ever."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"


def upgrade() -> None:
    """Nothing; makes the tables. What was taken back before is known to none."""
    op.create_table(
        "aside",
        sa.Column("id", sa.String(14), nullable=False),
        sa.Column("kind", sa.String(9), nullable=False),
        sa.Column("born", sa.Date, nullable=False),
        sa.Column("until", sa.Date, nullable=False),
        sa.Column("retired", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_aside"),
    )
    op.create_table(
        "aside_states",
        sa.Column("identity", sa.String(14), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("state", sa.String(7), nullable=False),
        sa.Column("last_seen", sa.Date, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("identity", "day", name="pk_aside_states"),
        sa.ForeignKeyConstraint(["identity"], ["aside.id"], name="fk_aside_states_identity"),
    )
