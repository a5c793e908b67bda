"""What a format of logs is: how its records are recognised and what they say in our columns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

Record = dict[str, Any]
"""Our columns (refrain.columns.COLUMNS) -> raw values; what is missing is absent. Ids, times and texts are not coerced
here: the intake does that and quarantines what it cannot use."""


@dataclass(frozen=True)
class Bad:
    """A record that cannot be read; it goes to quarantine.

    `field` is the log's path of the field ("input.inputBodyJson"); `reason` is one of REASONS.
    """

    field: str
    reason: str


@dataclass(frozen=True)
class Passed:
    """What is no request (a span of another kind): counted, not quarantined. `reason` as "not a model call"."""

    reason: str


REASONS = ("missing field", "wrong type", "unparsable JSON", "unknown version", "no trace", "kept elsewhere")


Facts = dict[str, Any]
"""What is known of a key: names and JSON values."""
Lookup = Callable[[str], Facts | None]
"""What is known of a key; None where the log says nothing of it."""


class Reader(Protocol):
    """Reads a raw record with what the log says."""

    def __call__(self, raw: Mapping[str, Any], /, lookup: Lookup) -> Iterator[Record | Bad | Passed]:
        """The requests of the record."""
        ...


@dataclass(frozen=True)
class Join:
    """How a format whose records need one another is read twice (refrain.joined_facts).

    `tell` gives, of each raw record, keys and what it says of them: facts of one key add up, a later record's before
    an earlier's, in the order of the log. `read` is a Dialect's, with all that the log's files of this format say.
    Neither raises on any JSON value.
    """

    tell: Callable[[Mapping[str, Any]], Iterator[tuple[str, Facts]]]
    read: Reader


@dataclass(frozen=True)
class Dialect:
    """One format of logs.

    `recognises` says whether one decoded record is of this format, by its signature; two dialects never both say yes
    to a true record. `read` gives any number of requests of one raw record (an OTLP batch: many spans; a
    conversation: one a user turn) and raises on no JSON value. `version` is raised when what it reads changes.
    `fields`: our column -> the log's paths in order of precedence. `naive_times` is the zone of its times where they
    name none, from its documentation ("UTC"); empty means ingest.timezone. With `join`, `read` is for a record alone.
    `paths` names what a record has as `fields` does, where these are not its nested keys; `inspect` asks for it.
    """

    name: str
    title: str
    version: int
    recognises: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any]], Iterator[Record | Bad | Passed]]
    fields: Mapping[str, tuple[str, ...]]
    naive_times: str = ""
    join: Join | None = None
    paths: Callable[[Mapping[str, Any]], Iterable[str]] | None = None
