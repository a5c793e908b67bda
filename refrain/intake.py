"""Records of a log as rows: coerced, cut into segments, digested; not yet numbered, merged or sorted.

Values are read a column at a time, and texts are cut a task at a time: what has no oddity costs no record a step of
its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refrain.attributes import AttributeReader, Attributes
from refrain.batches import Batch
from refrain.config import IngestConfig
from refrain.counting import ranges
from refrain.door import Door
from refrain.fields import keyed_all, read_id
from refrain.passages import TEXTS, Passages, Spoken, Told, digest_column
from refrain.people import People, Refusals, read_people
from refrain.quarantine import Quarantine, record_json
from refrain.segments import SegmentRules
from refrain.slices import Sieve
from refrain.staged_tables import OCCURRENCES, ROWS
from refrain.system_lookup import SystemLookup
from refrain.talks import Talks
from refrain.times import Clock
from refrain.tombstones import Graves

_NONE = -1
_ACCOUNT, _SYSTEM = ROWS.get_field_index("account_id"), ROWS.get_field_index("asn")


@dataclass
class Tally:
    """What became of records: staged, usable but outside the slice, refused (by reason and field), purged by account or
    request, expired (older than what is kept), passed over (no requests: spans of another kind)."""

    staged: int = 0
    outside: int = 0
    purged: int = 0
    expired: int = 0
    passed: int = 0
    naive_times: int = 0
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Counts what `other` counts."""
        self.staged += other.staged
        self.outside += other.outside
        self.purged += other.purged
        self.expired += other.expired
        self.passed += other.passed
        self.naive_times += other.naive_times
        self.refused.update(other.refused)


@dataclass
class _Held:
    """The records of a task: a list a column, aligned; texts as positions."""

    facts: list[list[Any]]  # file, row, request_id, account_id, time, and the attributes
    prompts: list[int] = field(default_factory=list)
    systems: list[int] = field(default_factory=list)
    cut: list[bool] = field(default_factory=list)
    mended: list[bool] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)  # of each record
    roles: list[int] = field(default_factory=list)  # of each turn
    numbers: list[int] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)


class Intake:
    """Takes the batches of a task, then gives its tables (refrain.staged_tables)."""

    def __init__(
        self,
        config: IngestConfig,
        by: Clock,
        key: bytes,
        sieve: Sieve | None = None,
        graves: Graves | None = None,
        door: Door | None = None,
        systems: SystemLookup | None = None,
    ) -> None:
        self._config, self._clock, self._key, self._sieve, self._graves = config, by, key, sieve, graves
        self._door, self._systems = door, systems
        self._prefix = f"{config.source}:" if config.source else ""
        self._rules = SegmentRules(
            max_words=config.segment_max_words,
            window_words=config.segment_window_words,
            max_segments=config.max_segments,
        )
        self._attributes = AttributeReader(config, by, key)
        self._begin()

    def _begin(self) -> None:
        self._passages = Passages(self._rules, self._config.max_text_characters, self._key)
        self._quarantine = Quarantine(self._config.quarantine_content_characters)
        self._tally = Tally()
        self._held = _Held([[] for _ in range(ROWS.get_field_index("closed") + 1)])

    def take(self, file: str, batch: Batch) -> None:
        """Takes one batch of a file."""
        if self._systems is not None:
            batch = self._systems.named(batch)
        if self._door is not None:
            batch = self._door.closed(batch)
        for fault in batch.faults:
            self._refuse(file, fault.row, fault.field, fault.reason, None, fault.content)
        self._tally.passed += batch.passed
        refused = Refusals()
        people = read_people(batch, self._config, self._clock, self._key, refused)
        self._tally.naive_times += people.naive_times
        talks = Talks(batch, self._config)
        attributes = self._attributes.read(batch)
        gone = self._gone(people, refused)
        kept = [
            at
            for at in range(len(batch.rows))
            if at not in gone and self._converse(at, talks, people, attributes, refused)
        ]
        for at, (name, reason) in sorted(refused.found.items()):
            if at in gone:
                continue
            shown = {given: column[at] for given, column in batch.columns.items()}
            request_id = read_id(shown.get("request_id"), self._config.max_field_characters, self._key).text
            self._refuse(file, batch.rows[at], name, reason, request_id, shown)
        facts = (batch.rows, people.request_ids, people.accounts, people.micros, *attributes.columns)
        whole = len(kept) == len(batch.rows)
        self._held.facts[0] += [file] * len(kept)
        for held, column in zip(self._held.facts[1:], facts, strict=True):
            held.extend(column if whole else [column[at] for at in kept])
        self._tally.staged += len(kept)

    def _gone(self, people: People, refused: Refusals) -> set[int]:
        """The records that were purged; they are counted and leave nothing else."""
        if self._graves is None:
            return set()
        graves, purged, expired = self._graves, set(), set()
        for at, (account, request_id, micros) in enumerate(
            zip(people.accounts, people.request_ids, people.micros, strict=True)
        ):
            named = None if request_id is None else self._prefix + request_id
            if graves.account(account) or graves.request(named, account, micros):
                purged.add(at)
            elif at not in refused.found and graves.expired(micros):
                expired.add(at)
        self._tally.purged += len(purged)
        self._tally.expired += len(expired)
        return purged | expired

    def _refuse(self, file: str, row: int, field: str, reason: str, request_id: str | None, content: Any) -> None:
        """Quarantines a record; without its content where that names what was purged."""
        if self._graves is not None:
            shown = record_json(content, self._config.quarantine_content_characters)
            if self._graves.mentioned(shown, self._prefix) or self._graves.mentioned(shown):
                request_id, content = None, ""
        self._quarantine.add(file, row, field, reason, request_id, content)

    def _converse(self, at: int, talks: Talks, people: People, attributes: Attributes, refused: Refusals) -> bool:
        """Whether a record is kept; its texts and flags are held then."""
        if at in refused.found:
            return False
        talk = talks.read(at, refused)
        if talk is None:
            return False
        if self._sieve is not None:
            model = attributes.column("model")[at]
            if not self._sieve.keeps(people.accounts[at], people.micros[at], model, talk.said):
                self._tally.outside += 1
                return False
        held, place = self._held, self._passages.place
        for role, number, text in talk.spoken:
            held.roles.append(role)
            held.numbers.append(number)
            held.texts.append(place(text))
        held.turns.append(len(talk.spoken))
        held.prompts.append(_NONE if talk.prompt is None else place(talk.prompt))
        held.systems.append(_NONE if talk.system is None else place(talk.system))
        held.cut.append(bool(talk.cut or people.cut[at] or attributes.cut[at]))
        held.mended.append(bool(talk.mended or people.mended[at] or attributes.mended[at]))
        return True

    def drain(self) -> tuple[dict[str, pa.Table], Tally]:
        """The tables of what was taken since the last call, and the counts."""
        held, tally, passages = self._held, self._tally, self._passages
        tally.refused = self._quarantine.reasons
        tables = {"refused": self._quarantine.drain()}
        told = passages.tell()
        turns, texts = np.array(held.turns, np.int64), np.array(held.texts, np.int64)
        spoken = np.unique(texts)
        said = passages.speak([told.kept[at] for at in spoken.tolist()])
        tables["occurrences"] = _occurrences(held, turns, np.searchsorted(spoken, texts), said)
        tables["forms"] = said.table
        prompts, systems = np.array(held.prompts, np.int64), np.array(held.systems, np.int64)
        stored = np.unique(np.concatenate([prompts, systems]))
        stored = stored[stored != _NONE]
        columns = [[values[at] for at in stored.tolist()] for values in (told.digests, told.kept)]
        tables["texts"] = pa.table([digest_column(columns[0]), columns[1]], schema=TEXTS)
        places = [_places(stored, values) for values in (prompts, systems)]
        tables["rows"] = self._rows(held, turns, texts, told, places)
        self._begin()
        return tables, tally

    def _rows(
        self, held: _Held, turns: NDArray[np.int64], texts: NDArray[np.int64], told: Told, places: list[pa.Array]
    ) -> pa.Table:
        records = np.repeat(np.arange(len(turns)), turns)
        flags = []
        for given, of_texts in ((held.cut, told.cut), (held.mended, told.mended)):
            flagged = np.array(given, bool)
            flagged[records[of_texts[texts]]] = True
            flags.append(flagged.tolist())
        contents = keyed_all(self._contents(held, flags, told), self._key)
        source = f"{self._config.source}:" if self._config.source else ""
        if source or None in held.facts[2]:
            named = zip(held.facts[2], contents, strict=True)
            held.facts[2] = [f"{source}{name or content.hex()}" for name, content in named]
        columns = [*held.facts, *places, *flags, digest_column(contents)]
        return pa.table(columns, schema=ROWS)

    def _contents(self, held: _Held, flags: list[list[bool]], told: Told) -> Sequence[bytes]:
        """What equal requests have in common: everything but the request_id, and the autonomous system: that follows
        from the address, and a newer table of systems gives no request another id."""
        others = (column for at, column in enumerate(held.facts) if at >= _ACCOUNT and at != _SYSTEM)
        facts = map(repr, zip(*others, *flags, strict=True))
        labels = {pair: b"%d %d " % pair for pair in set(zip(held.roles, held.numbers, strict=True))}
        turns = zip(held.roles, held.numbers, held.texts, strict=True)
        heard = [labels[role, number] + told.wholes[text] for role, number, text in turns]
        contents = []
        end = 0
        for fact, count, prompt, system in zip(facts, held.turns, held.prompts, held.systems, strict=True):
            start, end = end, end + count
            stored = [b"-" if text == _NONE else told.digests[text] for text in (prompt, system)]
            contents.append(b"".join([fact.encode(), *heard[start:end], *stored]))
        return contents


def _places(stored: NDArray[np.int64], texts: NDArray[np.int64]) -> pa.Array:
    """The rows in the table of stored texts; null where there is none."""
    return pa.array(np.searchsorted(stored, texts).astype(np.int32), mask=texts == _NONE)


def _occurrences(held: _Held, turns: NDArray[np.int64], texts: NDArray[np.int64], said: Spoken) -> pa.Table:
    """One row a segment, positions counted through each record; `texts` (turns,) are rows of `said.counts`."""
    counts = said.counts[texts]  # segments of each turn
    ends = np.cumsum(said.counts)
    forms = said.forms[np.repeat((ends - said.counts)[texts], counts) + ranges(counts)]
    records = np.repeat(np.arange(len(turns)), turns)
    sizes = np.bincount(records, counts, minlength=len(turns)).astype(np.int64)
    columns = [
        np.repeat(records, counts).astype(np.int32),
        ranges(sizes).astype(np.int32),
        np.repeat(np.array(held.roles, np.int8), counts),
        np.repeat(np.array(held.numbers, np.int32), counts),
        forms.astype(np.int32),
        _first_ones(np.repeat(records, counts), said.normal[forms]),
    ]
    return pa.table(columns, schema=OCCURRENCES)


def _first_ones(records: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where a value stands in its record for the first time."""
    first = np.zeros(len(records), bool)
    if len(records):
        first[np.unique(records * (int(values.max()) + 1) + values, return_index=True)[1]] = True
    return first
