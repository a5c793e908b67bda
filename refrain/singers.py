"""Which accounts use which clusters and templates, as sparse 0/1 matrices: what map and overlap are drawn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.sparse import csr_array

from refrain.queries import Value, database

# MiB for the distinct pairs; the wanted rows are some hundred, so the result is small beside the scan.
_MEMORY_LIMIT_MIB = 1024

_CLUSTER_ACCOUNTS = """
SELECT DISTINCT c.cluster_id AS item, r.account_row
FROM read_parquet($segments) s
JOIN read_parquet($clusters) c USING (segment_row)
JOIN read_parquet($requests) r USING (request_row)
WHERE list_contains($wanted, c.cluster_id)
"""
_TEMPLATE_ACCOUNTS = """
SELECT DISTINCT t.template_id AS item, r.account_row
FROM read_parquet($templates) t JOIN read_parquet($requests) r USING (request_row)
WHERE list_contains($wanted, t.template_id)
"""
# Clusters that a template is made of, by the template's segments: a unit that is one exact segment names no cluster.
_TEMPLATE_CLUSTERS = """
SELECT DISTINCT t.template_id, c.cluster_id
FROM read_parquet($templates) t JOIN read_parquet($clusters) c USING (segment_row)
WHERE list_contains($wanted, t.template_id) AND c.cluster_id >= 0
ORDER BY ALL
"""


@dataclass(frozen=True)
class Singers:
    """The items in the order asked for, and `uses` (items, accounts): 1 where an account uses an item."""

    items: tuple[int, ...]
    uses: csr_array

    @property
    def accounts(self) -> NDArray[np.int64]:
        """The number of accounts of each item (n,)."""
        return np.asarray(self.uses.sum(axis=1), dtype=np.int64)

    @property
    def shared(self) -> NDArray[np.float64]:
        """The number of accounts that each two items share (n, n)."""
        return np.asarray((self.uses @ self.uses.T).toarray(), dtype=np.float64)

    def cosine(self) -> NDArray[np.float64]:
        """Shared accounts over the geometric mean of both numbers (n, n), in [0, 1]; 0 for an item nobody uses."""
        root = np.sqrt(np.maximum(self.accounts, 1))
        return np.asarray(self.shared / np.outer(root, root))

    def overlap(self) -> NDArray[np.float64]:
        """Shared accounts over the smaller of both numbers (n, n): 1 where one's accounts are all among the other's."""
        counts = np.maximum(self.accounts, 1)
        return np.asarray(self.shared / np.minimum.outer(counts, counts))


def of_clusters(run: Path, clusters: Sequence[int]) -> Singers:
    """Who uses a segment of which of some clusters."""
    files: dict[str, Value] = {
        "segments": _parts(run, "request_segments"),
        "requests": _parts(run, "requests"),
        "clusters": [str(run / "clusters" / "segment_clusters.parquet")],
    }
    return _singers(run, _CLUSTER_ACCOUNTS, clusters, files)


def of_templates(run: Path, templates: Sequence[int]) -> Singers:
    """Who sent a request with which of some templates."""
    files: dict[str, Value] = {
        "templates": [str(run / "templates" / "request_templates.parquet")],
        "requests": _parts(run, "requests"),
    }
    return _singers(run, _TEMPLATE_ACCOUNTS, templates, files)


def clusters_of(run: Path, templates: Sequence[int]) -> dict[int, list[int]]:
    """The clusters that each of some templates is made of, ascending; none is left out."""
    files = {
        "templates": [str(run / "templates" / "template_segments.parquet")],
        "clusters": [str(run / "clusters" / "segment_clusters.parquet")],
    }
    found: dict[int, list[int]] = {template: [] for template in templates}
    with database(_MEMORY_LIMIT_MIB) as connection:
        for template, cluster in connection.execute(
            _TEMPLATE_CLUSTERS, {**files, "wanted": list(templates)}
        ).fetchall():
            found[template].append(cluster)
    return found


def _parts(run: Path, table: str) -> list[str]:
    return [str(path) for path in sorted((run / "requests").glob(f"{table}/day=*/part-0.parquet"))]


def _singers(run: Path, sql: str, items: Sequence[int], files: dict[str, Value]) -> Singers:
    accounts = pq.read_metadata(run / "requests" / "accounts.parquet").num_rows
    shape = (len(items), accounts)
    if not items or not files["requests"]:
        return Singers(tuple(items), csr_array(shape, dtype=np.int64))
    with database(_MEMORY_LIMIT_MIB) as connection:
        pairs = connection.execute(sql, {**files, "wanted": list(items)}).fetchnumpy()
    position = {item: row for row, item in enumerate(items)}
    rows = np.array([position[int(item)] for item in pairs["item"]], dtype=np.int64)
    columns = np.asarray(pairs["account_row"], dtype=np.int64)
    return Singers(tuple(items), csr_array((np.ones(len(rows), np.int64), (rows, columns)), shape=shape))
