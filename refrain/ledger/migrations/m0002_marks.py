"""Whose ledger it is, how far it has come, and how far back it can go."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Nothing; makes the table of one row. A ledger of the first schema takes the next store that writes to it."""
    marks = op.create_table(
        "marks",
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("key", sa.Text, nullable=True),
        sa.Column("kept_from", sa.Date, nullable=True),
        sa.PrimaryKeyConstraint("number", name="pk_marks"),
    )
    op.bulk_insert(marks, [{"number": 1, "generation": 0, "key": None, "kept_from": None}])
