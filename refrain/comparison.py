"""What changed from one run to another: campaigns by their members, alerts, settings, labels.

Campaigns are matched by the accounts that are their members and, where both runs hold the same requests, by the
requests that carry their label; numbers of runs mean nothing in another. Two campaigns are *related* where they share
at least half of the smaller one. Pairs are those with the largest shares in all (an assignment, as in Kuhn, "The
Hungarian method for the assignment problem", 1955); what is related and left over is a part that split off or was
merged. Each campaign of either run is in exactly one change.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from refrain.counting import Ints
from refrain.runs import Run

SAME, GREW, SHRANK, CHANGED = "same", "grew", "shrank", "changed"
SPLIT, MERGED, REGROUPED, NEW, GONE = "split", "merged", "regrouped", "new", "gone"
_RELATED = 0.5  # share of the smaller one from which two campaigns are related: no campaign is mostly in two
_LABELS = ("cluster_id", "template_id", "campaign_id")
_NONE = -1  # a request without a label


@dataclass(frozen=True)
class Members:
    """The campaigns of one run by their numbers 0..n-1: accounts, labelled requests as positions among those that both
    runs hold, the number of all labelled requests, and whether they alert."""

    accounts: Sequence[frozenset[str]]
    common: Sequence[frozenset[int]]
    requests: Sequence[int]
    alerts: Sequence[bool]


@dataclass(frozen=True)
class Change:
    """What became of campaigns: numbers in the first run, numbers in the second, members and requests before and after,
    how many accounts came and went, and whether any alerted."""

    change: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    accounts: tuple[int, int]
    gained: int
    lost: int
    requests: tuple[int, int]
    alert: tuple[bool, bool]


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side. `settings` has what differs (None where a run lacks it), `agreement` the adjusted Rand
    index of each label over the requests that both hold, no label being a label of its own; None where they hold none.
    """

    runs: tuple[str, str]
    requests: tuple[int, int]
    common_requests: int
    changes: tuple[Change, ...]
    settings: Mapping[str, tuple[Any, Any]]
    agreement: Mapping[str, float | None]

    @property
    def raised(self) -> tuple[Change, ...]:
        """Changes after which something alerts that did not."""
        return tuple(change for change in self.changes if change.alert == (False, True))

    @property
    def dropped(self) -> tuple[Change, ...]:
        """Changes after which nothing alerts any more."""
        return tuple(change for change in self.changes if change.alert == (True, False))

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            **asdict(self),
            "settings": {name: list(values) for name, values in self.settings.items()},
            "agreement": dict(self.agreement),
            "raised": [list(change.after) for change in self.raised],
            "dropped": [list(change.before) for change in self.dropped],
        }


def compare(first: Run, second: Run) -> Comparison:
    """What changed; StoreError where one has no exports yet."""
    labels, codes, members = _side_by_side(first, second)
    settings = [_flat(run.config) for run in (first, second)]
    common = len(codes[0][0])
    return Comparison(
        runs=(first.name, second.name),
        requests=(labels[0].num_rows, labels[1].num_rows),
        common_requests=common,
        changes=tuple(changes(*members)),
        settings={
            name: (settings[0].get(name), settings[1].get(name))
            for name in sorted(settings[0].keys() | settings[1].keys())
            if settings[0].get(name) != settings[1].get(name)
        },
        agreement={
            name: adjusted_rand(before, after) if common else None
            for name, before, after in zip(_LABELS, *codes, strict=True)
        },
    )


def counterparts(first: Run, second: Run) -> dict[int, int]:
    """For each campaign of the second run that is related to one of the first, that of them with which it shares most.

    StoreError where one has no exports yet."""
    _, _, (before, after) = _side_by_side(first, second)
    shares, related = _shares(before, after)
    best = {b: _best(related[:, b], shares[:, b]) for b in range(len(after.accounts))}
    return {b: a for b, a in best.items() if a is not None}


def _side_by_side(first: Run, second: Run) -> tuple[list[pa.Table], list[list[Ints]], list[Members]]:
    """Of both runs the labels, those of common requests as `_codes` gives them, aligned, and the campaigns."""
    labels = [pq.read_table(run.result("exports") / "labels.parquet") for run in (first, second)]
    place = pc.index_in(labels[0]["request_id"], value_set=labels[1]["request_id"].combine_chunks())
    in_first = np.flatnonzero(place.is_valid().to_numpy())
    in_second = place.take(pa.array(in_first)).to_numpy().astype(np.int64)
    codes = [
        [_codes(table, name)[rows] for name in _LABELS]
        for table, rows in zip(labels, (in_first, in_second), strict=True)
    ]
    members = [_members(run, own[-1]) for run, own in zip((first, second), codes, strict=True)]
    return labels, codes, members


def changes(before: Members, after: Members) -> list[Change]:
    """Every campaign of either run in one change, by the first run's order and then the second's."""
    shares, related = _shares(before, after)
    rows, columns = linear_sum_assignment(np.where(related, shares, 0), maximize=True)
    pairs = {(a, b) for a, b in zip(rows.tolist(), columns.tolist(), strict=True) if related[a, b]}
    groups = {pair: ([pair[0]], [pair[1]]) for pair in sorted(pairs)}
    of_first, of_second = {a: (a, b) for a, b in pairs}, {b: (a, b) for a, b in pairs}
    gone, new = [], []
    for a in sorted(set(range(len(before.accounts))) - of_first.keys()):
        best = _best(related[a], shares[a])  # of a campaign left over, what it is related to has a pair
        gone.append(a) if best is None else groups[of_second[best]][0].append(a)
    for b in sorted(set(range(len(after.accounts))) - of_second.keys()):
        best = _best(related[:, b], shares[:, b])
        new.append(b) if best is None else groups[of_first[best]][1].append(b)
    told = [_change(before, after, tuple(sorted(a)), tuple(sorted(b))) for a, b in groups.values()]
    told += [_change(before, after, (a,), ()) for a in gone]
    return [*sorted(told, key=lambda change: change.before), *(_change(before, after, (), (b,)) for b in new)]


def adjusted_rand(first: Ints, second: Ints) -> float:
    """The adjusted Rand index of two labellings (n,) with labels from 0 on (Hubert and Arabie, "Comparing partitions",
    1985); 1 where both put all into one group, or each into its own."""
    width = int(second.max(initial=0)) + 1
    _, both = np.unique(first * width + second, return_counts=True)
    together, one, other = (_pairs(counts) for counts in (both, np.bincount(first), np.bincount(second)))
    expected = one * other / max(1.0, _pairs(np.array([len(first)])))
    most = (one + other) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def _pairs(counts: NDArray[np.int64]) -> float:
    wide = counts.astype(np.float64)
    return float((wide * (wide - 1) / 2).sum())


def _codes(table: pa.Table, name: str) -> Ints:
    """Labels from 0 on, in which 0 is none."""
    return np.asarray(table[name].fill_null(_NONE).to_numpy(), np.int64) + 1


def _members(run: Run, labels: Ints) -> Members:
    """The campaigns of a run; `labels` (n,) are those of the common requests, as `_codes` gives them."""
    exports = run.result("exports")
    campaigns = pq.read_table(exports / "campaigns.parquet", columns=["campaign_id", "alert", "requests"]).sort_by(
        "campaign_id"
    )
    accounts = pq.read_table(exports / "accounts.parquet", columns=["campaign_id", "account_id"])
    ids: list[set[str]] = [set() for _ in range(campaigns.num_rows)]
    for number, account in zip(accounts["campaign_id"].to_pylist(), accounts["account_id"].to_pylist(), strict=True):
        ids[number].add(account)
    common: list[frozenset[int]] = [
        frozenset(np.flatnonzero(labels == number + 1).tolist()) for number in range(campaigns.num_rows)
    ]
    return Members(
        [frozenset(one) for one in ids], common, campaigns["requests"].to_pylist(), campaigns["alert"].to_pylist()
    )


def _shares(before: Members, after: Members) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """For each pair (b, a) the mean of what accounts and common requests have in common of their union, and whether the
    same mean over the smaller of the two is at least `_RELATED`."""
    shape = (len(before.accounts), len(after.accounts))
    union, smaller = np.zeros(shape), np.zeros(shape)
    for a in range(shape[0]):
        for b in range(shape[1]):
            told = [_overlap(before.accounts[a], after.accounts[b])]
            if before.common[a] and after.common[b]:
                told.append(_overlap(before.common[a], after.common[b]))
            union[a, b], smaller[a, b] = np.mean(told, axis=0)
    return union, smaller >= _RELATED


def _overlap(one: Set[Any], other: Set[Any]) -> tuple[float, float]:
    """What two sets have in common, of their union and of the smaller; 0 where one is empty."""
    both = len(one & other)
    return both / max(1, len(one | other)), both / max(1, min(len(one), len(other)))


def _best(related: NDArray[np.bool_], shares: NDArray[np.float64]) -> int | None:
    """The related one with the largest share, the first of equals; None where none is related."""
    return int(np.where(related, shares, -1).argmax()) if related.any() else None


def _change(before: Members, after: Members, old: tuple[int, ...], new: tuple[int, ...]) -> Change:
    ours = frozenset[str]().union(*(before.accounts[a] for a in old))
    theirs = frozenset[str]().union(*(after.accounts[b] for b in new))
    match len(old), len(new):
        case 0, _:
            kind = NEW
        case _, 0:
            kind = GONE
        case 1, 1 if ours == theirs:
            kind = SAME
        case 1, 1:
            kind = GREW if len(theirs) > len(ours) else SHRANK if len(theirs) < len(ours) else CHANGED
        case 1, _:
            kind = SPLIT
        case _, 1:
            kind = MERGED
        case _:
            kind = REGROUPED
    return Change(
        change=kind,
        before=old,
        after=new,
        accounts=(len(ours), len(theirs)),
        gained=len(theirs - ours),
        lost=len(ours - theirs),
        requests=(sum(before.requests[a] for a in old), sum(after.requests[b] for b in new)),
        alert=(any(before.alerts[a] for a in old), any(after.alerts[b] for b in new)),
    )


def _flat(config: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{section}.{key}": value for section, values in config.items() for key, value in values.items()}
