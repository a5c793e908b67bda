"""Templates: recurrent units that occur together, the requests that use them, and what fills their slots.

Units that stand near each other in requests and mostly occur together (Jaccard index over requests) are one template.
A line that unrelated templates share ("Question:") occurs mostly without any single one of them, so it glues none
together: it stays a template of its own, of which nothing follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from refrain.artifacts import Store
from refrain.config import MineConfig
from refrain.counting import Ints, distinct_pairs, ranges, slices
from refrain.progress import Progress
from refrain.skeletons import skeleton
from refrain.tables import column, read_columns, read_table, write_columns
from refrain.units import CLUSTER, EXACT, SegmentTexts, Units, find_units


@dataclass(frozen=True)
class Occurrences:
    """Segments in requests, one entry each, sorted by request, then position."""

    requests: Ints
    segments: Ints
    system: NDArray[np.bool_]
    owners: Ints  # of the request


@dataclass(frozen=True)
class Uses:
    """Which request uses which template, sorted by request, then template; `share` of the request's words is fixed."""

    requests: Ints
    templates: Ints
    shares: NDArray[np.float64]
    system: NDArray[np.bool_]


def mine_templates(
    requests: Path, clusters: Path, out: Path, config: MineConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of what was found; `out` then holds templates, request_templates and template_segments."""
    with progress.task("templates", 5) as advance:
        log = read_columns(requests / "requests", ["account_row", "timestamp", "prompt_text_row", "system_text_row"])
        account_owner = column(requests / "accounts.parquet", "owner_row")
        owner_of_request = account_owner[log["account_row"]]
        placed = read_columns(requests / "request_segments", ["request_row", "segment_row", "role"])
        rows = placed["request_row"]
        occurrences = Occurrences(rows, placed["segment_row"], placed["role"] == "system", owner_of_request[rows])
        table = read_table(requests / "segments.parquet", ["text", "raw", "words"])
        segment_words = table["words"].to_numpy().astype(np.int64)
        grouped = read_table(clusters / "segment_clusters.parquet", ["segment_row", "cluster_id"])
        cluster_ids = np.full(table.num_rows, -1)
        cluster_ids[grouped["segment_row"].to_numpy()] = grouped["cluster_id"].to_numpy()
        segments = SegmentTexts(table["text"].to_pylist(), table["raw"], cluster_ids)
        advance(1)
        units = find_units(segments, occurrences.segments, occurrences.owners, config)
        advance(1)
        sequence = _unit_sequence(occurrences, units)
        template_of_unit = group_units(sequence, units, config)
        advance(1)
        uses = _uses(sequence, occurrences, segment_words, units, template_of_unit, config)
        owners = owner_of_request[uses.requests]
        kept = _numbered(uses, owners, len(np.unique(template_of_unit)), config)
        template_of_unit = kept[template_of_unit]
        live = kept[uses.templates] >= 0
        renumbered = kept[uses.templates[live]]
        order = np.lexsort((renumbered, uses.requests[live]))
        uses = Uses(
            uses.requests[live][order], renumbered[order], uses.shares[live][order], uses.system[live][order]
        )
        advance(1)
        count = int(kept.max(initial=-1)) + 1
        rows_out = _describe(uses, occurrences, units, template_of_unit, log, account_owner, requests, count, config)
        write_columns(out / "templates.parquet", _TEMPLATES, rows_out)
        write_columns(
            out / "request_templates.parquet",
            _REQUEST_TEMPLATES,
            {
                "request_row": uses.requests,
                "template_id": uses.templates,
                "share": uses.shares,
                "role": np.where(uses.system, "system", "user"),
            },
        )
        at = template_of_unit[units.unit_rows] >= 0
        held = distinct_pairs(template_of_unit[units.unit_rows[at]], units.segment_rows[at])
        write_columns(
            out / "template_segments.parquet",
            _TEMPLATE_SEGMENTS,
            {"template_id": held[0], "segment_row": held[1], "cluster_id": cluster_ids[held[1]]},
        )
        advance(1)
    return {
        "templates": count,
        "units": len(units.kinds),
        "exact_units": units.kinds.count(EXACT),
        "reworded_units": units.kinds.count(CLUSTER),
        "requests": len(np.unique(uses.requests)),
    }


@dataclass(frozen=True)
class Sequence:
    """Units in requests in their order; `gaps` counts the segments without a unit since the one before."""

    requests: Ints
    units: Ints
    occurrences: Ints  # the entry of the occurrences


def _unit_sequence(occurrences: Occurrences, units: Units) -> Sequence:
    """Every unit of every segment of every request, in order."""
    bounds = slices(units.segment_rows, int(occurrences.segments.max(initial=-1)) + 2)
    low, high = bounds[occurrences.segments], bounds[occurrences.segments + 1]
    many = high - low
    at = np.repeat(np.arange(len(many)), many)
    return Sequence(occurrences.requests[at], units.unit_rows[low[at] + ranges(many)], at)


def group_units(sequence: Sequence, units: Units, config: MineConfig) -> Ints:
    """A group for each unit, equal for units that mostly occur together and stand near each other."""
    count = len(units.kinds)
    _, per_unit = distinct_pairs(sequence.requests, sequence.units)
    frequency = np.bincount(per_unit, minlength=count)
    pairs: list[Ints] = []
    width = max(count, 1)
    for step in range(1, config.near_units + 1):
        same = sequence.requests[step:] == sequence.requests[:-step]
        a, b = sequence.units[:-step][same], sequence.units[step:][same]
        keys = np.minimum(a, b) * width + np.maximum(a, b)
        request = sequence.requests[step:][same]
        pairs.append(np.unique(np.stack([keys[a != b], request[a != b]], axis=1), axis=0))
    both = np.unique(np.concatenate(pairs), axis=0)[:, 0] if pairs else np.zeros(0, np.int64)
    keys, together = np.unique(both, return_counts=True)
    a, b = keys // width, keys % width
    jaccard = together / np.maximum(frequency[a] + frequency[b] - together, 1)
    strong = jaccard >= config.together
    links = coo_array((np.ones(strong.sum()), (a[strong], b[strong])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _uses(
    sequence: Sequence, occurrences: Occurrences, segment_words: Ints, units: Units, template_of_unit: Ints, config: MineConfig
) -> Uses:
    """The requests that hold enough of a template's words."""
    count = int(template_of_unit.max(initial=-1)) + 1
    size = np.zeros(count)
    np.add.at(size, template_of_unit, units.words)
    request, unit = distinct_pairs(sequence.requests, sequence.units)
    key = request * max(count, 1) + template_of_unit[unit]
    keys, at = np.unique(key, return_inverse=True)
    held = np.bincount(at, units.words[unit], len(keys))
    requests, templates = keys // max(count, 1), keys % max(count, 1)
    total = np.bincount(occurrences.requests, segment_words[occurrences.segments])
    system_key = sequence.requests * max(count, 1) + template_of_unit[sequence.units]
    in_system = np.bincount(np.searchsorted(keys, system_key), occurrences.system[sequence.occurrences], len(keys)) > 0
    enough = held >= config.held_part * size[templates]
    share = np.minimum(held / np.maximum(total[requests], 1), 1)
    return Uses(requests[enough], templates[enough], share[enough], in_system[enough])


def _numbered(uses: Uses, owners: Ints, count: int, config: MineConfig) -> Ints:
    """The final id of each group, by owners, then requests, then first request; -1 for groups of too few owners."""
    per_owner = np.bincount(distinct_pairs(uses.templates, owners)[0], minlength=count)
    per_request = np.bincount(uses.templates, minlength=count)
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, uses.templates, uses.requests)
    order = np.lexsort((np.arange(count), first, -per_request, -per_owner))
    ids = np.full(count, -1)
    kept = order[per_owner[order] >= config.min_owners]
    ids[kept] = np.arange(len(kept))
    return ids


def _describe(
    uses: Uses,
    occurrences: Occurrences,
    units: Units,
    template_of_unit: Ints,
    log: dict[str, NDArray[Any]],
    account_owner: Ints,
    requests: Path,
    count: int,
    config: MineConfig,
) -> dict[str, Any]:
    """The columns of templates.parquet."""
    by_template = np.argsort(uses.templates, kind="stable")
    use_bounds = slices(uses.templates[by_template], count)
    unit_order = np.argsort(template_of_unit, kind="stable")
    unit_bounds = np.searchsorted(template_of_unit[unit_order], np.arange(count + 1))
    request_bounds = slices(occurrences.requests, len(log["account_row"]))
    segment_bounds = slices(units.segment_rows, int(occurrences.segments.max(initial=-1)) + 2)
    weights = _order_weights(occurrences)
    columns: dict[str, list[Any]] = {name: [] for name in _TEMPLATES.names}
    wanted: list[list[int]] = []
    for template in range(count):
        used = uses.requests[by_template[use_bounds[template] : use_bounds[template + 1]]]
        own_units = unit_order[unit_bounds[template] : unit_bounds[template + 1]]
        own = set(own_units.tolist())
        texts = {int(u): units.texts[u] for u in own_units}
        sample = used[np.linspace(0, len(used) - 1, min(len(used), config.skeleton_requests)).astype(np.int64)]
        sequences = []
        for request in sample:
            parts: list[int | None] = []
            for segment in occurrences.segments[request_bounds[request] : request_bounds[request + 1]]:
                pairs = slice(segment_bounds[segment], segment_bounds[segment + 1])
                found = [u for u in units.unit_rows[pairs].tolist() if u in own]
                whole = bool(units.whole[pairs].any()) if found else True
                parts.extend(found if whole else [None, *found, None])
                if not found:
                    parts.append(None)
            sequences.append(parts)
        accounts = log["account_row"][used]
        times = log["timestamp"][used]
        examples, seen = [], set()
        for request, account in zip(used.tolist(), accounts.tolist(), strict=True):
            owner = account_owner[account]
            if owner not in seen and len(examples) < config.examples:
                seen.add(owner)
                examples.append(request)
        wanted.append(examples)
        kinds = {units.kinds[u] for u in own_units}
        values = {
            "template_id": template,
            "skeleton": skeleton(sequences, texts)[: config.skeleton_characters],
            "kind": EXACT if EXACT in kinds else sorted(kinds)[0],
            "words": int(units.words[own_units].sum()),
            "requests": len(used),
            "accounts": len(np.unique(accounts)),
            "owners": len(np.unique(account_owner[accounts])),
            "first_seen": times.min(),
            "last_seen": times.max(),
            "fillings": _fillings(used, own_units, occurrences, units, segment_bounds, request_bounds, weights),
        }
        for name, value in values.items():
            columns[name].append(value)
    columns["examples"] = _examples(wanted, log, requests, config)
    return columns


def _order_weights(occurrences: Occurrences) -> NDArray[np.uint64]:
    """A pseudo-random word for each occurrence, of its segment and its place in the request's order."""
    place = np.arange(len(occurrences.requests)) - np.searchsorted(occurrences.requests, occurrences.requests)
    values = occurrences.segments.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + place.astype(np.uint64)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    return values ^ (values >> np.uint64(27))


def _fillings(
    used: Ints, own: Ints, occurrences: Occurrences, units: Units, segment_bounds: Ints, request_bounds: Ints, weights: NDArray[np.uint64]
) -> int:
    """How many different things stand beside the template's whole units in its requests."""
    many = request_bounds[used + 1] - request_bounds[used]
    at = np.repeat(request_bounds[used], many) + ranges(many)
    fixed = np.zeros(len(segment_bounds), bool)
    held = np.isin(units.unit_rows, own) & units.whole
    fixed[units.segment_rows[held]] = True
    free = ~fixed[occurrences.segments[at]] & ~occurrences.system[at]
    sums = np.zeros(len(used), np.uint64)
    np.add.at(sums, np.repeat(np.arange(len(used)), many)[free], weights[at[free]])
    return len(np.unique(sums))


def _examples(wanted: list[list[int]], log: dict[str, NDArray[Any]], requests: Path, config: MineConfig) -> list[list[str]]:
    """The texts of the example requests, cut: the prompt, or the system prompt where there is none."""
    prompt, system = log["prompt_text_row"], log["system_text_row"]
    rows = {r: int(prompt[r] if prompt[r] >= 0 else system[r]) for some in wanted for r in some}
    texts = read_table(requests / "texts.parquet", ["text_row", "text"])
    found = texts.take(pa.array(sorted({t for t in rows.values() if t >= 0}), pa.int64()))
    text = dict(zip(found["text_row"].to_pylist(), found["text"].to_pylist(), strict=True))
    return [[text.get(rows[r], "")[: config.example_characters] for r in some] for some in wanted]


_TIME = pa.timestamp("us", tz="UTC")
_TEMPLATES = pa.schema(
    [
        ("template_id", pa.int64()),
        ("skeleton", pa.string()),
        ("kind", pa.string()),
        ("words", pa.int64()),
        ("requests", pa.int64()),
        ("accounts", pa.int64()),
        ("owners", pa.int64()),
        ("first_seen", _TIME),
        ("last_seen", _TIME),
        ("fillings", pa.int64()),
        ("examples", pa.list_(pa.string())),
    ]
)
_REQUEST_TEMPLATES = pa.schema(
    [("request_row", pa.int64()), ("template_id", pa.int64()), ("share", pa.float64()), ("role", pa.string())]
)
_TEMPLATE_SEGMENTS = pa.schema([("template_id", pa.int64()), ("segment_row", pa.int64()), ("cluster_id", pa.int64())])
