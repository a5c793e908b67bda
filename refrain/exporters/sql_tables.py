"""The tables of a run as SQLAlchemy has them, each type as the database's own."""

from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from refrain.exporters.layout import KEYS, MARKER, RUN, stored_name
from refrain.exporters.sql_database import POSTGRESQL, SQLITE

_KEY_CHARACTERS = 255  # of a text in a key, where a database wants to know
_INDEXED = {"labels": ("campaign_id", "account_id"), "accounts": ("account_id",), "campaigns": ("identity",)}


def table_of(name: str, schema: pa.Schema, dialect: str, place: str | None) -> sa.Table:
    """The table of the contract `name` with `run_id` in front, in the schema `place`."""
    keys = {RUN, *KEYS[name]}
    columns = [
        sa.Column(field.name, _type(field, dialect, key=field.name in keys), nullable=field.name not in keys)
        for field in [pa.field(RUN, pa.string(), nullable=False), *schema]
    ]
    table = sa.Table(
        stored_name(name), sa.MetaData(), *columns, sa.PrimaryKeyConstraint(RUN, *KEYS[name]), schema=place
    )
    for column in _INDEXED.get(name, ()):
        sa.Index(f"{table.name}_{column}", table.c[column], **_where_set(table.c[column]))
    return table


def marker_table(place: str | None) -> sa.Table:
    """The table with a row for each run that was exported, which says that the others are ours."""
    return sa.Table(
        MARKER,
        sa.MetaData(),
        sa.Column(RUN, sa.String(_KEY_CHARACTERS), primary_key=True),
        sa.Column("contract", sa.String(_KEY_CHARACTERS), nullable=False),
        sa.Column("layout", sa.Integer, nullable=False),
        sa.Column("content", sa.String(_KEY_CHARACTERS), nullable=False),
        schema=place,
    )


def temporary_copy(table: sa.Table) -> sa.Table:
    """A temporary table with the columns of another, without keys."""
    columns = [sa.Column(column.name, column.type) for column in table.columns]
    return sa.Table(f"loaded_{table.name}", sa.MetaData(), *columns, prefixes=["TEMPORARY"])


def _where_set(column: sa.Column[Any]) -> dict[str, Any]:
    """Few rows have a campaign: an index over these alone."""
    if not column.nullable or column.name == "account_id":
        return {}
    return {"postgresql_where": column.is_not(None), "sqlite_where": column.is_not(None)}


def _type(field: pa.Field, dialect: str, *, key: bool) -> Any:
    kind = field.type
    if pa.types.is_boolean(kind):
        return sa.Boolean()
    if pa.types.is_integer(kind):
        return sa.BigInteger()
    if pa.types.is_floating(kind):
        return sa.Double()
    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=True) if dialect == POSTGRESQL else sa.String(_KEY_CHARACTERS)
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        return postgresql.JSONB() if dialect == POSTGRESQL else sa.Text()
    return sa.String(_KEY_CHARACTERS) if key and dialect not in (POSTGRESQL, SQLITE) else sa.Text()
