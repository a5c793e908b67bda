"""The stage `cluster`: segments that many owners word alike, by HDBSCAN over the neighbour graph.

Neighbours to core distances and mutual reachability (`density`), to a spanning forest (`spanning`), to a hierarchy
(`hierarchy`), to the condensed tree and its clusters (`condensed`); here are the tables on both sides.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.artifacts import Store
from refrain.condensed import Labels, Rules, label_points
from refrain.config import ClusterConfig
from refrain.progress import Progress
from refrain.queries import batches, database, write_table
from refrain.reachability import Graph, reachability_forest
from refrain.spanning import Rows

logger = logging.getLogger(__name__)

SEGMENT_CLUSTERS, CLUSTERS = "segment_clusters.parquet", "clusters.parquet"
TIME = pa.timestamp("us", tz="UTC")


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


SEGMENT_CLUSTERS_SCHEMA = _schema(segment_row=pa.int64(), cluster_id=pa.int64(), strength=pa.float64())
COUNTS_SCHEMA = _schema(
    cluster_id=pa.int64(),
    requests=pa.int64(),
    accounts=pa.int64(),
    owners=pa.int64(),
    first_seen=TIME,
    last_seen=TIME,
)
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
# What stands in an earlier request of the same conversation was counted there.
COUNTS_SQL = """
    SELECT cluster_id, count(DISTINCT request_row) AS requests, count(DISTINCT account_row) AS accounts,
           count(DISTINCT owner_row) AS owners, min(timestamp) AS first_seen, max(timestamp) AS last_seen
    FROM read_parquet($request_segments, hive_partitioning = false) AS uses
    JOIN clustered USING (segment_row)
    JOIN read_parquet($requests, hive_partitioning = false) AS requests USING (request_row)
    JOIN read_parquet($accounts) AS accounts USING (account_row)
    WHERE counted GROUP BY cluster_id ORDER BY cluster_id
"""


@dataclass(frozen=True)
class Neighbourhood:
    """What the index stage left: `segment_rows` (n,) ascending, `indices` (n, k) and `similarities` (n, k)."""

    segment_rows: Rows
    indices: Rows
    similarities: NDArray[np.float32]


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
    with progress.task("clustering segments", len(near.segment_rows)) as advance:
        found = find_clusters(near, _owners(requests, near.segment_rows), config)
        advance(len(near.segment_rows))
    clusters, order = _cluster_table(requests, near.segment_rows, found, config, out)
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


def _cluster_table(
    requests: Path, segment_rows: Rows, found: Labels, config: ClusterConfig, out: Path
) -> tuple[pa.Table, Rows]:
    """The table of clusters, numbered by owners, segments (both descending) and smallest segment; and the found labels
    in the order of these numbers."""
    inside = found.labels >= 0
    labels, rows, strengths = found.labels[inside], segment_rows[inside], found.strengths[inside]
    if not len(labels):
        return CLUSTERS_SCHEMA.empty_table(), np.empty(0, np.int64)
    with database(config.memory_limit_mib, out) as connection:
        connection.register("clustered", pa.table({"segment_row": rows, "cluster_id": labels}))
        paths = {
            "request_segments": str(requests / "request_segments" / "*" / "*.parquet"),
            "requests": str(requests / "requests" / "*" / "*.parquet"),
            "accounts": str(requests / "accounts.parquet"),
        }
        counts = pa.concat_tables(batches(connection, COUNTS_SQL, COUNTS_SCHEMA, paths))
    segments = np.bincount(labels)
    owners = counts.column("owners").to_numpy()
    smallest = rows[np.unique(labels, return_index=True)[1]]  # rows ascend
    order = np.lexsort((smallest, -segments, -owners))
    by_strength = np.lexsort((rows, -strengths, labels))
    exemplars = rows[by_strength[np.searchsorted(labels[by_strength], np.arange(len(segments)))]]
    columns = {name: counts.column(name).take(order) for name in COUNTS_SCHEMA.names}
    columns |= {
        "cluster_id": pa.array(np.arange(len(order))),
        "segments": pa.array(segments[order]),
        "stability": pa.array(found.stabilities[order]),
        "exemplar_segment_row": pa.array(exemplars[order]),
    }
    return pa.table({name: columns[name] for name in CLUSTERS_SCHEMA.names}, schema=CLUSTERS_SCHEMA), order
