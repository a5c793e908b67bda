"""The nightly flow: the main job over the last days of the log.

A night here is a whole run over a window of days. What the store has is not computed again: of a window of seven days
only the new day's new segments are embedded. Nothing is carried from night to night but the store.
"""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated, cast

from prefect import flow
from prefect.runtime import flow_run
from pydantic import Field

from flows.run_stages import Job, outputs_of, run_job
from refrain.slices import last_day_over, night


@flow(name="nightly", persist_result=False)
def nightly(
    logs: Annotated[list[str], Field(min_length=1)],
    day: date | None = None,
    days: Annotated[int, Field(ge=1, le=366)] = 7,
    config: str | None = None,
    outputs: str | None = None,
) -> Path:
    """The folder of the finished run `nightly-<day>`: all stages over the window of days that ends with `day`.

    Args:
        logs: Folders of day partitions (day=2026-09-01/...), files or patterns, on the machine that runs the job.
        day: The last day of the window (UTC). Empty: the day before the one on which the run was due.
        days: Days in the window, the last included.
        config: A TOML file with the settings that differ, on that machine.
        outputs: The folder of store and runs. Empty: as configured.
    """
    # When the run was due, not when it began: a late or repeated run is about the same day.
    due = cast("datetime", flow_run.scheduled_start_time)
    window = night(day or last_day_over(due), days)
    job = Job(
        logs=tuple(logs),
        outputs=outputs_of(outputs, config),
        config=Path(config) if config else None,
        overrides=(),
        slice_name=None,
        first=window.first,
        last=window.last,
        run_id=f"nightly-{window.last}",
    )
    return run_job("nightly", job)
