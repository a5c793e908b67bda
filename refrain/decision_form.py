"""One decision in the form in which other tools give and take it: five fields, as JSON or as a CSV row.

{"campaign": "c-0123456789ab", "verdict": "confirmed", "why": "one pool", "who": "lea", "when": "2026-09-01T08:00Z"}
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from refrain.ledger.rows import VERDICTS, DecisionRow, NewDecision
from refrain.ledger.wording import WHO_CHARACTERS, WHY_CHARACTERS, one_line
from refrain.times import Clock, clock, read_time

FIELDS = ("campaign", "verdict", "why", "who", "when")
# What `refrain decisions list --json` calls them.
ALIASES: Mapping[str, tuple[str, ...]] = {"campaign": ("campaign", "identity"), "who": ("who", "by")}

MISSING, WRONG_TYPE, BLANK, TOO_LONG = "missing field", "wrong type", "blank", "too long"
NO_ID, NO_VERDICT = "no stable id", "unknown verdict"
NO_TIME, NO_ZONE, FUTURE = "unreadable time", "time without a zone", "time in the future"

_IDENTITY = re.compile(r"[cts]-[0-9a-f]{12}\Z")
_FIRST_YEAR = 2000  # nobody decided anything here before; a number of seconds below is a mistake
_SKEW = timedelta(minutes=5)  # by which clocks of two machines may differ
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Bad:
    """Why one record is no decision: which field, and a reason from a small fixed set."""

    field: str
    reason: str


@dataclass(frozen=True)
class FormRule:
    """How records are read: times that name no zone are in `zone`, "" refuses them; none lies after `now`."""

    now: datetime
    zone: str = ""

    @property
    def clock(self) -> Clock:
        """The clock that times are read by."""
        return clock(self.zone or "UTC", _FIRST_YEAR, self.now.year + 1)


def read_decision(record: Mapping[str, Any], rule: FormRule) -> NewDecision | Bad:
    """The decision that a record states, or what is wrong with it. Fields that are no part of the form are left."""
    given: dict[str, str | int | float] = {}
    for name in FIELDS:
        value = next((record[alias] for alias in ALIASES.get(name, (name,)) if record.get(alias) is not None), None)
        if value is None:
            return Bad(name, MISSING)
        number = name == "when" and isinstance(value, int | float) and not isinstance(value, bool)
        if not isinstance(value, str) and not number:
            return Bad(name, WRONG_TYPE)
        if isinstance(value, str) and not value.strip():
            return Bad(name, BLANK)
        given[name] = value
    identity, verdict = str(given["campaign"]).strip(), str(given["verdict"]).strip().lower()
    if not _IDENTITY.match(identity):
        return Bad("campaign", NO_ID)
    if verdict not in VERDICTS:
        return Bad("verdict", NO_VERDICT)
    why, who = one_line(str(given["why"]), WHY_CHARACTERS), one_line(str(given["who"]), WHO_CHARACTERS)
    if why is None or who is None:
        return Bad("why" if why is None else "who", TOO_LONG)
    when = _moment(given["when"], rule)
    if isinstance(when, Bad):
        return when
    return NewDecision(identity, verdict, who, when, why)


def written(row: DecisionRow) -> dict[str, str]:
    """A decision of the ledger as a record, whose reading gives the same decision."""
    when = row.when.isoformat().replace("+00:00", "Z")
    return dict(zip(FIELDS, (row.identity, row.verdict, row.why, row.by, when), strict=True))


def _moment(value: str | int | float, rule: FormRule) -> datetime | Bad:
    found = read_time(value, rule.clock)
    if found is None:
        return Bad("when", NO_TIME)
    if found.naive and not rule.zone:
        return Bad("when", NO_ZONE)
    when = _EPOCH + timedelta(microseconds=found.micros)
    return Bad("when", FUTURE) if when > rule.now + _SKEW else when
