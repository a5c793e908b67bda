"""What a template is to a person: skeleton, counts, times and examples."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.config import MineConfig
from refrain.counting import Ints, group_sizes, slices, stable_order
from refrain.occurrences import Occurrences
from refrain.readings import Told, read_templates
from refrain.skeletons import skeleton
from refrain.units import CLUSTER, EXACT, SPAN, Units
from refrain.uses import Uses

_KINDS = (EXACT, CLUSTER, SPAN)  # a template is of the first of these that it has
_BATCH = 4096  # templates whose texts are fetched together: bounds the memory, changes no result


@dataclass(frozen=True)
class Log:
    """The requests' columns that descriptions need, aligned with request_row; -1 for no text."""

    accounts: Ints
    owners: Ints
    times: Ints  # microseconds
    prompts: Ints  # rows of texts.parquet
    systems: Ints


def describe_templates(
    uses: Uses,
    placed: Occurrences,
    units: Units,
    template_of_unit: Ints,
    log: Log,
    readable: pa.ChunkedArray,
    texts: Path,
    config: MineConfig,
) -> dict[str, Any]:
    """The columns of templates.parquet; `readable` are the segments, `texts` is the table of the requests' texts."""
    count = int(template_of_unit.max(initial=-1)) + 1
    by_template = stable_order(uses.templates)
    bounds = slices(uses.templates[by_template], count)
    requests = uses.requests[by_template]
    chosen, examples_of = _of_distinct_owners(log.owners[requests], bounds, config.examples)
    sample = _spread(bounds, config.skeleton_requests)
    told = read_templates(uses, by_template[sample], placed, units, template_of_unit, count)
    with ThreadPoolExecutor(1) as reader:
        examples = reader.submit(_examples, requests[chosen], examples_of, log, texts, config.example_characters)
        shown = [text[: config.skeleton_characters] for text in _skeletons(told, units, readable)]
    owned = np.flatnonzero(template_of_unit >= 0)
    owned = owned[np.argsort(template_of_unit[owned], kind="stable")]
    unit_bounds = slices(template_of_unit[owned], count)
    kinds = np.array([_KINDS.index(kind) for kind in units.kinds], np.int64)[owned]
    return {
        "template_id": np.arange(count),
        "skeleton": shown,
        "kind": [_KINDS[kind] for kind in np.minimum.reduceat(kinds, unit_bounds[:-1])] if count else [],
        "words": np.bincount(template_of_unit[owned], units.words[owned], count).astype(np.int64),
        "requests": np.diff(bounds),
        "accounts": group_sizes(uses.templates, log.accounts[uses.requests], count),
        "owners": group_sizes(uses.templates, log.owners[uses.requests], count),
        # Requests are in the order of time.
        "first_seen": log.times[requests[bounds[:-1]]],
        "last_seen": log.times[requests[bounds[1:] - 1]],
        "examples": examples.result(),
    }


def _skeletons(told: Iterable[Told], units: Units, readable: pa.ChunkedArray) -> Iterator[str]:
    """Each template's skeleton. A unit reads as the template's own requests have it; one of many wordings as its median
    does."""
    told = iter(told)
    while some := list(islice(told, _BATCH)):
        said = [{unit: row for unit, row in one.segments.items() if units.kinds[unit] != CLUSTER} for one in some]
        texts = iter(readable.take(pa.array([row for rows in said for row in rows.values()], pa.int64())).to_pylist())
        for one, rows in zip(some, said, strict=True):
            yield skeleton(one.readings, _Texts(units.texts, zip(rows, texts, strict=False)))


class _Texts(dict[int, str]):
    """Texts of units, and those that all templates have in common where there is no other."""

    def __init__(self, common: Sequence[str], own: Iterable[tuple[int, str]]) -> None:
        super().__init__(own)
        self._common = common

    def __missing__(self, unit: int) -> str:
        return self._common[unit]


def _spread(bounds: Ints, most: int) -> Ints:
    """At most `most` positions of each run bounds[i]:bounds[i + 1], evenly from its first to its last."""
    sizes = np.diff(bounds)
    kept = np.repeat(sizes <= most, sizes)
    for run in np.flatnonzero(sizes > most):
        kept[np.linspace(bounds[run], bounds[run + 1] - 1, most).astype(np.int64)] = True
    return np.flatnonzero(kept)


def _of_distinct_owners(owners: Ints, bounds: Ints, most: int) -> tuple[Ints, Ints]:
    """At most `most` positions of distinct owners in each run bounds[i]:bounds[i + 1], as evenly spread as the owners
    allow, and how many each run has."""
    distinct, of_run = np.unique(np.diff(bounds), return_inverse=True)
    even = np.array([_even(size, most) for size in distinct.tolist()], np.int64).reshape(-1, most)
    places = bounds[:-1, None] + even[of_run]
    told = np.sort(owners[places], axis=1)
    many = np.full(len(places), most)
    kept = np.ones(places.shape, bool)
    for run in np.flatnonzero((told[:, 1:] == told[:, :-1]).any(axis=1)).tolist():
        low, high = bounds[run : run + 2].tolist()
        found = _nearest_of_distinct_owners(owners[low:high].tolist(), even[of_run[run]].tolist())
        many[run] = len(found)
        places[run, : len(found)] = low + np.array(found, np.int64)
        kept[run, len(found) :] = False
    return places[kept], many


def _nearest_of_distinct_owners(owners: Sequence[int], targets: Sequence[int]) -> list[int]:
    """Positions of distinct owners near the targets, ascending: as many as there are of both."""
    found: list[int] = []
    taken: set[int] = set()
    for target in targets:
        order = chain(range(target, len(owners)), range(target - 1, -1, -1))
        at = next((place for place in order if owners[place] not in taken), None)
        if at is None:
            break
        found.append(at)
        taken.add(owners[at])
    return sorted(found)


@lru_cache(maxsize=1 << 12)
def _even(count: int, many: int) -> list[int]:
    """So many positions among `count`, from the first to the last; some more than once where these are fewer."""
    places: list[int] = np.linspace(0, count - 1, many).astype(np.int64).tolist()
    return places


def _examples(requests: Ints, many: Ints, log: Log, texts: Path, characters: int) -> pa.ListArray:
    """The texts of requests, cut, a list of so `many` one after the other: the prompt, or the system prompt where there
    is none."""
    rows = np.where(log.prompts[requests] >= 0, log.prompts[requests], log.systems[requests])
    distinct, at = np.unique(np.append(rows, -1), return_inverse=True)  # -1 comes first: no text
    found = pa.concat_arrays([pa.array([""]), *_texts(texts, distinct[1:], characters)])
    offsets = np.concatenate([[0], np.cumsum(many)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), found.take(pa.array(at[:-1])))


def _texts(table: Path, rows: Ints, characters: int) -> Iterator[pa.StringArray]:
    """The first characters of the texts of some ascending rows, read one row group after the other."""
    file = pq.ParquetFile(table)
    before = 0
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        wanted = rows[(rows >= before) & (rows < before + count)]
        if len(wanted):
            column = file.read_row_group(group, columns=["text"])["text"].take(pa.array(wanted - before))
            yield from pc.utf8_slice_codeunits(column.cast(pa.string()), 0, characters).chunks
        before += count
