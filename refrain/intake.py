"""Records of a log as rows: coerced, cut into segments, digested; not yet numbered, merged or sorted.

The tables hold what the whole-log steps need and nothing twice that can be recognised in passing. Neither their order
nor how they are spread over files matters: `seq` says where a record stood.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa

from refrain.attributes import Attributes
from refrain.batches import MISSING, Batch
from refrain.columns import LABELS
from refrain.config import IngestConfig
from refrain.fields import Field, keyed, read_id, read_text
from refrain.passages import Passage, Passages
from refrain.quarantine import Quarantine
from refrain.segments import SegmentRules
from refrain.slices import Sieve
from refrain.staged_tables import OCCURRENCES, ROWS, occurrences
from refrain.times import Clock, read_time
from refrain.turns import ROLES, Conversation, Turn, WrongTypeError, read_conversation

_MODEL = LABELS.index("model")  # its place among the attributes
_ROLE_CODES = {role: code for code, role in enumerate(ROLES)}


class _RefusedError(Exception):
    """A record that goes to quarantine: the field and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


class _Person(NamedTuple):
    """Who asked, when, under what id."""

    request_id: str | None
    account_id: str
    micros: int
    mended: bool
    cut: bool


@dataclass
class Tally:
    """What became of records: staged, usable but outside the slice, refused (by reason and field)."""

    staged: int = 0
    outside: int = 0
    naive_times: int = 0
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Counts what `other` counts."""
        self.staged += other.staged
        self.outside += other.outside
        self.naive_times += other.naive_times
        self.refused.update(other.refused)


class Intake:
    """Takes batches and holds their tables (refrain.staged_tables) until they are drained; remembers texts."""

    def __init__(self, config: IngestConfig, by: Clock, key: bytes, sieve: Sieve | None = None) -> None:
        self._config, self._clock, self._key, self._sieve = config, by, key, sieve
        rules = SegmentRules(
            max_words=config.segment_max_words,
            window_words=config.segment_window_words,
            max_segments=config.max_segments,
        )
        self._passages = Passages(rules, config.max_text_characters, config.cache_mib << 20, key)
        self._attributes = Attributes(config, by, key)
        self._quarantine = Quarantine(config.quarantine_content_characters)
        self._tables: dict[str, list[pa.Table]] = {}
        self._tally = Tally()

    def drain(self) -> tuple[dict[str, pa.Table], Tally]:
        """What was taken since the last call: the tables that have rows, and the counts."""
        tables, tally = self._tables, self._tally
        tally.refused = self._quarantine.reasons
        self._hold("refused", self._quarantine.drain())
        self._quarantine = Quarantine(self._config.quarantine_content_characters)
        self._tables, self._tally = {}, Tally()
        return {name: pa.concat_tables(held) for name, held in tables.items()}, tally

    def take(self, file: str, batch: Batch, seq: int) -> None:
        """Takes one batch of a file; its records are numbered from `seq` on."""
        for fault in batch.faults:
            self._quarantine.add(file, fault.row, "", fault.reason, None, fault.content)
        columns = batch.columns
        absent = [MISSING] * len(batch.rows)
        given = [columns.get(name, absent) for name in ("prompt", "system_prompt", "messages")]
        rows: list[tuple[Any, ...]] = []
        turns: list[tuple[int, int, int, int, bytes, bytes]] = []  # seq, role, turn, segments, digests, forms
        sizes: list[int] = []
        records = zip(batch.rows, self._attributes.read(batch), *given, strict=True)
        for at, (row, more, prompt, system, messages) in enumerate(records):
            try:
                person = self._person(batch, at)
                conversation, mended = self._conversation(prompt, system, messages)
            except _RefusedError as refusal:
                shown = {name: column[at] for name, column in columns.items()}
                request_id = read_id(shown.get("request_id"), self._config.max_field_characters, self._key).text
                self._quarantine.add(file, row, refusal.field, refusal.reason, request_id, shown)
                continue
            if self._sieve is not None:
                said = [turn.text for turn in conversation.turns]
                if not self._sieve.keeps(person.account_id, person.micros, more.values[_MODEL], said):
                    self._tally.outside += 1
                    continue
            spoken, cut = self._spoken(conversation)
            cut |= conversation.cut or person.cut or more.cut
            mended |= conversation.mended or person.mended or more.mended
            size, heard = 0, []
            for turn, passage in spoken:
                role = _ROLE_CODES[turn.role]
                cut |= passage.cut
                mended |= passage.mended
                size += passage.segments
                heard.append(b"%d %d %b" % (role, turn.turn, passage.whole))
                turns.append((seq + at, role, turn.turn, passage.segments, passage.digests, passage.forms))
            sizes.append(size)
            texts = self._stored(conversation.prompt), self._stored(conversation.system)
            facts = (person.account_id, person.micros, *more.values, cut, mended)
            heard += [text or b"-" for text in texts]
            content = keyed(repr(facts).encode() + b"".join(heard), self._key)
            request_id = self._named(person.request_id or content.hex())
            times = person.account_id, person.micros
            rows.append((seq + at, file, row, request_id, *times, *more.values, *texts, cut, mended, content))
        if rows:
            self._hold("rows", pa.table([list(column) for column in zip(*rows, strict=True)], schema=ROWS))
        if turns:
            self._hold("occurrences", pa.table(occurrences(turns, sizes), schema=OCCURRENCES))
        forms, stored = self._passages.drain()
        self._hold("forms", forms)
        self._hold("texts", stored)
        self._tally.staged += len(rows)

    def _hold(self, name: str, table: pa.Table) -> None:
        if table.num_rows:
            self._tables.setdefault(name, []).append(table)

    def _named(self, name: str) -> str:
        return f"{self._config.source}:{name}" if self._config.source else name

    def _person(self, batch: Batch, at: int) -> _Person:
        limit = self._config.max_field_characters
        parts: list[Field] = []
        for place, name in enumerate(self._config.account):
            value = _value(batch, name, at)
            if place == 0 and value is MISSING:
                raise _RefusedError(name, "missing column")
            part = read_id(value, limit, self._key)
            if part.wrong:
                raise _RefusedError(name, "wrong type")
            if part.text is None and place == 0:
                raise _RefusedError(name, "no account")
            if part.text is not None:
                parts.append(part)
        moment = self._moment(batch, at)
        request_id = read_id(_value(batch, "request_id", at), limit, self._key)
        if request_id.wrong:
            raise _RefusedError("request_id", "wrong type")
        # "/" joins the parts, so where there may be several it is escaped inside them.
        several = len(self._config.account) > 1
        names = [(p.text or "").replace("%", "%25").replace("/", "%2F") if several else p.text or "" for p in parts]
        mended, cut = request_id.mended, request_id.cut
        for part in parts:
            mended |= part.mended
            cut |= part.cut
        return _Person(request_id.text, self._named("/".join(names)), moment, mended, cut)

    def _moment(self, batch: Batch, at: int) -> int:
        when = _value(batch, "timestamp", at)
        if when is MISSING:
            raise _RefusedError("timestamp", "missing column")
        moment = read_time(when, self._clock)
        if moment is None:
            raise _RefusedError("timestamp", "unreadable time")
        self._tally.naive_times += moment.naive or "timestamp" in batch.naive
        return moment.micros

    def _conversation(self, given: object, above: object, messages: object) -> tuple[Conversation, bool]:
        if given is MISSING and messages is MISSING:
            raise _RefusedError("prompt", "missing column")
        prompt, system = read_text(given), read_text(above)
        if prompt.wrong:
            raise _RefusedError("prompt", "wrong type")
        if system.wrong:
            raise _RefusedError("system_prompt", "wrong type")
        try:
            said = None if messages is MISSING else messages
            conversation = read_conversation(prompt.text, system.text, said, self._config.max_turns)
        except WrongTypeError:
            raise _RefusedError("messages", "wrong type") from None
        if all(turn.role == "system" for turn in conversation.turns):
            raise _RefusedError("prompt", "no prompt")
        return conversation, prompt.mended or system.mended

    def _spoken(self, conversation: Conversation) -> tuple[list[tuple[Turn, Passage]], bool]:
        """The turns with their passages, and whether some had to go: the newest stay within the request's size."""
        room, cut = self._config.max_request_characters, False
        spoken: list[tuple[Turn, Passage]] = []
        for turn in reversed(conversation.turns):
            text = turn.text[:room] if turn.turn else turn.text  # the system prompt has its own limit
            if len(text) < len(turn.text):
                cut = True
            if turn.turn:
                room -= min(len(text), self._config.max_text_characters)
            if text:
                spoken.append((turn, self._passages.passage(text)))
        return spoken[::-1], cut

    def _stored(self, text: str | None) -> bytes | None:
        if text is None:
            return None
        passage = self._passages.passage(text)
        self._passages.store(text, passage)
        return passage.digest


def _value(batch: Batch, name: str, at: int) -> Any:
    column = batch.columns.get(name)
    return MISSING if column is None else column[at]
