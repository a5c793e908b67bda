"""Slices: named parts of a log, kept as files so that accounts and texts are never an argument or a parameter.

A slice is a set of conditions on requests. `outputs/slices/<name>.json` holds one, for its owner's eyes only; jobs are
given the name. What the conditions say enters a result's identity under the store's key.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from refrain.artifacts import digest_json
from refrain.errors import InputError, NoRequestsError, StoreError
from refrain.key import keyed_digest
from refrain.logs import LogFile
from refrain.private_files import write_private
from refrain.text import normalise

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
"""What a slice may be called: it appears on pages and in file names."""
VERSION = 1
_REMEMBERED = 1 << 12  # texts of which it is remembered whether they hold a segment that is near
_DAY_FOLDER = re.compile(r"(?:\A|/)day=(\d{4}-\d{2}-\d{2})/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Slice:
    """The requests that meet every condition which is set; with none set, all of them.

    `first` and `last` are days of `zone`, both included. `accounts` are ids as the tables of ingest have them, `models`
    names of models, both sorted. `matching` is normalised text that one message of the request holds. `near` are
    digests of segments, keyed, in hex and sorted, of which one message holds at least one.
    """

    first: date | None = None
    last: date | None = None
    accounts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    matching: str = ""
    zone: str = "UTC"
    near: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.first is None and self.last is None and self.zone != "UTC":
            object.__setattr__(self, "zone", "UTC")  # without days it says nothing, and equal slices are equal
        if self.first and self.last and self.first > self.last:
            raise InputError(f"no day lies from {self.first} to {self.last}", hint="give the earlier day first")

    @property
    def empty(self) -> bool:
        """Whether no condition is set."""
        return self == Slice()

    def within(self, first: date | None, last: date | None, zone: str = "UTC") -> Self:
        """The slice with these days of `zone` as further conditions; InputError where no day is left, or where it has
        days of another zone already."""
        if (self.first or self.last) and (first or last) and self.zone != zone:
            raise InputError(f"the slice has days of the zone {self.zone}, not {zone}")
        zone = zone if first or last else self.zone
        firsts = [day for day in (self.first, first) if day]
        lasts = [day for day in (self.last, last) if day]
        return replace(self, first=max(firsts, default=None), last=min(lasts, default=None), zone=zone)

    def digest(self, key: bytes) -> str:
        """What stands for the conditions in an identity: keyed, so that nobody can confirm a guess at them."""
        return keyed_digest(key, digest_json(self._plain()).encode("ascii")).hex()

    def to_json(self) -> str:
        """The slice as its file holds it; equal slices are equal text."""
        return json.dumps({"version": VERSION, **self._plain()}, indent=1, ensure_ascii=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The slice in `text`; ValueError where it is none of this version."""
        data = json.loads(text)
        if not isinstance(data, dict) or data.pop("version", None) != VERSION:
            raise ValueError("not a slice of this version")
        try:
            first, last = (date.fromisoformat(data[name]) if data[name] else None for name in ("first", "last"))
            said = (tuple(data["accounts"]), tuple(data["models"]), data["matching"])
            found = cls(first, last, *said, data.get("zone", "UTC"), tuple(data.get("near", ())))
            zone_of(found.zone)
        except (KeyError, TypeError) as error:  # a zone that is not known here is a KeyError
            raise ValueError("a slice with missing or foreign fields") from error
        texts = (*found.accounts, *found.models, found.matching, found.zone, *found.near)
        if not all(isinstance(value, str) for value in texts):
            raise ValueError("a slice with missing or foreign fields")
        return found

    def _plain(self) -> dict[str, Any]:
        days = {name: day.isoformat() if day else None for name, day in (("first", self.first), ("last", self.last))}
        said = {"accounts": self.accounts, "models": self.models, "matching": self.matching}
        # Not where they are the usual ones: a slice that was saved or computed with before names neither.
        zone = {} if self.zone == "UTC" else {"zone": self.zone}
        return {**days, **said, **zone, **({"near": self.near} if self.near else {})}


def make_slice(
    *,
    first: date | None = None,
    last: date | None = None,
    accounts: Sequence[str] = (),
    models: Sequence[str] = (),
    matching: str = "",
) -> Slice:
    """The slice of these conditions: sorted, each account and model once, the text normalised.

    InputError where nothing is set, or where a text has nothing in it that could match.
    """
    text = normalise(matching)
    if matching and not text:
        raise InputError("the text to match is blank")
    found = Slice(first, last, tuple(sorted(set(accounts))), tuple(sorted(set(models))), text)
    if found.empty:
        raise InputError("a slice needs a condition", hint="accounts, days, a model or a text")
    return found


def night(day: date, days: int, zone: str = "UTC") -> Slice:
    """The window of `days` days of `zone` that ends with `day`."""
    return Slice(first=day - (days - 1) * _DAY, last=day, zone=zone)


def last_day_over(moment: datetime, zone: str = "UTC", hours: float = 0.0) -> date:
    """The last day of `zone` that has been over for at least `hours` at `moment`, which is an aware time."""
    # In UTC, where an hour is an hour: wall clocks jump.
    return (moment.astimezone(UTC) - timedelta(hours=hours)).astimezone(zone_of(zone)).date() - _DAY


def day_starts(first: date, last: date, zone: str = "UTC") -> list[int]:
    """The first moment of each day of `zone` from `first` to the day after `last`, in microseconds since 1970."""
    return [midnight(first + at * _DAY, zone) for at in range((last - first).days + 2)]


def zone_of(name: str) -> tzinfo:
    """The time zone of this name; UTC is known even where there is no tz database."""
    return UTC if name == "UTC" else ZoneInfo(name)


def choose_files(logs: Sequence[LogFile], part: Slice) -> list[LogFile]:
    """The files that may hold requests of `part`: those in a `day=` folder outside its days are left out.

    NoRequestsError where none is left.
    """
    chosen = [log for log in logs if _overlaps(log.name, part)]
    if not chosen:
        first, last = part.first or "the beginning", part.last or "the end"
        raise NoRequestsError(f"the log has no file for the days from {first} to {last}")
    return chosen


def wanted_folders(part: Slice) -> Callable[[str], bool]:
    """Whether a folder of this name, which ends in "/", may hold requests of `part`."""
    return lambda name: _overlaps(name, part)


def names_a_day(name: str) -> bool:
    """Whether a file of this name lies in a `day=` folder."""
    return _DAY_FOLDER.search(name) is not None


def moments_of(part: Slice) -> tuple[int, int] | None:
    """The first moment of a slice's days and the first after them, in microseconds since 1970; None without days."""
    if part.first is None and part.last is None:
        return None
    first = midnight(part.first, part.zone) if part.first else midnight(date.min)
    return first, midnight(part.last + _DAY, part.zone) if part.last else midnight(date.max)


def _overlaps(name: str, part: Slice) -> bool:
    """Whether a file of this name may hold requests of these days; a folder that names no day may hold any."""
    found = _DAY_FOLDER.search(name)
    if found is None:
        return True
    # Folders are named by UTC day, or by the zone's: those of the days beside may hold some of another zone's day.
    spare = timedelta() if part.zone == "UTC" else _DAY
    day = found[1]  # ISO days sort as texts do
    return (part.first is None or day >= (part.first - spare).isoformat()) and (
        part.last is None or day <= (part.last + spare).isoformat()
    )


class Sieve:
    """Tells which requests belong to a slice: the slice with its days in microseconds and its sets hashed.

    `segments` gives the digests, as `Slice.near` has them, of a text's segments; a slice without `near` needs none.
    """

    def __init__(self, part: Slice, segments: Callable[[str], Iterable[str]] | None = None) -> None:
        self._moments = moments_of(part)
        self._accounts = frozenset(part.accounts)
        self._models = frozenset(part.models)
        self._matching = part.matching
        self._near = frozenset(part.near)
        if self._near and segments is None:
            raise ValueError("what is near is told by the digests of segments")
        self._segments = segments or (lambda text: ())
        # A system prompt comes with every request.
        self._is_near = lru_cache(maxsize=_REMEMBERED)(self._holds_near)

    def keeps(self, account_id: str, micros: int, model: str | None, texts: Sequence[str]) -> bool:
        """Whether a request of this account, time (microseconds since 1970) and model, saying `texts`, belongs."""
        return (
            (self._moments is None or self._moments[0] <= micros < self._moments[1])
            and (not self._accounts or account_id in self._accounts)
            and (not self._models or model in self._models)
            and (not self._matching or any(self._matching in normalise(text) for text in texts))
            and (not self._near or any(map(self._is_near, texts)))
        )

    def _holds_near(self, text: str) -> bool:
        return not self._near.isdisjoint(self._segments(text))


def midnight(day: date, zone: str = "UTC") -> int:
    """The first moment of a day of a zone in microseconds since 1970."""
    return (datetime(day.year, day.month, day.day, tzinfo=zone_of(zone)).astimezone(UTC) - _EPOCH) // _MICROSECOND


def save_slice(outputs: Path, name: str, part: Slice) -> Path:
    """The file that then holds the slice under `name`; nobody but its owner can read it."""
    path = _place(outputs, name)
    write_private(path, part.to_json())
    return path


def load_slice(outputs: Path, name: str) -> Slice:
    """The slice saved under `name`; InputError where there is none, StoreError where its file is damaged."""
    path = _place(outputs, name)
    try:
        return Slice.from_json(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        names = ", ".join(list_slices(outputs))
        hint = f"there are: {names}" if names else "refrain slice save NAME makes one"
        raise InputError(f"no slice {name!r} in {outputs}", hint=hint) from None
    except ValueError:
        # `from None`: a JSON error quotes what it could not read.
        raise StoreError(f"{path} cannot be read as a slice", hint="save it again") from None


def list_slices(outputs: Path) -> list[str]:
    """The names of the slices in an outputs folder, sorted."""
    return sorted(path.stem for path in (outputs / "slices").glob("*.json") if re.fullmatch(NAME, path.stem))


def _place(outputs: Path, name: str) -> Path:
    if not re.fullmatch(NAME, name):
        raise InputError(f"{name!r} cannot name a slice", hint="at most 64 letters, digits, - and _")
    return outputs / "slices" / f"{name}.json"
