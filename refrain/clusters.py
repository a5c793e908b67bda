"""The stage `cluster`: segments that many owners word alike, by HDBSCAN over the neighbour graph.

Neighbours to core distances and mutual reachability (`density`), to a spanning forest (`spanning`), to a hierarchy
(`hierarchy`), to the condensed tree and its clusters (`condensed`); here are the tables on both sides.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.artifacts import Store
from refrain.condensed import Labels, Rules, label_points
from refrain.config import ClusterConfig
from refrain.counting import group_sizes
from refrain.progress import Progress
from refrain.queries import write_table
from refrain.reachability import Graph, reachability_forest
from refrain.spanning import Rows
from refrain.tables import column, read_columns

logger = logging.getLogger(__name__)

SEGMENT_CLUSTERS, CLUSTERS = "segment_clusters.parquet", "clusters.parquet"
TIME = pa.timestamp("us", tz="UTC")


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


SEGMENT_CLUSTERS_SCHEMA = _schema(segment_row=pa.int64(), cluster_id=pa.int64(), strength=pa.float64())
CLUSTERS_SCHEMA = _schema(
    cluster_id=pa.int64(),
    segments=pa.int64(),
    requests=pa.int64(),
    accounts=pa.int64(),
    owners=pa.int64(),
    first_seen=TIME,
    last_seen=TIME,
    stability=pa.float64(),
    exemplar_segment_row=pa.int64(),
)


@dataclass(frozen=True)
class Neighbourhood:
    """What the index stage left: `segment_rows` (n,) ascending, `indices` (n, k) and `similarities` (n, k)."""

    segment_rows: Rows
    indices: Rows
    similarities: NDArray[np.float32]


@dataclass(frozen=True)
class Uses:
    """Who sent which segment when, aligned arrays. What stands in an earlier request of the same conversation was
    counted there and is left out."""

    segments: Rows
    requests: Rows
    accounts: Rows
    owners: Rows
    times: Rows  # microseconds

    def take(self, chosen: Rows) -> "Uses":
        """The chosen ones, by place."""
        return Uses(*(getattr(self, field.name)[chosen] for field in fields(self)))


def cluster_segments(
    requests: Path, neighbours: Path, out: Path, config: ClusterConfig, *, store: Store, progress: Progress
) -> dict[str, int]:
    """Counts of segments, clusters and segments in none; the tables lie in `out`."""
    near = Neighbourhood(
        *(
            np.load(neighbours / f"{name}.npy", allow_pickle=False)
            for name in ("segment_rows", "indices", "similarities")
        )
    )
    with ThreadPoolExecutor(1) as reader, progress.task("clustering segments", len(near.segment_rows)) as advance:
        uses = reader.submit(_read_uses, requests)
        found = find_clusters(near, _owners(requests, near.segment_rows), config)
        advance(len(near.segment_rows))
    clusters, order = _cluster_table(near.segment_rows, found, uses.result())
    number = np.full(len(order) + 1, -1, dtype=np.int64)  # the last place is noise's
    number[order] = np.arange(len(order))
    table = pa.table([near.segment_rows, number[found.labels], found.strengths], schema=SEGMENT_CLUSTERS_SCHEMA)
    write_table(out / SEGMENT_CLUSTERS, SEGMENT_CLUSTERS_SCHEMA, [table])
    write_table(out / CLUSTERS, CLUSTERS_SCHEMA, [clusters])
    noise = int((found.labels < 0).sum())
    logger.info("%d clusters, %d of %d segments in none", len(order), noise, len(found.labels))
    return {"segments": len(found.labels), "clusters": len(order), "noise": noise}


def find_clusters(near: Neighbourhood, owners: Rows, config: ClusterConfig) -> Labels:
    """Labels of the segments (n,), numbered by no order that means anything, with strengths and stabilities.

    A segment weighs its distinct `owners` (n,), at least 1.
    """
    n = len(near.segment_rows)
    weights = np.maximum(owners, 1)
    graph = Graph(near.indices, near.similarities, weights)
    core, forest = reachability_forest(graph, config.min_samples, config.max_distance)
    rules = Rules(
        min_weight=config.min_owners,
        max_points=max(config.max_share_from, int(config.max_share * n)),
        same_distance=config.same_distance,
        max_distance=config.max_distance,
    )
    return label_points(forest, core, weights, rules)


def _owners(requests: Path, segment_rows: Rows) -> Rows:
    table = pq.read_table(requests / "segments.parquet", columns=["owners"])
    owners: Rows = table.column("owners").to_numpy()[segment_rows]
    return owners


def _read_uses(requests: Path) -> Uses:
    names = ["segment_row", "request_row", "counted"]
    segments, rows, counted = read_columns(requests / "request_segments", names).values()
    here = np.flatnonzero(counted)
    accounts, times = read_columns(requests / "requests", ["account_row", "timestamp"]).values()
    owners, rows = column(requests / "accounts.parquet", "owner_row"), rows[here]
    return Uses(segments[here], rows, accounts[rows], owners[accounts[rows]], times[rows])


def _cluster_table(segment_rows: Rows, found: Labels, uses: Uses) -> tuple[pa.Table, Rows]:
    """The table of clusters, numbered by owners, segments (both descending) and smallest segment; and the found labels
    in the order of these numbers."""
    inside = found.labels >= 0
    labels, rows, strengths = found.labels[inside], segment_rows[inside], found.strengths[inside]
    if not len(labels):
        return CLUSTERS_SCHEMA.empty_table(), np.empty(0, np.int64)
    label_of = np.full(int(max(rows[-1], uses.segments.max(initial=-1))) + 1, -1)  # rows ascend
    label_of[rows] = labels
    uses = uses.take(np.flatnonzero(label_of[uses.segments] >= 0))
    label, segments = label_of[uses.segments], np.bincount(labels)
    count = len(segments)
    owners = group_sizes(label, uses.owners, count)
    order = np.lexsort((_first(labels, rows, count), -segments, -owners))
    first_seen, last_seen = np.full(count, np.iinfo(np.int64).max), np.full(count, np.iinfo(np.int64).min)
    np.minimum.at(first_seen, label, uses.times)
    np.maximum.at(last_seen, label, uses.times)
    strongest = np.zeros(count)
    np.maximum.at(strongest, labels, strengths)
    full = strengths == strongest[labels]
    columns = {
        "cluster_id": np.arange(count),
        "segments": segments[order],
        "requests": group_sizes(label, uses.requests, count)[order],
        "accounts": group_sizes(label, uses.accounts, count)[order],
        "owners": owners[order],
        "first_seen": pa.array(first_seen[order]).cast(TIME),
        "last_seen": pa.array(last_seen[order]).cast(TIME),
        "stability": found.stabilities[order],
        "exemplar_segment_row": _first(labels[full], rows[full], count)[order],
    }
    return pa.table(columns, schema=CLUSTERS_SCHEMA), order


def _first(labels: Rows, rows: Rows, count: int) -> Rows:
    """The first row of each of `count` labels, all of which there are."""
    first = np.empty(count, np.int64)
    first[labels[::-1]] = rows[::-1]  # of several values for one place the last stays
    return first
