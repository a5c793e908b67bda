"""The tasks around a night's stages: what is to be run, what is published, and who hears that it failed."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from prefect import task
from prefect.logging import get_run_logger

from flows.catch_faults import FIRM, only_our_words
from flows.run_stages import Job
from flows.tell_counts import LoggedProgress
from refrain.alerts import tell_failure
from refrain.config import Config
from refrain.night_plan import Plan, plan_night
from refrain.night_publishing import NightDone, publish_night, window_of
from refrain.nights import choose_day, plan_nights, run_name
from refrain.retention import Retained, apply_retention
from refrain.runs import open_run
from refrain.settings import load_settings


@dataclass(frozen=True)
class NightJob:
    """Which night is to be run, of which log, when it was due, with which settings."""

    logs: tuple[str, ...]
    outputs: Path
    config: Path | None
    overrides: tuple[str, ...]
    day: date | None
    again: bool
    due: datetime

    def settings(self) -> Config:
        """The settings of the job."""
        return load_settings(self.config, self.overrides).config

    @property
    def retains(self) -> bool:
        """Whether [retention] keeps less than all."""
        return not self.settings().retention.keeps_all

    def of(self, night: date) -> Job:
        """The job of one night's stages."""
        window = window_of(night, self.settings())
        return Job(
            logs=self.logs,
            outputs=self.outputs,
            config=self.config,
            overrides=self.overrides,
            slice_name=None,
            first=window.first,
            last=window.last,
            run_id=run_name(night),
            zone=window.zone,
        )


@task(name="plan", **FIRM)
def plan(job: NightJob) -> Plan:
    """The nights to be run, after what the last one left undone was done."""
    with only_our_words():
        settings = job.settings()
        day = choose_day(job.day, settings, job.due)
        catch_up = settings.nights.catch_up
        return plan_nights(
            job.outputs,
            settings,
            lambda nights, torn: plan_night(nights, day, catch_up=catch_up, again=job.again, torn=torn),
        )


@task(name="publish", **FIRM)
def publish(job: NightJob, night: date, folder: Path, *, again: bool) -> NightDone:
    """The night as it stands in the ledger; nothing of it does where this fails."""
    with only_our_words():
        return publish_night(open_run(job.outputs, folder.name), night, job.settings(), again=again)


@task(name="retain", **FIRM)
def retain(job: NightJob) -> Retained | None:
    """What went because [retention] does not keep it; None where it keeps all. It fails no night."""
    progress = LoggedProgress(get_run_logger())
    return apply_retention(job.outputs, job.settings(), datetime.now(UTC).date(), progress)


def tell_of_failure(flow: Any, flow_run: Any, state: Any) -> None:
    """Nothing; the webhook heard that a night failed: Prefect calls this after a failed or crashed run."""
    with only_our_words():
        config, day = flow_run.parameters.get("config"), flow_run.parameters.get("day")
        settings = load_settings(Path(config) if config else None).config
        error = state.result(raise_on_failure=False)
        failure = error if isinstance(error, BaseException) else RuntimeError()
        tell_failure(settings.alerts, date.fromisoformat(str(day)[:10]) if day else None, failure)
