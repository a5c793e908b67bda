"""Templates: recurrent units that occur together, the requests that use them, and what fills their slots."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from refrain.artifacts import Store
from refrain.config import MineConfig
from refrain.counting import Ints, distinct_pairs, group_starts
from refrain.descriptions import Log, describe_templates
from refrain.fillings import count_fillings
from refrain.given_templates import GIVEN, given_groups, group_words, needed_words, telling_entries
from refrain.groups import group_units
from refrain.occurrences import Occurrences, occurrences, unit_sequence
from refrain.progress import Progress
from refrain.tables import column, read_coded, read_columns, read_table, write_columns
from refrain.turns import TEMPLATE
from refrain.units import CLUSTER, EXACT, SPAN, SegmentTexts, Units, find_units
from refrain.uses import Uses, final_ids, find_uses, frame_worth, renumbered

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


def mine_templates(
    requests: Path, clusters: Path, out: Path, config: MineConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of what was found; `out` then holds templates, request_templates and template_segments."""
    with progress.task("templates", 4) as advance:
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(_read_segments, requests, clusters)
            log = _read_log(requests)
            placed = _read_occurrences(requests, log.owners)
            segments, segment_words = coming.result()
        advance(1)
        telling = telling_entries(placed, segments.texts)
        sent = (placed.segments[telling], placed.owners[telling])
        units = find_units(segments, *sent, config, placed.given[telling])
        advance(1)
        sequence = unit_sequence(placed, units)
        groups = group_units(sequence, placed, len(units.kinds), config.near_units, config.together)
        count = int(groups.max(initial=-1)) + 1
        given = given_groups(sequence, placed, groups, count)
        own = group_words(units, sequence, placed, groups, given)
        sizes = needed_words(units, own, sequence, placed, groups, given)
        uses = find_uses(sequence, placed, segment_words, units.words, groups, sizes, config.held_part)
        fillings = count_fillings(uses, placed, units, groups, count)
        fixed = np.bincount(groups, own.fixed, count).astype(np.int64)
        ids = final_ids(uses, log.owners, frame_worth(fillings, fixed, config.sentence_words), config.min_owners)
        template_of_unit, uses = ids[groups], renumbered(uses, ids)
        advance(1)
        with ThreadPoolExecutor(1) as writer:
            written = [
                writer.submit(_write_uses, out / "request_templates.parquet", uses),
                writer.submit(
                    _write_segments, out / "template_segments.parquet", units, template_of_unit, segments.clusters
                ),
            ]
            columns = describe_templates(
                uses, placed, own, template_of_unit, log, segments.readable, requests / "texts.parquet", config
            )
            for table in written:
                table.result()
        kept = np.argsort(ids, kind="stable")[np.count_nonzero(ids < 0) :]
        columns["fillings"] = fillings[kept]
        columns["kind"] = np.where(given[kept], GIVEN, columns["kind"]).tolist()
        write_columns(out / "templates.parquet", _TEMPLATES, columns)
        advance(1)
    return {
        "templates": int(ids.max(initial=-1)) + 1,
        "units": len(units.kinds),
        "exact_units": units.kinds.count(EXACT),
        "span_units": units.kinds.count(SPAN),
        "reworded_units": units.kinds.count(CLUSTER),
        "requests": len(group_starts(uses.requests)),
    }


def _read_log(requests: Path) -> Log:
    names = ["account_row", "timestamp", "prompt_text_row", "system_text_row"]
    accounts, times, prompts, systems = read_columns(requests / "requests", names).values()
    owners = column(requests / "accounts.parquet", "owner_row")[accounts]
    return Log(accounts, owners, times, prompts, systems)


def _read_occurrences(requests: Path, owners: Ints) -> Occurrences:
    table = requests / "request_segments"
    roles = read_coded(table, ["role"])["role"]
    system, given = (
        np.array([role == wanted for role in roles.values] + [False])[roles.codes] for wanted in ("system", TEMPLATE)
    )
    rows, segments, counted = read_columns(table, ["request_row", "segment_row", "counted"]).values()
    return occurrences(rows, segments, system, given, counted.astype(bool), owners)


def _read_segments(requests: Path, clusters: Path) -> tuple[SegmentTexts, Ints]:
    """The segments and their lengths in words."""
    table = read_table(requests / "segments.parquet", ["text", "raw", "words"])
    rows, found = read_columns(clusters / "segment_clusters.parquet", ["segment_row", "cluster_id"]).values()
    cluster_ids = np.full(table.num_rows, -1)
    cluster_ids[rows] = found
    words = table["words"].to_numpy().astype(np.int64)
    return SegmentTexts(table["text"], table["raw"], cluster_ids), words


def _write_uses(path: Path, uses: Uses) -> None:
    role = np.where(uses.system, "system", "user")
    columns = {"request_row": uses.requests, "template_id": uses.templates, "share": uses.shares, "role": role}
    write_columns(path, _REQUEST_TEMPLATES, columns)


def _write_segments(path: Path, units: Units, template_of_unit: Ints, clusters: Ints) -> None:
    """The segments that hold a unit of each template."""
    templates = template_of_unit[units.unit_rows]
    live = templates >= 0
    templates, segments = distinct_pairs(templates[live], units.segment_rows[live])
    columns = {"template_id": templates, "segment_row": segments, "cluster_id": clusters[segments]}
    write_columns(path, _TEMPLATE_SEGMENTS, columns)
