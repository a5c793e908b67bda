"""What became of a stable id, night by night, read from the ledger as plain values that JSON knows."""

from collections import Counter
from typing import Any

from refrain.errors import InputError
from refrain.ledger import Ledger
from refrain.ledger.rows import EventRow, Kind

Row = dict[str, Any]

CAMPAIGN: Kind = "campaign"


def list_stories(ledger: Ledger, kind: Kind = CAMPAIGN) -> list[Row]:
    """A row for each identity of a kind, the last seen first: `id`, `state`, `born`, `last_seen`, `nights` on which it
    was seen, `alerts` among them, `members` and `requests` of the last of these, `verdict` of the last decision."""
    seen: dict[str, list[Any]] = {}
    for sighting in ledger.sightings(kind=kind):
        seen.setdefault(sighting.identity, []).append(sighting)
    verdicts = {decision.identity: decision.verdict for decision in ledger.decisions()}
    rows = []
    for one in ledger.identities(kind):
        own = seen.get(one.id, [])
        rows.append(
            {
                "id": one.id,
                "state": one.state,
                "born": one.born.isoformat(),
                "last_seen": one.last_seen.isoformat(),
                "nights": len(own),
                "alerts": sum(sighting.alert for sighting in own),
                "members": own[-1].members if own else 0,
                "requests": own[-1].requests if own else 0,
                "verdict": verdicts.get(one.id),
            }
        )
    return sorted(rows, key=lambda row: (row["last_seen"], row["members"], row["id"]), reverse=True)


def story(ledger: Ledger, identity: str) -> Row:
    """One identity: `id`, `kind`, `state`, `born`, `last_seen`; `relatives`, the ids that its events name, with the
    events; `decisions`; and `nights`, one row for each on which it was seen or something happened to it.

    InputError where the ledger has none of this id.
    """
    one = ledger.identity(identity)
    if one is None:
        raise InputError(f"there is no {identity} in the ledger", hint="refrain lineage lists all there are")
    happened: dict[str, list[EventRow]] = {}
    for event in ledger.events(identity):
        happened.setdefault(event.day.isoformat(), []).append(event)
    sighted = {row.day.isoformat(): row for row in ledger.sightings(identity)}
    nights = []
    for day in sorted(sighted.keys() | happened.keys()):
        row = sighted.get(day)
        nights.append(
            {
                "day": day,
                "local_id": row.local_id if row else None,
                "alert": bool(row and row.alert),
                "members": row.members if row else 0,
                "requests": row.requests if row else 0,
                "events": [_event(event) for event in happened.get(day, [])],
            }
        )
    relatives: dict[str, Counter[str]] = {}
    for events in happened.values():
        for event in events:
            for other in event.others:
                relatives.setdefault(other, Counter())[event.event] += 1
    return {
        "id": one.id,
        "kind": one.kind,
        "state": one.state,
        "born": one.born.isoformat(),
        "last_seen": one.last_seen.isoformat(),
        "relatives": {other: sorted(relatives[other]) for other in sorted(relatives)},
        "decisions": [
            {"verdict": row.verdict, "by": row.by, "when": row.when.isoformat(), "why": row.why}
            for row in ledger.decisions(identity)
        ],
        "nights": nights,
    }


def _event(event: EventRow) -> Row:
    return {"event": event.event, "others": list(event.others), "details": dict(event.details)}
