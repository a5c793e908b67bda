"""Which of tonight's campaigns, templates and clusters are those of earlier nights, and what became of each.

Each kind is matched by itself: one to one by the largest sum of squared similarities (the Hungarian method, Kuhn 1955),
so that one sure match outweighs two doubtful ones. What is left over is then a split, a merge, a successor or new.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from refrain.config import LineageConfig
from refrain.errors import InputError
from refrain.lineage.assigning import assigned
from refrain.lineage.changes import changes, day_number, day_of, last_day, remembered
from refrain.lineage.names import PREFIXES, mint
from refrain.lineage.overlaps import Pair, pairs
from refrain.lineage.returning import ids_back
from refrain.lineage.signatures import Signature
from refrain.lineage.types import Assignment, Event, EventName, Kind, Known, Lineage, Seen, State

LineageRule = LineageConfig

# What makes two nights' things one: a request is in one campaign and may be in many templates; a segment is in one
# cluster, and in the templates that it is a part of.
_MAIN: Mapping[Kind, str] = {"campaign": "requests", "template": "segments", "cluster": "segments"}
_GONE = ("merged", "ended")


def matchable(kind: Kind) -> tuple[State, ...]:
    """The states in which a night can still say something of an identity of this kind: what is over is never given
    again, but an ended campaign may be succeeded, and then its end is named. What is quiet for `rule.ended_days` ends,
    so the others are bounded by age."""
    return ("active", "dormant", "ended") if kind == "campaign" else ("active", "dormant")


def match(
    known: Sequence[Known],
    seen: Sequence[Seen],
    day: date,
    rule: LineageRule,
    *,
    key: bytes,
    spare: Sequence[Known] = (),
    used: Collection[str] = (),
) -> Lineage:
    """What became of each known identity and which id each seen thing has on the night of `day`.

    `known` holds the identities of all kinds as the night before left them; those that are not `matchable` may be left
    out where `used` has their ids, which nothing new is given. `spare` are identities of nights that this one takes the
    place of, as the night was before: a new thing that is one of these, by the same rule, has its id. The order of
    none matters. InputError where an id or a local number stands twice.
    """
    ids = {item.id for item in known}
    names = ids | {item.id for item in spare}
    if len(names) < len(known) + len(spare) or len({(item.kind, item.local_id) for item in seen}) < len(seen):
        raise InputError("an identity or a finding stands twice")
    taken = names | set(used)
    assignments: list[Assignment] = []
    events: list[Event] = []
    identities: list[Known] = []
    for kind in PREFIXES:
        night = _Night(
            kind, day, rule, key, taken,
            sorted((k for k in known if k.kind == kind and k.state in matchable(kind)), key=lambda item: item.id),
            sorted((item for item in seen if item.kind == kind), key=_seen_order),
            sorted((s for s in spare if s.kind == kind and s.state not in _GONE), key=lambda item: item.id),
        )  # fmt: skip
        night.settle()
        assignments += night.assignments
        events += night.events
        identities += night.identities.values()
    return Lineage(
        tuple(sorted(assignments, key=lambda found: (found.kind, found.local_id))),
        tuple(sorted(events, key=lambda event: (event.identity, event.event, event.others))),
        tuple(sorted(identities, key=lambda item: item.id)),
    )


def _seen_order(item: Seen) -> tuple[bytes, int]:
    return item.signature.content(), item.local_id


@dataclass
class _Night:
    """The things of one kind on one night, known and seen in a fixed order."""

    kind: Kind
    day: date
    rule: LineageRule
    key: bytes
    ids: set[str]
    known: list[Known]
    seen: list[Seen]
    spare: list[Known]
    assignments: list[Assignment] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    identities: dict[str, Known] = field(default_factory=dict)
    homes: set[int] = field(default_factory=set)  # seen ones that hold the requests of one that is not seen

    def settle(self) -> None:
        """Nothing; assignments, events and identities then hold the night's answer."""
        found = pairs(
            [k.signature for k in self.known], [s.signature for s in self.seen], self.rule.part, _MAIN[self.kind]
        )
        living = [pair for pair in found if self.known[pair.known].state not in _GONE]
        same = assigned(living, self.rule)
        names: dict[int, str] = {}
        for position, pair in same.items():
            names[position] = self._continued(self.known[pair.known], self.seen[position])
        taken = {pair.known for pair in same.values()}
        by_seen, by_known = defaultdict(list), defaultdict(list)
        for pair in found:
            by_seen[pair.seen].append(pair)
            by_known[pair.known].append(pair)
        children: dict[int, list[str]] = defaultdict(list)
        new = {position: item.signature for position, item in enumerate(self.seen) if position not in names}
        back = ids_back(new, self.spare, self.day, self.rule, key=self.key, main=_MAIN[self.kind])
        for position, item in enumerate(self.seen):
            if position not in names:
                name = back.get(position) or self._minted(item.signature)
                names[position] = self._new(name, item, by_seen[position], children)
        for parent, born in sorted(children.items()):
            self._event(self.known[parent].id, "split", sorted(born), role="parent")
        absorbed: dict[int, list[str]] = defaultdict(list)
        for position, one in enumerate(self.known):
            if position not in taken and one.state not in _GONE:
                self._absent(one, by_known[position], names, absorbed)
        for position, parents in sorted(absorbed.items()):
            self._event(names[position], "merged", sorted(parents), role="survivor")
        self._resize({self.known[parent].id for parent in children} | {names[position] for position in self.homes})

    def _resize(self, changed: set[str]) -> None:
        """Nothing; that what split or merged has another size is not said once more."""
        self.events = [e for e in self.events if e.identity not in changed or e.event not in ("grew", "shrank")]
        for name in changed & self.identities.keys():
            one = self.identities[name]
            self.identities[name] = replace(one, signature=replace(one.signature, size=0))

    def _continued(self, one: Known, item: Seen) -> str:
        """The id of a seen thing that is a known one."""
        signature = remembered(item.signature, one.signature)
        state: State = "active" if self._recent(last_day(item.signature)) else "dormant"
        word: EventName = "continued"
        if state == "active" and one.state == "dormant":
            word, signature = "returned", replace(signature, size=0)
        elif state == "dormant":
            word = "dormant"
        if word == "returned" or (word == "dormant" and one.state != "dormant"):
            self._event(one.id, word, quiet_days=day_number(self.day) - day_number(one.last_seen))
        elif word == "continued" and self.kind == "campaign":
            self._event(one.id, word, accounts=item.members, requests=item.requests)
        self._keep(one.id, one.born, item, signature, state, word)
        return one.id

    def _new(self, name: str, item: Seen, near: list[Pair], children: dict[int, list[str]]) -> str:
        """The id, `name`, of a seen thing that is no known one: part of one, the successor of one, or new."""
        word: EventName = "born"
        parents = [pair for pair in near if self._is_piece(pair)]
        before = [pair for pair in near if self._is_successor(pair, item)] if not parents else []
        if parents:
            word = "split"
            for pair in parents:
                children[pair.known].append(name)
            self._event(name, "split", sorted(self.known[pair.known].id for pair in parents), role="child")
        elif before:
            word = "succeeded"
            best = min(before, key=lambda pair: (-pair.texts.similarity, self.known[pair.known].id))
            self._event(
                name, "succeeded", [self.known[best.known].id], role="new_id", accounts_new=item.members,
                accounts_common=best.accounts.common,
            )  # fmt: skip
        else:
            self._event(name, "born", accounts=item.members, requests=item.requests)
        state: State = "active" if self._recent(last_day(item.signature)) else "dormant"
        if state == "dormant":
            self._event(name, "dormant", quiet_days=day_number(self.day) - last_day(item.signature))
        self._keep(name, self.day, item, item.signature, state, word)
        return name

    def _is_piece(self, pair: Pair) -> bool:
        """Whether most of what is seen was, on the days that both nights read, in the known one."""
        enough = pair.main.common >= self.rule.request_prior
        living = self.known[pair.known].state not in _GONE
        return living and enough and pair.main.of_seen >= self.rule.split_share

    def _is_successor(self, pair: Pair, item: Seen) -> bool:
        """Whether what is seen has the known one's texts and other accounts, and began when that one had finished."""
        one = self.known[pair.known]
        if self.kind != "campaign" or one.state == "merged" or pair.texts.similarity < self.rule.succession_text:
            return False
        if one.state == "ended":
            return True  # whoever sends it: an id that ended is not given again
        later = self.identities[one.id].signature if one.id in self.identities else one.signature
        began = int(item.signature.accounts.first.min(initial=last_day(item.signature)))
        return pair.accounts.similarity < self.rule.succession_accounts and began > last_day(later)

    def _absent(self, one: Known, near: list[Pair], names: Mapping[int, str], absorbed: dict[int, list[str]]) -> None:
        """Nothing; a known one that is not seen is merged, dormant, ended, or waits."""
        homes = [
            pair
            for pair in near
            if pair.main.common >= self.rule.request_prior and pair.main.of_known >= self.rule.merge_share
        ]
        if not homes and one.signature.absorbed:
            one = replace(one, signature=replace(one.signature, absorbed=0))
            self.identities[one.id] = one
        if homes:
            home = min(homes, key=lambda pair: (-pair.main.common, names[pair.seen]))
            self.homes.add(home.seen)
            nights = one.signature.absorbed + 1
            one = replace(one, signature=replace(one.signature, absorbed=nights))
            self.identities[one.id] = one
            if nights >= self.rule.merge_nights:
                absorbed[home.seen].append(one.id)
                self._event(one.id, "merged", [names[home.seen]], role="absorbed")
                self.identities[one.id] = replace(one, state="merged")
                return
        quiet = day_number(self.day) - day_number(one.last_seen)
        if one.state == "active" and not self._recent(day_number(one.last_seen)):
            one = replace(one, state="dormant")
            self._event(one.id, "dormant", quiet_days=quiet)
            self.identities[one.id] = one
        if one.state == "dormant" and quiet >= self.rule.ended_days:
            self._event(one.id, "ended", quiet_days=quiet)
            self.identities[one.id] = replace(one, state="ended")

    def _keep(self, name: str, born: date, item: Seen, signature: Signature, state: State, word: EventName) -> None:
        """Nothing; the night then knows the identity as it is now, with what changed about a campaign."""
        if self.kind == "campaign" and state == "active":
            signature, told = changes(name, signature, day_number(self.day), self.rule)
            self.events += told
        self.identities[name] = Known(name, self.kind, born, day_of(last_day(item.signature)), state, signature)
        self.assignments.append(Assignment(self.kind, item.local_id, name, word))

    def _minted(self, signature: Signature) -> str:
        """An id that nothing ever had."""
        again = 0
        while (name := mint(self.key, self.day, self.kind, signature, again)) in self.ids:
            again += 1
        self.ids.add(name)
        return name

    def _recent(self, when: int) -> bool:
        return day_number(self.day) - when < self.rule.recent_days

    def _event(self, name: str, event: EventName, others: Sequence[str] = (), **details: int | float | str) -> None:
        self.events.append(Event(name, event, tuple(others), details))
