"""Progress of long tasks: bars on stderr for a person at a terminal, nothing for anybody else."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a stage is given to say how far it has come."""

    def task(self, label: str, total: int | None) -> AbstractContextManager[Advance]:
        """A context whose value advances the task by n units; `total` None where the end is not known."""
        ...


@dataclass(frozen=True)
class NoProgress:
    """Says nothing: the default off a terminal and under --quiet."""

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Advance]:
        """A context whose value does nothing."""
        yield lambda units: None


@dataclass(frozen=True)
class RichProgress:
    """Bars with rate and remaining time on stderr, gone when the task is."""

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Advance]:
        """A context whose value advances the bar by n units."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            bar = bars.add_task(label, total=total, rate="")

            def advance(units: int) -> None:
                speed = bars.tasks[0].speed
                bars.update(bar, advance=units, rate=f"{speed:,.0f}/s" if speed else "")

            yield advance


def progress_for(*, quiet: bool) -> Progress:
    """Bars where stderr is a terminal and nobody asked for quiet, silence elsewhere."""
    return RichProgress() if sys.stderr.isatty() and not quiet else NoProgress()
