"""Texts cut into segments, each distinct one once as long as it is remembered."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from refrain.fields import keyed
from refrain.segments import SegmentRules, pieces, says_something, tokens
from refrain.text import normalise_folded, repair

DIGEST = pa.binary(16)
FORMS = pa.schema(
    [("form", DIGEST), ("digest", DIGEST), ("text", pa.string()), ("raw", pa.string()), ("words", pa.int32())]
)
TEXTS = pa.schema([("digest", DIGEST), ("text", pa.string())])
_OVERHEAD = 200  # bytes that Python needs, roughly, to remember one more thing


@dataclass(frozen=True, slots=True)
class Passage:
    """A text of a request. `whole` and `digest` are digests of the text before and after it was cut to size;
    `digests` and `forms` are the 16-byte digests of its segments and of their readable forms, one after the other."""

    whole: bytes
    digest: bytes
    mended: bool
    cut: bool
    segments: int
    digests: bytes
    forms: bytes


class Passages:
    """Cuts texts, remembers the newest, and holds new segments and texts until they are drained.

    What was forgotten is cut and handed out again: readers of the drained tables take each digest once.
    """

    def __init__(self, rules: SegmentRules, max_characters: int, cache_bytes: int, key: bytes) -> None:
        self._rules, self._limit, self._budget, self._key = rules, max_characters, cache_bytes, key
        self._passages: dict[str, Passage] = {}
        self._forms: dict[str, tuple[bytes, bytes] | None] = {}  # by readable form; None where it says nothing
        self._stored: set[bytes] = set()
        self._used = 0
        self._new_forms: list[tuple[bytes, bytes, str, str, int]] = []
        self._new_texts: list[tuple[bytes, str]] = []

    def passage(self, text: str) -> Passage:
        """The text mended, cut to size and cut into segments."""
        found = self._passages.get(text)
        if found is None:
            found = self._passages[text] = self._cut(text)
            self._used += len(text) + len(found.digests) + len(found.forms) + _OVERHEAD
        return found

    def store(self, text: str, passage: Passage) -> None:
        """Hands out the text itself too, as it stands before normalisation."""
        if passage.digest not in self._stored:
            self._stored.add(passage.digest)
            self._used += _OVERHEAD
            self._new_texts.append((passage.digest, repair(text)[0][: self._limit]))

    def drain(self) -> tuple[pa.Table, pa.Table]:
        """New segment forms (FORMS) and new texts (TEXTS) since the last call."""
        forms, texts = _table(self._new_forms, FORMS), _table(self._new_texts, TEXTS)
        self._new_forms, self._new_texts = [], []
        if self._used > self._budget:
            self._passages, self._forms, self._stored, self._used = {}, {}, set(), 0
        return forms, texts

    def _cut(self, text: str) -> Passage:
        whole, mended = repair(text)
        kept = whole[: self._limit]
        digests: list[bytes] = []
        forms: list[bytes] = []
        for raw in pieces(kept, self._rules):
            found = self._forms[raw] if raw in self._forms else self._form(raw)
            if found is not None:
                digests.append(found[0])
                forms.append(found[1])
                if len(digests) >= self._rules.max_segments:
                    break
        identity = keyed(whole.encode(), self._key)
        short = len(kept) < len(whole)
        return Passage(
            whole=identity,
            digest=keyed(kept.encode(), self._key) if short else identity,
            mended=mended,
            cut=short,
            segments=len(digests),
            digests=b"".join(digests),
            forms=b"".join(forms),
        )

    def _form(self, raw: str) -> tuple[bytes, bytes] | None:
        text = normalise_folded(raw)
        self._used += len(text) + len(raw) + _OVERHEAD
        if not says_something(text):
            self._forms[raw] = None
            return None
        digest = keyed(text.encode(), self._key)
        # The readable form decides on the normalised one.
        form = digest if text == raw else keyed(raw.encode(), self._key)
        words = text.count(" ") + 1 if text.isascii() else len(tokens(text))
        self._new_forms.append((form, digest, text, raw, words))
        self._forms[raw] = found = digest, form
        return found


def _table(rows: Sequence[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(columns, schema=schema) if columns else schema.empty_table()
