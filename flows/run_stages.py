"""The stages as Prefect tasks, and the job that runs them one after another.

Tasks are given and give back paths and small frozen values. Nothing is cached or kept by Prefect: the store knows what
is done already, by content.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.logging import get_run_logger

from flows.catch_faults import FIRM, only_our_words
from flows.tell_counts import LoggedProgress, StageDone, tell_stages
from refrain.runs import KIND, REPORT, open_run, run_ingest, run_stage
from refrain.settings import load_settings
from refrain.slices import Slice, load_slice
from refrain.stages import NOUNS, load_encoder_libraries


@dataclass(frozen=True)
class Job:
    """What is to be run: the log, its part, and the settings. No account and no text: `slice_name` is a file's."""

    logs: tuple[str, ...]
    outputs: Path
    config: Path | None
    overrides: tuple[str, ...]
    slice_name: str | None
    first: date | None
    last: date | None
    run_id: str | None
    zone: str = "UTC"  # of `first` and `last`
    kind: str = KIND  # leads a name that is not given


def outputs_of(outputs: str | None, config: str | None) -> Path:
    """The outputs folder of a form: as given, else as configured."""
    return Path(outputs or load_settings(Path(config) if config else None).config.outputs.path)


@task(name="ingest", **FIRM)
def ingest(job: Job) -> StageDone:
    """The run after its first stage."""
    with only_our_words():
        named = load_slice(job.outputs, job.slice_name) if job.slice_name else Slice()
        part = named.within(job.first, job.last, job.zone)
        run, result = run_ingest(
            job.logs,
            load_settings(job.config, job.overrides).config,
            job.outputs,
            run_id=job.run_id,
            part=None if part.empty else part,
            kind=job.kind,
            progress=LoggedProgress(get_run_logger()),
            beside=load_encoder_libraries,
        )
    return StageDone.of(run.folder, result)


def _stage_task(verb: str) -> Callable[[Job, Path], StageDone]:
    """The task of a stage between ingest and report."""

    def stage(job: Job, folder: Path) -> StageDone:
        with only_our_words():
            config = load_settings(job.config, job.overrides).config
            progress = LoggedProgress(get_run_logger())
            run = open_run(job.outputs, folder.name)
            run, result = run_stage(verb, run, config, progress=progress, goes_on=True)
        return StageDone.of(run.folder, result)

    stage.__doc__ = f"The run after {verb}."
    return task(name=verb, **FIRM)(stage)


STAGES = {verb: _stage_task(verb) for verb in list(NOUNS)[1:]}
"""The tasks after ingest by verb, in order."""


@task(name="report", **FIRM)
def report(folder: Path, fresh: bool) -> Path:
    """The page of a run, written where there is none or the run is `fresh`."""
    page = folder / REPORT
    with only_our_words():
        if fresh or not page.exists():
            from refrain.report import write_report

            write_report(folder, page)
    return page


def run_job(name: str, job: Job) -> Path:
    """The folder of the finished run; `name` is the flow's and leads the names of its artifacts."""
    # Prefect types these for both worlds; called outside an event loop they return what they say.
    bar = cast("UUID", create_progress_artifact(0.0, key=f"{name}-progress", description="Stages done."))
    logger = get_run_logger()
    done = [ingest(job)]
    logger.info("ingest %s: %s", done[-1].did, done[-1].words)
    for stage in STAGES.values():
        done.append(stage(job, done[-1].run))
        logger.info("%s %s: %s", done[-1].verb, done[-1].did, done[-1].words)
        update_progress_artifact(bar, 100.0 * len(done) / len(NOUNS))
    folder = done[-1].run
    report(folder, done[-1].computed)
    tell_stages(name, done)
    return folder
