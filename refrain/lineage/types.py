"""What the matcher reads and gives: what a night saw, what is known, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from refrain.lineage.signatures import Signature

Kind = Literal["campaign", "template", "cluster"]
State = Literal["active", "dormant", "ended", "merged"]
EventName = Literal[
    "born", "continued", "grew", "shrank", "split", "merged", "succeeded", "pivoted", "dormant", "returned", "ended",
]  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A campaign, template or cluster of one run, under the run's own number."""

    kind: Kind
    local_id: int
    alert: bool  # of a campaign; False for the others
    members: int  # accounts
    requests: int
    signature: Signature


@dataclass(frozen=True)
class Known:
    """An identity of earlier nights; the fields of the ledger's IdentityRow, with the signature read.

    `last_seen` is the day of its last request that a night saw. Active: it had a request within the rule's
    `recent_days`.
    """

    id: str
    kind: Kind
    born: date
    last_seen: date
    state: State
    signature: Signature


@dataclass(frozen=True)
class Assignment:
    """The stable id of what a run numbers `local_id`, and the first word on it: born, split, succeeded (new ids),
    continued, returned, dormant (still in the window, and quiet)."""

    kind: Kind
    local_id: int
    identity: str
    event: EventName


@dataclass(frozen=True)
class Event:
    """What happened to an identity on this night; the fields of the ledger's EventRow but the day.

    `others`: the parents of a split or merged one, the one before of a succeeded one; for the parent of a split its
    children, for one that was absorbed (details role) the one that lives on. `details`: counts, names of models, a day.
    Templates and clusters have no `continued` (their sightings say it), nor what is about accounts and models.
    """

    identity: str
    event: EventName
    others: tuple[str, ...]
    details: Mapping[str, int | float | str]


@dataclass(frozen=True)
class Lineage:
    """A night's answer. `identities` is every identity that is new or changed (state, last day, signature), as it is
    to be kept; what is not in it stays as it was. All sorted: by kind and local id, by identity, by id."""

    assignments: tuple[Assignment, ...]
    events: tuple[Event, ...]
    identities: tuple[Known, ...]
