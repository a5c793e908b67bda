"""Records as columns, and how they are read: what the readers of files give and what the intake takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from refrain.columns import COLUMNS
from refrain.times import Clock


class Missing:
    """The value of a column that a record does not have at all; a null is None."""

    def __reduce__(self) -> str:
        return "MISSING"  # one in every process


MISSING = Missing()


@dataclass(frozen=True)
class Reading:
    """How files are read: our name -> theirs, the clock, the limits of a batch and of a line, and the columns that a
    record of any format must have beside its time and text."""

    names: Mapping[str, str]
    clock: Clock
    batch_rows: int
    batch_bytes: int
    record_bytes: int
    csv_delimiter: str
    required: tuple[str, ...] = ("account_id",)
    most_bytes: int = 0  # of a file's text that are read, 0 for all: who looks at a head reads no further

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """Our name and the log's for every column that the log may have."""
        pairs = ((name, self.names.get(name, name)) for name in COLUMNS)
        return tuple((name, theirs) for name, theirs in pairs if theirs)


@dataclass(frozen=True)
class Fault:
    """A record that cannot be read: its 1-based number in the file, why, what could be seen of it, and the log's path
    of the field, where one is to blame."""

    row: int
    reason: str
    content: Any
    field: str = ""


@dataclass
class Batch:
    """Records as columns of equal length, under our names. `rows` are 1-based record numbers in the file; where a raw
    record holds several requests, each has its number. `passed` counts what is no request."""

    rows: list[int] = field(default_factory=list)
    columns: dict[str, list[Any]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    naive: frozenset[str] = frozenset()  # columns of times whose zone was assumed for the whole batch
    passed: int = 0

    def __len__(self) -> int:
        return len(self.rows) + len(self.faults)
