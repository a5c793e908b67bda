"""The table of all formats in docs/logs.md, from what the formats say of themselves.

`python -m refrain.dialects.table docs/logs.md` writes it anew.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from refrain.columns import COLUMNS, TEXTS
from refrain.dialects import BUILT_IN, Dialect, dialect

BEGIN, END = "<!-- formats: python -m refrain.dialects.table docs/logs.md -->\n", "<!-- end of formats -->\n"
_ALONE = ("account_id", "end_user", "timestamp")


def format_table() -> str:
    """The table of the formats that are built in, as Markdown."""
    return "".join(_lines())


def with_table(page: str) -> str:
    """The page with the table between its two marks."""
    before, rest = page.split(BEGIN)
    return before + BEGIN + "\n" + format_table() + "\n" + END + rest.split(END)[1]


def _lines() -> Iterator[str]:
    yield "| format | what | account_id | end_user | timestamp | text | other columns |\n"
    yield "|---|---|---|---|---|---|---|\n"
    for name in BUILT_IN:
        form = dialect(name)
        others = [column for column in COLUMNS if column in form.fields and column not in (*TEXTS, *_ALONE)]
        cells = [
            f"`{name}` (v{form.version})",
            form.title,
            *(_paths(form, column) for column in _ALONE),
            "; ".join(f"{column}: {_paths(form, column)}" for column in TEXTS if column in form.fields),
            "; ".join(f"{column}: {_paths(form, column)}" for column in others),
        ]
        if form.naive_times:
            cells[4] += f" ({form.naive_times} where none is named)"
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def _paths(form: Dialect, column: str) -> str:
    return ", ".join(f"`{path}`" for path in form.fields.get(column, ())) or "none"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(with_table(place.read_text(encoding="utf-8")), encoding="utf-8")
