"""Staged tables of many tasks as one log, in a database: names of rows made unique, the days of a slice sifted."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

from refrain.queries import quoted

# Staged tables refer to one another by row; the place of their file makes that a name in the whole log.
_NAME = "(file_index::BIGINT << 32) + {}"
_VIEWS = {
    "rows": f"""* REPLACE ({_NAME.format("prompt")} AS prompt, {_NAME.format("system")} AS system),
        {_NAME.format("file_row_number")} AS seq""",
    "occurrences": f"""* REPLACE ({_NAME.format("form")} AS form), {_NAME.format("record")} AS seq""",
    "forms": f"*, {_NAME.format('file_row_number')} AS id",
    "texts": f"*, {_NAME.format('file_row_number')} AS id",
    "refused": "*",
}


def view_staged(
    connection: duckdb.DuckDBPyConnection, staged: Sequence[Path], refused: Sequence[Path], days: tuple[int, int] | None
) -> int:
    """How many staged records there are; the tables of `staged_tables.TABLES` are views then.

    `staged` are the files of the tables `rows` in the order of the log, beside which the others lie. With `days` only
    records from the first moment to before the second, in microseconds, are there.
    """
    for name, columns in _VIEWS.items():
        paths = refused if name == "refused" else [path.with_name(path.name.replace("rows", name)) for path in staged]
        files = ", ".join(map(quoted, paths))
        within = f"WHERE time >= {days[0]} AND time < {days[1]}" if days and name == "rows" else ""
        connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM read_parquet([{files}]) {within}")
    (count,) = connection.execute("SELECT count(*) FROM rows").fetchall()[0]
    return int(count)
