"""The published nights of a store against the truth of simulated ones (`refrain simulate --nights`)."""

from pathlib import Path

from refrain.config import Config
from refrain.errors import InputError
from refrain.ledger import open_ledger
from refrain.lineage import Event
from refrain.lineage.evaluation import JudgedNight, NightsEvaluation, evaluate_nights, judge_night
from refrain.lineage_table import CAMPAIGN
from refrain.runs import open_run

NIGHTS_FILE, TRUTH_FILE = "nights.parquet", "truth.parquet"
_CAMPAIGN_IDS = "c-"


def evaluate_ledger(truth: Path, outputs: Path, config: Config) -> NightsEvaluation:
    """The figures of all nights in the ledger. `truth` is the simulator's folder, or its nights.parquet beside which
    truth.parquet lies.

    InputError where the truth is not there; StoreError where there is no ledger, or the run of a night is gone.
    """
    folder = truth if truth.is_dir() else truth.parent
    nights = folder / NIGHTS_FILE if truth.is_dir() else truth
    for path in (nights, folder / TRUTH_FILE):
        if not path.is_file():
            raise InputError(f"there is no {path}", hint="refrain simulate --nights OUT writes both")
    judged: list[JudgedNight] = []
    with open_ledger(outputs, config.ledger, create=False) as ledger:
        for night in ledger.nights():
            sightings = ledger.sightings(day=night.day, kind=CAMPAIGN)
            events = [
                Event(row.identity, row.event, row.others, row.details)  # type: ignore[arg-type]
                for row in ledger.events(day=night.day)
                if row.identity.startswith(_CAMPAIGN_IDS)
            ]
            exports = open_run(outputs, night.run_id).result("exports")
            ids = {row.local_id: row.identity for row in sightings}
            judged.append(judge_night(night.day, exports, ids, events, folder / TRUTH_FILE))
    if not judged:
        raise InputError(f"no night is published in {outputs}", hint="refrain backfill LOG A B")
    return evaluate_nights(judged, nights, config.lineage)
