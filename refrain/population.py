"""The population of a log: one row an owner, what is known of it, and its requests.

Everything that a test compares is read from here, so that a test sees columns and never a log. A column that the log
does not have is marked absent, and the tests that need it say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, distinct_pairs, group_starts, ranges, slices, stable_order
from refrain.letters import scripts_of
from refrain.networks import exit_network
from refrain.tables import Coded, column, read_coded, read_columns, read_table

Floats = NDArray[np.float64]
MICROSECONDS = 1_000_000
MINUTE_US = 60 * MICROSECONDS
DAY_US = 86_400 * MICROSECONDS
NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Trait:
    """Values that owners have, many to many: pairs (owner, value) once each, sorted by owner.

    `bounds` (owners + 1,) are the runs of each owner in `values`; `count` is the number of distinct values.
    """

    values: Ints
    bounds: Ints
    count: int
    names: list[str]

    def __getstate__(self) -> dict[str, Any]:
        """What a worker is sent: it compares numbers, and a million names would be sent with every part."""
        return {**self.__dict__, "names": []}

    @property
    def present(self) -> bool:
        """Whether the log has the column at all."""
        return len(self.values) > 0

    @cached_property
    def owners_of_values(self) -> Ints:
        """(count,) how many owners have each value."""
        return np.bincount(self.values, minlength=self.count)

    @cached_property
    def shared(self) -> tuple[Ints, Ints]:
        """The values that two owners or more have, owner by owner, and the bounds (owners + 1,) of each one's."""
        kept = self.owners_of_values[self.values] > 1
        return self.values[kept], np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[self.bounds]

    def of_all(self, owners: Ints) -> Ints:
        """The values of several owners, one owner after the other."""
        many = self.bounds[owners + 1] - self.bounds[owners]
        flat: Ints = self.values[np.repeat(self.bounds[owners], many) + ranges(many)]
        return flat


@dataclass(frozen=True)
class Population:
    """Owners, numbered by row, and requests, numbered by row, with the columns that tests need.

    Times are microseconds since 1970 in UTC. `by_owner` lists request rows owner by owner with `bounds` (owners + 1,).
    `age_days` is the time from signing up to the first request in the log, NaN where unknown; `client` and
    `request_model` are codes, -1 for unknown; `script` is a code of the owner's most used script.
    """

    owners: int
    request_owner: Ints
    request_time: Ints
    request_model: Ints
    by_owner: Ints
    bounds: Ints
    activity: Ints
    age_days: Floats
    client: Ints
    clients: list[str]
    card: Trait
    network: Trait
    asn: Trait  # autonomous systems
    asn_share: float  # of the requests whose network or system is known, those whose system is
    script: Ints
    _shuffled: dict[int, Ints] = field(default_factory=dict, init=False, repr=False, compare=False)

    def complete(self, seed: int) -> None:
        """Compute all that is computed once, so that no worker has to, the order by this seed with it."""
        if len(self.request_owner):
            _ = self.hours, self.days, self.position, self.minute_by_owner, self.spans, self.active_days
            self.shuffled(seed)

    def shuffled(self, seed: int) -> Ints:
        """Request rows owner by owner, each owner's in an order by lot; computed once."""
        if seed not in self._shuffled:
            by_lot = stable_order(np.random.default_rng(seed).random(len(self.request_owner)))
            self._shuffled[seed] = by_lot[stable_order(self.request_owner[by_lot])]
        return self._shuffled[seed]

    @cached_property
    def hours(self) -> Floats:
        """Hour of the day of each request, UTC, [0, 24)."""
        return (self.request_time % DAY_US) / (3600 * MICROSECONDS)

    @cached_property
    def days(self) -> Ints:
        """Day of each request, 0 for the first day of the log."""
        return self.request_time // DAY_US - (int(self.request_time.min()) // DAY_US if len(self.request_time) else 0)

    @cached_property
    def has_models(self) -> bool:
        """Whether any request's model is known."""
        return bool((self.request_model >= 0).any())

    def values_per_request(self, trait: Trait) -> Floats:
        """(owners,) distinct values of a trait for each request; NaN where none is known."""
        many = np.diff(trait.bounds)
        return np.where(many > 0, many / self.activity, np.nan)

    @cached_property
    def position(self) -> Ints:
        """The place of each request among its owner's, in time order, from 0."""
        out = np.empty(len(self.request_owner), np.int64)
        out[self.by_owner] = ranges(self.activity)
        return out

    @cached_property
    def minute(self) -> NDArray[np.signedinteger]:
        """(requests,) the minute of each request, 0 for the first of the log; of 32 bits where they will do."""
        minute = self.request_time // MINUTE_US
        minute -= minute.min() if len(minute) else 0
        return minute.astype(np.int32) if minute.max(initial=0) <= np.iinfo(np.int32).max // 2 else minute

    @cached_property
    def minute_by_owner(self) -> NDArray[np.signedinteger]:
        """The same as `by_owner` lists them."""
        return self.minute[self.by_owner]

    @cached_property
    def spans(self) -> tuple[Ints, Ints, int, int]:
        """(owners,) the first and the last request's time, and those of the log; every owner has a request."""
        first = self.request_time[self.by_owner[self.bounds[:-1]]]
        last = self.request_time[self.by_owner[self.bounds[1:] - 1]]
        return first, last, int(first.min()), int(last.max())

    @cached_property
    def active_days(self) -> tuple[Ints, Ints, Ints]:
        """The days on which owners send, owner by owner: the day, the requests on it, and the bounds (owners + 1,)."""
        owner, day = self.request_owner[self.by_owner], self.days[self.by_owner]
        first = group_starts(owner, day)
        return day[first], np.diff(first, append=len(owner)), slices(owner[first], self.owners)

    def places_of_all(self, owners: Ints) -> Ints:
        """Where in `by_owner` the requests of several owners are, one after the other, each in time order."""
        many = self.activity[owners]
        places = ranges(many)
        places += np.repeat(self.bounds[owners], many)
        return places

    def requests_of_all(self, owners: Ints) -> Ints:
        """The request rows of several owners, one after the other, each in time order."""
        rows: Ints = self.by_owner[self.places_of_all(owners)]
        return rows

    def requests_of(self, owner: int) -> Ints:
        """The request rows of one owner, in time order."""
        return self.by_owner[self.bounds[owner] : self.bounds[owner + 1]]


class Senders(NamedTuple):
    """The owner of each request, and the requests of each owner."""

    request_owner: Ints
    activity: Ints


def read_senders(requests: Path) -> Senders:
    """Those of an ingested log, as its population has them."""
    account_owner = column(requests / "accounts.parquet", "owner_row")
    request_owner = account_owner[column(requests / "requests", "account_row")]
    return Senders(request_owner, np.bincount(request_owner, minlength=int(account_owner.max(initial=-1)) + 1))


def read_population(requests: Path, ipv4_prefix: int, ipv6_prefix: int) -> Population:
    """The population of an ingested log; addresses count by network, of the given prefix lengths in bits."""
    log = read_columns(requests / "requests", ["account_row", "timestamp"])
    texts = read_coded(requests / "requests", ["user_agent", "payment_hash", "ip", "network", "asn", "model"])
    accounts = read_columns(requests / "accounts.parquet", ["owner_row", "created_at"])
    account_owner = accounts["owner_row"]
    owners = int(account_owner.max(initial=-1)) + 1
    request_owner = account_owner[log["account_row"]]
    by_owner = stable_order(request_owner)
    bounds = slices(request_owner[by_owner], owners)
    first = np.full(owners, np.iinfo(np.int64).max)
    np.minimum.at(first, request_owner, log["timestamp"])
    created = np.full(owners, np.iinfo(np.int64).max)
    known = accounts["created_at"] != NO_TIME
    np.minimum.at(created, account_owner[known], accounts["created_at"][known])
    age = np.where(created < np.iinfo(np.int64).max, (first - created) / DAY_US, np.nan)
    networks = _networks(texts["ip"], texts["network"], ipv4_prefix, ipv6_prefix)
    systems = texts["asn"]
    return Population(
        owners,
        request_owner,
        log["timestamp"],
        texts["model"].codes,
        by_owner,
        bounds,
        np.bincount(request_owner, minlength=owners),
        np.maximum(age, 0),
        _most_used(request_owner, texts["user_agent"].codes, owners),
        texts["user_agent"].values,
        _trait(request_owner, texts["payment_hash"].codes, owners, texts["payment_hash"].values),
        _trait(request_owner, networks.codes, owners, networks.values),
        _trait(request_owner, systems.codes, owners, systems.values),
        float((systems.codes >= 0).sum() / max(1, ((systems.codes >= 0) | (networks.codes >= 0)).sum())),
        _scripts(requests, request_owner, owners),
    )


def _networks(addresses: Coded, given: Coded, ipv4_prefix: int, ipv6_prefix: int) -> Coded:
    """The network of each request: the one that the log gives, else that of the address; -1 where there is neither."""
    found = [exit_network(value, ipv4_prefix, ipv6_prefix) or "" for value in addresses.values]
    names = sorted({name for name in (*found, *given.values) if name})
    code = {name: at for at, name in enumerate(names)}
    of_address, of_given = (np.array([code.get(name, -1) for name in held] + [-1]) for held in (found, given.values))
    codes = np.where(given.codes >= 0, of_given[given.codes], of_address[addresses.codes])
    # An address that always comes with its network names none itself.
    used = np.unique(codes[codes >= 0])
    return Coded(np.where(codes >= 0, np.searchsorted(used, codes), -1), [names[at] for at in used.tolist()])


def _trait(owner: Ints, codes: Ints, owners: int, names: list[str]) -> Trait:
    known = codes >= 0
    pair_owner, values = distinct_pairs(owner[known], codes[known])
    return Trait(values, slices(pair_owner, owners), len(names), names)


def _most_used(owner: Ints, codes: Ints, owners: int) -> Ints:
    """The code that most of an owner's requests have, the smallest among equals, -1 where none is known."""
    known = codes >= 0
    out = np.full(owners, -1)
    if not known.any():
        return out
    width = int(codes.max()) + 1
    ordered = np.sort(owner[known] * width + codes[known])
    starts = group_starts(ordered)
    keys, counts = ordered[starts], np.diff(starts, append=len(ordered))
    order = np.lexsort((-(keys % width), counts, keys // width))  # the last entry of an owner is the one wanted
    last = np.flatnonzero(np.diff(keys[order] // width, append=-1))
    out[keys[order][last] // width] = keys[order][last] % width
    return out


def _scripts(requests: Path, request_owner: Ints, owners: int) -> Ints:
    """The code of each owner's most used script, as `scripts.script_of` numbers them."""
    code = scripts_of(read_table(requests / "segments.parquet", ["text"])["text"])
    placed = read_columns(requests / "request_segments", ["request_row", "segment_row"])
    scripts = _most_used(request_owner[placed["request_row"]], code[placed["segment_row"]], owners)
    return np.maximum(scripts, 0)
