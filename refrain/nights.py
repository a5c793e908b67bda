"""Nights: a run over the window of days that ends with a day, published in the ledger under stable ids.

What is computed is a plain run (`refrain.runs`), named `nightly-<day>`: an incremental night is a fresh one, byte for
byte. What is carried on is the ledger alone: a night is published (`refrain.night_publishing`) once its run is whole,
and one that died before is simply run again.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from refrain.alerts import tell_failure
from refrain.config import Config
from refrain.errors import InputError, NoRequestsError, StoreError
from refrain.ledger import Ledger, NightRow, open_ledger
from refrain.lineage_table import read_done
from refrain.locks import writer_lock
from refrain.night_plan import Plan, with_taken_back
from refrain.night_publishing import (
    NightDone,
    content_of,
    finish_night,
    is_finished,
    publish_night,
    tell_again,
    window_of,
)
from refrain.progress import Progress
from refrain.runs import Run, open_run, run_all, store_of, sweep_outputs
from refrain.slices import last_day_over
from refrain.stages import Result

logger = logging.getLogger(__name__)

Choose = Callable[[Sequence[date], date | None], Plan]
"""The plan, given the days of the published nights, ascending, and the last of them where its run has changed since."""


@dataclass(frozen=True)
class NightsDone:
    """What became of a plan: the nights that are published now, and the days without any request in their window."""

    plan: Plan
    nights: tuple[NightDone, ...]
    empty: tuple[date, ...] = ()


def run_name(day: date | str) -> str:
    """The id of the run of a night."""
    return f"nightly-{day}"


def choose_day(day: date | None, config: Config, now: datetime) -> date:
    """`day`, or the last that can be read at `now` where it is None; InputError where that one cannot be read yet."""
    last = last_day_over(now, config.nights.timezone, config.nights.watermark_hours)
    if day is not None and day > last:
        raise InputError(
            f"{day} is not over for {config.nights.watermark_hours:g} hours yet; the last day that is, is {last}",
            hint="wait, or lower nights.watermark_hours",
        )
    return day or last


def run_nights(
    sources: Sequence[str],
    config: Config,
    outputs: Path,
    choose: Choose,
    *,
    wait: float = 0.0,
    progress: Progress,
    waiting: Callable[[str], None] = lambda holder: None,
    report: Callable[[Result], None] = lambda result: None,
    published: Callable[[NightDone], None] = lambda done: None,
) -> NightsDone:
    """The nights that `choose` plans, run and published in order; `report` hears of each stage, `published` of each
    night, `waiting` who holds the store where it has to be waited for (at most `wait` seconds).

    A missed night with no request in its window is left out; where it is the last one, NoRequestsError. The webhook
    hears of a night that fails. What was published before a failure stays.
    """
    day: date | None = None
    lock = writer_lock(store_of(outputs).root, wait=wait, waiting=waiting)
    with _failures_told(config, lambda: day), lock as first:
        if first:
            sweep_outputs(outputs)
        plan = plan_nights(outputs, config, choose)
        done: list[NightDone] = []
        empty: list[date] = []
        for at, day in enumerate(plan.days):
            try:
                run = run_all(
                    sources,
                    config,
                    outputs,
                    run_id=run_name(day),
                    part=window_of(day, config),
                    progress=progress,
                    report=report,
                )
            except NoRequestsError:
                if day == plan.days[-1]:
                    raise
                empty.append(day)
                continue
            done.append(publish_night(run, day, config, again=plan.again and at == len(empty)))
            published(done[-1])
    return NightsDone(plan, tuple(done), tuple(empty))


@contextmanager
def _failures_told(config: Config, day: Callable[[], date | None]) -> Iterator[None]:
    """A context out of which errors come as they are, after the webhook heard of them; not what a person mistyped."""
    try:
        yield
    except InputError as error:
        if day() is not None:
            tell_failure(config.alerts, day(), error)
        raise
    except Exception as error:
        tell_failure(config.alerts, day(), error)
        raise


def plan_nights(outputs: Path, config: Config, choose: Choose) -> Plan:
    """What `choose` plans, after what the last night left undone was done."""
    with writer_lock(store_of(outputs).root), open_ledger(outputs, config.ledger) as ledger:
        nights = ledger.nights()
        _tell_untold(outputs, nights, ledger, config)
        torn = None
        if nights and (outputs / "runs" / nights[-1].run_id).exists():  # else it was removed, as old runs are
            run = _published_run(outputs, nights[-1])
            if run is None:
                torn = nights[-1].day
            elif not is_finished(run, nights[-1], ledger):
                logger.info("the night of %s is finished now", nights[-1].day)
                finish_night(run, nights[-1], ledger, config)
        plan = choose([row.day for row in nights], torn)
        return with_taken_back(plan, _taken_back(outputs, nights[-1].day)) if nights else plan


def _taken_back(outputs: Path, last: date) -> list[date]:
    """The days after the last night whose runs say that they were published nights."""
    days = []
    for run in sorted((outputs / "runs").glob(run_name("*"))):
        with suppress(ValueError):
            day = date.fromisoformat(run.name.removeprefix(run_name("")))
            days += [day] if day > last and read_done(run) is not None else []
    return days


def _tell_untold(outputs: Path, nights: Sequence[NightRow], ledger: Ledger, config: Config) -> None:
    """Nothing; the webhook heard of the nights that it had not taken, oldest first, until it takes none again."""
    for row in nights:
        done = read_done(outputs / "runs" / row.run_id)
        if done is None or done[1]:
            continue
        run = _published_run(outputs, row)
        if run is not None and not tell_again(run, row, ledger, config, night=done[0]):
            logger.warning("the webhook still does not take the message of the night of %s", row.day)
            return


def _published_run(outputs: Path, row: NightRow) -> Run | None:
    """The run of a night with the exports that were published; None where it has others by now, or none that is whole:
    somebody began it again, and did not come to its end."""
    try:
        run = open_run(outputs, row.run_id)
        return run if content_of(run) == row.content else None
    except StoreError:
        return None
