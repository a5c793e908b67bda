"""Tombstones: what was purged and must not come back, as keyed digests that confirm no guess.

`store/tombstones.json` holds them. Ingest leaves out what they name and counts it as `purged`, so that the counts of a
log add up. While a purge is not finished, nothing that was staged before is trusted.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from refrain.artifacts import digest_json
from refrain.errors import StoreError
from refrain.key import key_id, keyed_digest
from refrain.private_files import write_private

FILE = "tombstones.json"
VERSION = 1
_DERIVED = re.compile(r"(?:.*:)?[0-9a-f]{32}\Z", re.DOTALL)
_DIGEST = re.compile(r"[0-9a-f]{32}\Z")
_ENDS = re.compile(r"[\s\"'\\,;{}\[\]()<>]+")  # what ends a word in the head of a record
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Tombstones:
    """Digests in hex of purged accounts, of request ids, and of the moments of requests whose id was derived from their
    content; `before` (microseconds since 1970) is the time from which requests are kept. `finished` says whether
    everything that was there of them is gone."""

    accounts: frozenset[str] = frozenset()
    requests: frozenset[str] = frozenset()
    moments: frozenset[str] = frozenset()
    before: int | None = None
    finished: bool = True

    @property
    def empty(self) -> bool:
        """Whether they name nothing."""
        return not (self.accounts or self.requests or self.moments) and self.before is None

    def digest(self, first: int | None) -> str:
        """What stands for them in the identity of a log from the moment `first` on (None: from its beginning); empty
        where they name nothing of it."""
        before = None if self.excludes(first) else self.before
        found = [sorted(self.accounts), sorted(self.requests), sorted(self.moments), before]
        return digest_json(found) if any(found) else ""

    def excludes(self, first: int | None) -> bool:
        """Whether a log from the moment `first` on has none of the requests before `before` anyway."""
        return self.before is None or (first is not None and first >= self.before)

    def joined(self, other: Self) -> Self:
        """What either names; finished where both are."""
        moments = [moment for moment in (self.before, other.before) if moment is not None]
        return replace(
            self,
            accounts=self.accounts | other.accounts,
            requests=self.requests | other.requests,
            moments=self.moments | other.moments,
            before=max(moments, default=None),
            finished=self.finished and other.finished,
        )


NO_TOMBSTONES = Tombstones()


class Graves:
    """Tells of records whether they were purged: tombstones, the key that they were made with, and what was asked."""

    def __init__(self, stones: Tombstones, key: bytes) -> None:
        self.stones, self._key = stones, key
        self._accounts: dict[str, bool] = {}

    def account(self, account_id: str) -> bool:
        """Whether an account was purged."""
        found = self._accounts.get(account_id)
        if found is None:
            found = self._accounts[account_id] = text_digest(self._key, account_id) in self.stones.accounts
        return found

    def request(self, request_id: str | None, account_id: str, micros: int) -> bool:
        """Whether a request was purged by its own id, or by its account and time where it has none."""
        if request_id is not None:
            return bool(self.stones.requests) and text_digest(self._key, request_id) in self.stones.requests
        return bool(self.stones.moments) and moment_digest(self._key, account_id, micros) in self.stones.moments

    def expired(self, micros: int) -> bool:
        """Whether a time lies before the one from which requests are kept."""
        return self.stones.before is not None and micros < self.stones.before

    def mentioned(self, text: str, prefix: str = "") -> bool:
        """Whether a word or a quoted text in `text`, the head of a record that could not be read, names what was
        purged; `prefix` is what ids have before them in the tables."""
        named = self.stones.accounts | self.stones.requests
        if not named:
            return False
        # Words, and whatever stands between two quotes: an id may have spaces. Quotes may be escaped once more.
        words = {*_ENDS.split(text), *text.replace("\\", "").split('"')} - {""}
        return any(text_digest(self._key, prefix + word) in named for word in words)


def text_digest(key: bytes, text: str) -> str:
    """What stands for an id: for an account the same as in a list of dismissed findings."""
    return keyed_digest(key, text.encode("utf-8", "surrogatepass")).hex()


def moment_digest(key: bytes, account_id: str, micros: int) -> str:
    """What stands for the requests of an account at a time, in microseconds since 1970."""
    return text_digest(key, f"{micros} {account_id}")


def is_derived(request_id: str) -> bool:
    """Whether a request id may be the digest of its record's content, which had none."""
    return _DERIVED.match(request_id) is not None


def micros_of(moment: datetime) -> int:
    """A moment in microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def load_tombstones(root: Path, key: bytes) -> Tombstones:
    """The tombstones of a store, none where it has no file of them.

    StoreError where the file cannot be read or was made with another key: what was purged would come back.
    """
    path = root / FILE
    try:
        data = json.loads(path.read_text(encoding="ascii"))
        stones = _parsed(data)
        made_with = data["key"]
    except FileNotFoundError:
        return NO_TOMBSTONES
    except (ValueError, KeyError, TypeError, OSError):
        # `from None`: a JSON error quotes what it could not read.
        raise StoreError(
            f"{path} cannot be read as tombstones",
            hint="restore it from a backup: without it, what was purged would be ingested again",
        ) from None
    if made_with != key_id(key):
        raise StoreError(
            f"{path} was made with another key than this store's",
            hint="restore the key: with another, what was purged would be ingested again",
        )
    return stones


def save_tombstones(root: Path, key: bytes, stones: Tombstones) -> Path:
    """The file that then holds the tombstones; nobody but its owner can read it."""
    path = root / FILE
    data = {
        "version": VERSION,
        "key": key_id(key),
        "finished": stones.finished,
        "before": None if stones.before is None else (_EPOCH + stones.before * _MICROSECOND).isoformat(),
        **{name: sorted(getattr(stones, name)) for name in ("accounts", "requests", "moments")},
    }
    write_private(path, json.dumps(data, indent=1, ensure_ascii=True) + "\n")
    return path


def _parsed(data: dict[str, object]) -> Tombstones:
    before = data["before"]
    if data["version"] != VERSION or not isinstance(data["finished"], bool):
        raise ValueError("not tombstones of this version")
    accounts, requests, moments = (_digests(data[name]) for name in ("accounts", "requests", "moments"))
    moment = None if before is None else micros_of(datetime.fromisoformat(str(before)))
    return Tombstones(accounts, requests, moments, moment, data["finished"])


def _digests(values: object) -> frozenset[str]:
    if not isinstance(values, Iterable):
        raise TypeError("no list of digests")
    found = [str(value) for value in values]
    if not all(map(_DIGEST.match, found)):
        raise ValueError("no digests")
    return frozenset(found)
