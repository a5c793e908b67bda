"""The flow that an analyst starts: the main job over a chosen part of the log, with chosen thresholds."""

from datetime import date
from pathlib import Path
from typing import Annotated

from prefect import flow
from pydantic import Field

from flows.run_stages import Job, outputs_of, run_job
from refrain.recluster import aside_id
from refrain.runs import ASIDE
from refrain.settings import load_settings
from refrain.slices import NAME

Share = Annotated[float, Field(gt=0, le=1)]
Owners = Annotated[int, Field(ge=2)]


@flow(name="recluster", persist_result=False)
def recluster(
    logs: Annotated[list[str], Field(min_length=1)],
    first_day: date | None = None,
    last_day: date | None = None,
    slice_name: Annotated[str, Field(pattern=f"^{NAME}$")] | None = None,
    max_distance: Share | None = None,
    cluster_owners: Owners | None = None,
    campaign_owners: Owners | None = None,
    false_discovery_rate: Share | None = None,
    run_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=90)] | None = None,
    config: str | None = None,
    outputs: str | None = None,
) -> Path:
    """The folder of the finished run. Accounts and texts are no parameters: save them as a slice and give its name.

    Args:
        logs: Files, folders or patterns, on the machine that runs the job.
        first_day: The first day, of nights.timezone. Empty: from the beginning of the log.
        last_day: The last day, included. Empty: to its end.
        slice_name: A part of the log that `refrain slice save NAME` keeps in the outputs folder.
        max_distance: Cosine distance above which two segments are never joined. Empty: as configured.
        cluster_owners: Fewest owners of a cluster. Empty: as configured.
        campaign_owners: Fewest owners of a campaign. Empty: as configured.
        false_discovery_rate: Expected share of false ones among the alerts. Empty: as configured.
        run_id: The name of the run, led by recluster-; an equal one is replaced. Empty: from log, part and settings.
        config: A TOML file with the settings that differ, on that machine.
        outputs: The folder of store and runs. Empty: as configured.
    """
    thresholds = {
        "cluster.max_distance": max_distance,
        "cluster.min_owners": cluster_owners,
        "score.min_owners": campaign_owners,
        "score.false_discovery_rate": false_discovery_rate,
    }
    job = Job(
        logs=tuple(logs),
        outputs=outputs_of(outputs, config),
        config=Path(config) if config else None,
        overrides=tuple(f"{setting}={value}" for setting, value in thresholds.items() if value is not None),
        slice_name=slice_name,
        first=first_day,
        last=last_day,
        run_id=aside_id(run_id) if run_id else None,
        zone=load_settings(Path(config) if config else None).config.nights.timezone,
        kind=ASIDE,
    )
    return run_job("recluster", job)
