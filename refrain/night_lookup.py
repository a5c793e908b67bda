"""Which stable ids the campaigns of any run are like: a run on demand beside the nights. Nothing is written."""

from refrain.config import Config
from refrain.ledger import open_ledger
from refrain.ledger.database import FILE
from refrain.lineage import match, observe
from refrain.lineage_table import CAMPAIGN, stable_ids
from refrain.night_publishing import matchable_ones
from refrain.runs import Run, store_of


def matching_ids(run: Run, config: Config) -> dict[int, str]:
    """The stable id of each campaign of a run by its number, as if it had been the last night's once more; that of the
    night itself where the run is one. Campaigns that no night knows are left out; empty where there is no ledger.

    LedgerError where a ledger is there and cannot be read.
    """
    own = stable_ids(run.folder)
    if own or not (config.ledger.url or (run.outputs / FILE).exists()):
        return own
    with open_ledger(run.outputs, config.ledger, create=False) as ledger:
        last = ledger.last_night()
        known = matchable_ones(ledger)
    if last is None:
        return {}
    key = store_of(run.outputs).key
    lineage = match(known, observe(run.folder, key, config.lineage), last.day, config.lineage, key=key)
    ids = {one.id for one in known}
    return {one.local_id: one.identity for one in lineage.assignments if one.kind == CAMPAIGN and one.identity in ids}
