"""Identities over nights: what a campaign was called yesterday, and what became of it. No database, no clock."""

from refrain.lineage.matching import LineageRule, match, matchable
from refrain.lineage.names import mint
from refrain.lineage.observing import observe
from refrain.lineage.signatures import Part, Signature, sketch
from refrain.lineage.types import Assignment, Event, EventName, Kind, Known, Lineage, Seen, State

__all__ = [
    "Assignment",
    "Event",
    "EventName",
    "Kind",
    "Known",
    "Lineage",
    "LineageRule",
    "Part",
    "Seen",
    "Signature",
    "State",
    "match",
    "matchable",
    "mint",
    "observe",
    "sketch",
]
