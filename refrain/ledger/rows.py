"""The rows of the ledger: what is carried from one night to the next, as frozen values.

Nothing here holds a prompt or an account in clear: members live in a signature as keyed digests, and `details` are
counts and names of models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

Kind = Literal["campaign", "template", "cluster"]
State = Literal["active", "dormant", "ended", "merged"]
Verdict = Literal["confirmed", "dismissed", "watching"]
KINDS: tuple[Kind, ...] = ("campaign", "template", "cluster")
STATES: tuple[State, ...] = ("active", "dormant", "ended", "merged")
RunKind = Literal["nightly", "on demand", "slice"]
Entered = Literal["written", "known", "stranger"]  # what became of a decision from elsewhere
VERDICTS: tuple[Verdict, ...] = ("confirmed", "dismissed", "watching")


@dataclass(frozen=True)
class NightRow:
    """A published night: the run over the days `first_day` to `last_day` (both counted), which is night `day`.

    `content` is the digest of its exports, `recorded` an aware time.
    """

    day: date
    run_id: str
    first_day: date
    last_day: date
    content: str
    counts: Mapping[str, int]
    recorded: datetime


@dataclass(frozen=True)
class RunRow:
    """A run that was whole at `finished`, an aware time: a night's, of a part of a log (slice), or of a whole log (on
    demand). The days are the first and the last with a request (UTC); `content` is the digest of its exports."""

    run_id: str
    kind: RunKind
    finished: datetime
    first_day: date | None
    last_day: date | None
    counts: Mapping[str, int] = field(hash=False)
    content: str


@dataclass(frozen=True)
class IdentityRow:
    """A stable id as one night left it; `born` and `last_seen` are nights, `signature` is opaque to the ledger."""

    id: str
    kind: Kind
    born: date
    last_seen: date
    state: State
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class SightingRow:
    """An identity in one night's run, where its number is `local_id`. `first_seen` and `last_seen` are aware times of
    its requests in the window, None where none of them has a time."""

    day: date
    identity: str
    kind: Kind
    local_id: int
    alert: bool
    members: int
    requests: int
    first_seen: datetime | None
    last_seen: datetime | None


@dataclass(frozen=True)
class EventRow:
    """What happened to an identity in a night; `others` are the ids that it happened with, parents of a merge or a
    split say. `details` are counts and names of models, nothing else."""

    day: date
    identity: str
    event: str
    others: tuple[str, ...] = ()
    details: Mapping[str, int | float | str] = field(default_factory=dict)


@dataclass(frozen=True)
class DecisionRow:
    """What an analyst said of an identity: later ones (by `when`, then `number`) override earlier ones, none is ever
    deleted by a night."""

    number: int
    identity: str
    verdict: Verdict
    by: str
    when: datetime
    why: str


@dataclass(frozen=True)
class NewDecision:
    """A decision that the ledger may not have yet; `when` is an aware time."""

    identity: str
    verdict: Verdict
    by: str
    when: datetime
    why: str
