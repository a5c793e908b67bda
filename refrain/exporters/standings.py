"""What the ledger knows of campaigns: whether they ended, and what an analyst said of them last."""

from pathlib import Path

from refrain.config import LedgerConfig
from refrain.exporters.exporter import Standing


def standings(outputs: Path, config: LedgerConfig) -> dict[str, Standing]:
    """The standing of every campaign in the ledger, by its stable id. LedgerError where there is no ledger."""
    from refrain.ledger import open_ledger

    with open_ledger(outputs, config, create=False) as ledger:
        states = {row.id: row.state for row in ledger.identities("campaign")}
        verdicts = {row.identity: row.verdict for row in ledger.decisions()}  # oldest first: the last one stays
    return {identity: Standing(state, verdicts.get(identity, "")) for identity, state in states.items()}
