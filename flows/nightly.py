"""The nightly flow: the night of a day, after those that were missed, published under stable ids.

The same as `refrain nightly`, with its stages as tasks: what is planned, computed and published is `refrain.nights`'.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, cast

from prefect import flow
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from pydantic import Field

from flows.run_nights import NightJob, plan, publish, retain, tell_of_failure
from flows.run_stages import outputs_of, run_job
from flows.tell_counts import tell_night, tell_retention
from refrain.errors import NoRequestsError
from refrain.runs import LATEST_NIGHT, open_run


@flow(name="nightly", persist_result=False, on_failure=[tell_of_failure], on_crashed=[tell_of_failure])
def nightly(
    logs: Annotated[list[str], Field(min_length=1)],
    day: date | None = None,
    days: Annotated[int, Field(ge=1, le=366)] | None = None,
    again: bool = False,
    config: str | None = None,
    outputs: str | None = None,
) -> Path:
    """The folder of the finished run `nightly-<day>`: all stages over the window of days that ends with `day`.

    Args:
        logs: Folders of day partitions (day=2026-09-01/...), files or patterns, on the machine that runs the job.
        day: The night, the last day of its window. Empty: the last day that was over when the run was due.
        days: Days in the window, the last included. Empty: as configured.
        again: Run a night before the last one, and all after it, anew: their ids and events may change.
        config: A TOML file with the settings that differ, on that machine.
        outputs: The folder of store and runs. Empty: as configured.
    """
    # When the run was due, not when it began: a late or repeated run is about the same day.
    due = cast("datetime", flow_run.scheduled_start_time)
    job = NightJob(
        logs=tuple(logs),
        outputs=outputs_of(outputs, config),
        config=Path(config) if config else None,
        overrides=() if days is None else (f"nights.days={days}",),
        day=day,
        again=again,
        due=due,
    )
    planned = plan(job)
    logger = get_run_logger()
    if planned.left_out:
        logger.warning("%s missed nights are more than nights.catch_up and are left out", len(planned.left_out))
    taken_back = not planned.again
    for night in planned.days:
        try:
            folder = run_job("nightly", job.of(night))
        except NoRequestsError:
            if night == planned.days[-1]:
                raise
            logger.warning("The missed night of %s has no request in its window and is left out", night)
            continue
        tell_night(publish(job, night, folder, again=not taken_back))
        taken_back = True
    kept = retain(job) if job.retains else None
    if kept is not None:
        tell_retention(kept)
    return open_run(job.outputs, LATEST_NIGHT).folder
