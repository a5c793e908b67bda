"""Records of a log as rows on disk: coerced, cut into segments, digested; not yet numbered, merged or sorted.

One pass, one batch in memory. The tables that it leaves hold what the whole-log steps need and nothing twice that can
be recognised in passing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from refrain import passages, quarantine
from refrain.attributes import Attributes
from refrain.columns import COUNTS, LABELS
from refrain.config import IngestConfig
from refrain.counting import ranges
from refrain.fields import Field, keyed, read_id, read_text
from refrain.passages import DIGEST, Passage, Passages
from refrain.quarantine import Quarantine
from refrain.records import MISSING, Batch
from refrain.segments import SegmentRules
from refrain.slices import Sieve
from refrain.times import Clock, read_time
from refrain.turns import ROLES, Conversation, Turn, WrongTypeError, read_conversation

ROWS = pa.schema(
    [
        ("seq", pa.int64()),  # order of reading: file by name, then record
        ("file", pa.string()),
        ("row", pa.int64()),
        ("request_id", pa.string()),
        ("account_id", pa.string()),
        ("time", pa.int64()),  # microseconds since 1970
        *((name, pa.string()) for name in LABELS),
        ("network", pa.string()),
        *((name, pa.int64()) for name in COUNTS),
        ("created", pa.int64()),
        ("closed", pa.int64()),
        ("prompt", DIGEST),
        ("system", DIGEST),
        ("cut", pa.bool_()),
        ("repaired", pa.bool_()),
        ("content", DIGEST),  # of everything but the request_id: equal content is the same request
    ]
)
OCCURRENCES = pa.schema(
    [
        ("seq", pa.int64()),
        ("position", pa.int32()),
        ("role", pa.int8()),
        ("turn", pa.int32()),
        ("digest", DIGEST),
        ("form", DIGEST),
    ]
)
TABLES = {
    "rows": ROWS,
    "occurrences": OCCURRENCES,
    "forms": passages.FORMS,
    "texts": passages.TEXTS,
    "refused": quarantine.SCHEMA,
}
_MODEL = LABELS.index("model")  # its place among the attributes
_ROLE_CODES = {role: code for code, role in enumerate(ROLES)}


class _RefusedError(Exception):
    """A record that goes to quarantine: the field and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


@dataclass(frozen=True)
class _Person:
    """Who asked, when, under what id."""

    request_id: Field
    account_id: str
    micros: int
    mended: bool
    cut: bool


class Intake:
    """Writes the tables of TABLES into a folder, batch by batch; a context that closes them."""

    def __init__(self, work: Path, config: IngestConfig, by: Clock, key: bytes, sieve: Sieve | None = None) -> None:
        self._config, self._clock, self._key, self._sieve = config, by, key, sieve
        rules = SegmentRules(
            max_words=config.segment_max_words,
            window_words=config.segment_window_words,
            max_segments=config.max_segments,
        )
        self._passages = Passages(rules, config.max_text_characters, config.cache_mib << 20, key)
        self._attributes = Attributes(config, by, key)
        # zstd's fastest level: read once, by the next step.
        self._writers = {
            name: pq.ParquetWriter(work / f"{name}.parquet", schema, compression="zstd", compression_level=1)
            for name, schema in TABLES.items()
        }
        self.quarantine = Quarantine(config.quarantine_content_characters)
        self.staged = 0  # records written to `rows`
        self.outside = 0  # usable records that the sieve left out
        self.naive_times = 0

    @property
    def read(self) -> int:
        """Records seen so far, usable or not, but for those outside."""
        return self.staged + self.quarantine.total

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def take(self, file: str, batch: Batch) -> None:
        """Stages one batch of a file."""
        for fault in batch.faults:
            self.quarantine.add(file, fault.row, "", fault.reason, None, fault.content)
        attributes = self._attributes.read(batch)
        rows: list[tuple[Any, ...]] = []
        turns: list[tuple[int, int, int, int, bytes, bytes]] = []  # seq, role, turn, segments, digests, forms
        sizes: list[int] = []
        for at, row in enumerate(batch.rows):
            try:
                person = self._person(batch, at)
                conversation, mended = self._conversation(batch, at)
            except _RefusedError as refusal:
                given = {name: column[at] for name, column in batch.columns.items()}
                request_id = read_id(given.get("request_id"), self._config.max_field_characters, self._key).text
                self.quarantine.add(file, row, refusal.field, refusal.reason, request_id, given)
                continue
            more = attributes[at]
            if self._sieve is not None:
                messages = [turn.text for turn in conversation.turns]
                if not self._sieve.keeps(person.account_id, person.micros, more.values[_MODEL], messages):
                    self.outside += 1
                    continue
            seq = self.staged + len(rows)
            spoken, cut = self._spoken(conversation)
            sizes.append(sum(passage.segments for _, passage in spoken))
            turns.extend(
                (seq, _ROLE_CODES[turn.role], turn.turn, passage.segments, passage.digests, passage.forms)
                for turn, passage in spoken
            )
            texts = [self._stored(text) for text in (conversation.prompt, conversation.system)]
            cut |= conversation.cut or person.cut or more.cut or any(p.cut for _, p in spoken)
            mended |= conversation.mended or person.mended or more.mended or any(p.mended for _, p in spoken)
            facts = (person.account_id, person.micros, *more.values, cut, mended)
            said = b"".join(b"%d %d %b" % (_ROLE_CODES[turn.role], turn.turn, text.whole) for turn, text in spoken)
            content = keyed(repr(facts).encode() + said + b"".join(text or b"-" for text in texts), self._key)
            request_id = self._named(person.request_id.text or content.hex())
            rows.append(
                (
                    seq,
                    file,
                    row,
                    request_id,
                    person.account_id,
                    person.micros,
                    *more.values,
                    *texts,
                    cut,
                    mended,
                    content,
                )
            )
        self._write("rows", [list(column) for column in zip(*rows, strict=True)])
        self._write("occurrences", _occurrences(turns, sizes))
        self.staged += len(rows)
        self.finish()

    def finish(self) -> None:
        """Stages what is new since the last batch: segment forms, texts, refused records."""
        forms, texts = self._passages.drain()
        for name, table in (("forms", forms), ("texts", texts), ("refused", self.quarantine.drain())):
            if table.num_rows:
                self._writers[name].write_table(table)

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
        account = self._named("/".join(names))
        fields = (*parts, request_id)
        return _Person(request_id, account, moment, any(f.mended for f in fields), any(f.cut for f in fields))

    def _moment(self, batch: Batch, at: int) -> int:
        when = _value(batch, "timestamp", at)
        if when is MISSING:
            raise _RefusedError("timestamp", "missing column")
        moment = read_time(when, self._clock)
        if moment is None:
            raise _RefusedError("timestamp", "unreadable time")
        self.naive_times += moment.naive or "timestamp" in batch.naive
        return moment.micros

    def _conversation(self, batch: Batch, at: int) -> tuple[Conversation, bool]:
        given, messages = _value(batch, "prompt", at), _value(batch, "messages", at)
        if given is MISSING and messages is MISSING:
            raise _RefusedError("prompt", "missing column")
        prompt, system = read_text(given), read_text(_value(batch, "system_prompt", at))
        if prompt.wrong:
            raise _RefusedError("prompt", "wrong type")
        if system.wrong:
            raise _RefusedError("system_prompt", "wrong type")
        try:
            said = None if messages is MISSING else messages
            conversation = read_conversation(prompt.text, system.text, said, self._config.max_turns)
        except WrongTypeError:
            raise _RefusedError("messages", "wrong type") from None
        if not any(turn.role != "system" for turn in conversation.turns):
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

    def _write(self, name: str, columns: list[Any]) -> None:
        if columns:
            self._writers[name].write_table(pa.table(columns, schema=TABLES[name]))


def _value(batch: Batch, name: str, at: int) -> Any:
    column = batch.columns.get(name)
    return MISSING if column is None else column[at]


def _occurrences(turns: list[tuple[int, int, int, int, bytes, bytes]], sizes: list[int]) -> list[Any]:
    """The columns of OCCURRENCES: one row a segment, positions counted through each request."""
    if not turns:
        return []
    seqs, roles, numbers, segments, digests, forms = zip(*turns, strict=True)
    counts = np.asarray(segments, np.int64)
    return [
        np.repeat(np.asarray(seqs, np.int64), counts),
        ranges(np.asarray(sizes, np.int64)).astype(np.int32),
        np.repeat(np.asarray(roles, np.int8), counts),
        np.repeat(np.asarray(numbers, np.int32), counts),
        _digest_column(digests),
        _digest_column(forms),
    ]


def _digest_column(parts: tuple[bytes, ...]) -> Any:
    joined = b"".join(parts)
    return pa.FixedSizeBinaryArray.from_buffers(DIGEST, len(joined) // DIGEST.byte_width, [None, pa.py_buffer(joined)])
