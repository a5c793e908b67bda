"""The ledger: what is carried from one night to the next, in a small database.

A night is published when its row stands here; everything it adds is written in one transaction.
"""

from refrain.ledger.ledger import Ledger
from refrain.ledger.opening import find_ledger, open_ledger
from refrain.ledger.rows import DecisionRow, EventRow, IdentityRow, NewDecision, NightRow, RunRow, SightingRow

__all__ = [
    "DecisionRow",
    "EventRow",
    "IdentityRow",
    "Ledger",
    "NewDecision",
    "NightRow",
    "RunRow",
    "SightingRow",
    "find_ledger",
    "open_ledger",
]
