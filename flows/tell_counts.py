"""What a person sees of a run in Prefect: log lines, a bar, a table of stages and a summary, all in counts."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from refrain.figures import counted
from refrain.night_publishing import NightDone
from refrain.retention import Retained
from refrain.stages import Result

_EVERY = 15.0  # seconds between two lines of one task: each is a row in Prefect's database


@dataclass(frozen=True)
class StageDone:
    """What a stage left, as a task hands it on: the run's folder and counts."""

    run: Path
    verb: str
    computed: bool
    seconds: float
    counts: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, run: Path, result: Result) -> "StageDone":
        """A stage's result without its folder and manifest."""
        return cls(run, result.verb, result.computed, result.seconds, tuple(result.counts.items()))

    @property
    def did(self) -> str:
        """Whether the stage had to be computed, in a word."""
        return "computed" if self.computed else "unchanged"

    @property
    def words(self) -> str:
        """The counts in words."""
        return ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in self.counts)

    def count(self, name: str) -> int:
        """One of the counts; 0 where the stage tells none of that name."""
        return dict(self.counts).get(name, 0)


@dataclass(frozen=True)
class LoggedProgress:
    """Progress as log lines, some seconds apart."""

    logger: "logging.Logger | logging.LoggerAdapter[logging.Logger]"

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A context whose value advances the task by n units."""
        done, said = 0, time.monotonic()

        def advance(units: int) -> None:
            nonlocal done, said
            done += units
            now = time.monotonic()
            if now - said >= _EVERY:
                said = now
                self.logger.info("%s: %s of %s", label, f"{done:,}", "?" if total is None else f"{total:,}")

        yield advance


def tell_stages(name: str, done: Sequence[StageDone]) -> None:
    """Nothing; the run then has a table of its stages and a summary of its findings."""
    rows = [
        {
            "stage": stage.verb,
            "did": stage.did,
            "seconds": round(stage.seconds, 1),
            "counts": stage.words,
        }
        for stage in done
    ]
    create_table_artifact(rows, key=f"{name}-stages", description="What each stage did, in counts.")
    by_verb = {stage.verb: stage for stage in done}
    read, scored = by_verb["ingest"], by_verb["score"]
    run = done[-1].run
    summary = [
        f"**{scored.count('alerts'):,} alerts** among {scored.count('campaigns'):,} campaigns, "
        f"{scored.count('members'):,} member accounts.",
        f"{read.count('kept'):,} requests of {read.count('accounts'):,} accounts; "
        f"{read.count('quarantined'):,} records in quarantine.",
        f"`refrain show {run.name}` on the machine that ran it, or `{run / 'report.html'}`.",
    ]
    create_markdown_artifact("\n\n".join(summary), key=f"{name}-findings", description="What was found, in counts.")


def tell_retention(kept: Retained) -> None:
    """Nothing; the run of a night then says what went because [retention] does not keep it."""
    lines = [f"Retention: {kept.words}."]
    if kept.left:
        lines.append(f"**{counted(kept.left, 'file')} still hold some of what was purged.**")
    if kept.failure:
        lines.append(f"**Not applied to its end:** {kept.failure}")
    create_markdown_artifact("\n\n".join(lines), key="nightly-retention", description="What went, in counts.")


def tell_night(done: NightDone) -> None:
    """Nothing; a published night then has a summary: what is new under which id, what came late, what looks wrong."""
    counts = done.counts
    lines = [
        f"Night **{done.day}**, days from {done.first_day}: {counted(counts['kept'], 'request')}, "
        f"{counted(counts['alerts'], 'alert')}.",
        f"New campaigns that alert: {', '.join(f'`{name}`' for name in done.new_campaigns) or 'none'}.",
    ]
    if done.events:
        lines.append(f"Campaigns: {', '.join(f'{many:,} {name}' for name, many in done.events.items())}.")
    if done.late:
        lines.append(f"{done.late}.")
    lines += [f"**Looks wrong:** {oddity.words}." for oddity in done.oddities]
    if not done.told:
        lines.append("**The webhook did not take the message.**")
    create_markdown_artifact("\n\n".join(lines), key="nightly-night", description="What was published, in counts.")
