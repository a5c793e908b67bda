"""The ids under which the nights know a run's campaigns, for whoever prints findings of any run."""

from refrain import lineage_table
from refrain.comparison import counterparts
from refrain.errors import StoreError
from refrain.runs import LATEST_NIGHT, Run, open_run


def stable_ids(run: Run) -> dict[int, str]:
    """The stable id of each campaign of a run that has one, by its number; empty where no night was ever published.

    A night's run has its own. In any other a campaign has the id of the last night's that it shares most with, at least
    half of the smaller one's accounts and requests (refrain.comparison): on a part of a log, several can have one id.
    """
    own = lineage_table.stable_ids(run.folder)
    if own:
        return own
    try:
        night = open_run(run.outputs, LATEST_NIGHT)
    except StoreError:
        return {}
    names = lineage_table.stable_ids(night.folder)
    if not names or night.name == run.name or "exports" not in run.stages:
        return {}
    return {number: names[known] for number, known in counterparts(night, run).items() if known in names}
