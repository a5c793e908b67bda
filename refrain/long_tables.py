"""The two long tables of the exports: a row a request, and a row a segment of a request.

The segments of the log are read once, a row group at a time; what they are joined with is held as arrays by row: of
each segment its cluster and its templates, of each request its label, and the pairs of requests and templates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refrain.ahead import ahead
from refrain.contract import LABELS, REQUEST_SEGMENTS
from refrain.counting import Ints, distinct_pairs, find_sorted, group_starts, ranges
from refrain.errors import StoreError
from refrain.queries import ROW_GROUP_ROWS, conform, write_table
from refrain.tables import read_columns

_NONE = np.iinfo(np.int64).max  # worse than any rank
_COLUMNS = ["request_row", "position", "role", "segment_row"]


@dataclass(frozen=True)
class _Joined:
    """What segments and requests are joined with; -1 where there is none."""

    cluster_ids: Ints  # by rank: most owners first, then the smaller id
    rank: Ints  # by segment_row: of its cluster
    strength: NDArray[np.float64]  # by segment_row
    fixed_from: Ints  # by segment_row: where its templates begin in `fixed`, one more at the end
    fixed: Ints  # template ids, ascending for each segment
    holding: Ints  # request_row * width + template_id, ascending
    width: int
    template: Ints  # by request_row: of its label
    campaign: Ints
    account_ids: pa.ChunkedArray
    account: Ints  # by account_row: its place in `account_ids`
    twice: int  # labels beyond a request's first


@dataclass(frozen=True)
class _Best:
    """Of a day's requests (n,), ascending: the best of the clustered segments seen so far."""

    request_rows: Ints
    rank: Ints  # outside the label's template, counted from the number of clusters on
    strength: NDArray[np.float64]

    def improve(self, request_row: Ints, rank: Ints, strength: NDArray[np.float64]) -> None:
        """Nothing; these segments, by ascending request, have been seen."""
        starts = group_starts(request_row)
        at = find_sorted(request_row[starts], self.request_rows)
        least = np.minimum.reduceat(rank, starts) if len(starts) else rank
        tied = rank == np.repeat(least, np.diff(np.append(starts, len(rank))))
        most = np.maximum.reduceat(np.where(tied, strength, -np.inf), starts) if len(starts) else strength
        at, least, most = at[at >= 0], least[at >= 0], most[at >= 0]
        before = self.rank[at]
        kept = np.where(before == least, np.maximum(self.strength[at], most), self.strength[at])
        self.strength[at] = np.where(least < before, most, kept)
        self.rank[at] = np.minimum(before, least)


def write_long_tables(
    requests: Path, clusters: Path, templates: Path, campaigns: Path, out: Path, advance: Callable[[int], None]
) -> dict[str, int]:
    """Rows written to labels.parquet and request_segments.parquet in `out`; `advance` hears of each day twice.

    StoreError where the inputs contradict each other: a request without an account or labelled twice, a segment without
    its request.
    """
    days = sorted(folder.name for folder in (requests / "requests").glob("day=*"))
    files = [pq.ParquetFile(requests / "requests" / day / "part-0.parquet") for day in days]
    segments = [pq.ParquetFile(requests / "request_segments" / day / "part-0.parquet") for day in days]
    joined = _join(requests, clusters, templates, campaigns)
    best: list[_Best] = []

    def segment_rows() -> Iterator[pa.Table]:
        for requests_file, segments_file in zip(files, segments, strict=True):
            table = requests_file.read(columns=["request_row", "request_id"])
            rows = _ascending(table["request_row"].to_numpy())
            best.append(_Best(rows, np.full(len(rows), _NONE), np.zeros(len(rows))))
            yield from _segments(segments_file, table["request_id"].combine_chunks(), best[-1], joined)
            advance(1)

    def label_rows() -> Iterator[pa.Table]:
        for requests_file, found in zip(files, best, strict=True):
            yield _labels(requests_file.read(columns=["request_id", "account_row"]), found, joined)
            advance(1)

    counts = {
        "request_segments": write_table(out / "request_segments.parquet", REQUEST_SEGMENTS, ahead(segment_rows())),
        "labels": write_table(out / "labels.parquet", LABELS, ahead(label_rows())),
    }
    for name, read, more in (("labels", files, joined.twice), ("request_segments", segments, 0)):
        expected = sum(file.metadata.num_rows for file in read)
        if counts[name] + more != expected:
            raise StoreError(f"{name} would have {counts[name] + more} rows where the requests have {expected}")
    return counts


def _join(requests: Path, clusters: Path, templates: Path, campaigns: Path) -> _Joined:
    found = read_columns(clusters / "clusters.parquet", ["cluster_id", "owners"])
    cluster_ids = found["cluster_id"][np.lexsort((found["cluster_id"], -found["owners"]))]
    of_segments = read_columns(clusters / "segment_clusters.parquet", ["segment_row", "cluster_id", "strength"])
    ranks = _by_row(cluster_ids, np.arange(len(cluster_ids)))
    fixed = read_columns(templates / "template_segments.parquet", ["segment_row", "template_id"])
    fixed_segments, fixed_templates = distinct_pairs(fixed["segment_row"], fixed["template_id"])
    size = max(len(of_segments["segment_row"]) and int(of_segments["segment_row"].max()) + 1, _size(fixed_segments))
    held = read_columns(templates / "request_templates.parquet", ["request_row", "template_id"])
    width = max(_size(held["template_id"]), _size(fixed_templates))
    holding = distinct_pairs(held["request_row"], held["template_id"])
    labels = read_columns(campaigns / "request_campaigns.parquet", ["request_row", "template_id", "campaign_id"])
    some = (labels["template_id"] >= 0) | (labels["campaign_id"] >= 0)
    labelled = labels["request_row"][some]
    accounts = pq.ParquetFile(requests / "accounts.parquet").read(columns=["account_row", "account_id"])
    account_rows = accounts["account_row"].to_numpy()
    strength = np.zeros(size)
    strength[of_segments["segment_row"]] = of_segments["strength"]
    return _Joined(
        cluster_ids,
        _by_row(of_segments["segment_row"], _at(ranks, of_segments["cluster_id"]), size),
        strength,
        np.searchsorted(fixed_segments, np.arange(size + 1)),
        fixed_templates,
        holding[0] * width + holding[1],
        width,
        _by_row(labelled, labels["template_id"][some]),
        _by_row(labelled, labels["campaign_id"][some]),
        accounts["account_id"],
        _by_row(account_rows, np.arange(len(account_rows))),
        len(labelled) - len(group_starts(np.sort(labelled))),
    )


def _size(rows: Ints) -> int:
    return int(rows.max()) + 1 if len(rows) else 0


def _by_row(rows: Ints, values: Ints, size: int = 0) -> Ints:
    """The values by row, -1 for a row that has none."""
    out = np.full(max(_size(rows), size), -1)
    out[rows] = values
    return out


def _at(values: Ints, rows: Ints) -> Ints:
    """The values at some rows, -1 beyond the last of them and at no row (below 0)."""
    if not len(values):
        return np.full(len(rows), -1)
    there = (rows >= 0) & (rows < len(values))
    return np.where(there, values[np.where(there, rows, 0)], -1)


def _ascending(rows: Ints) -> Ints:
    if (rows[1:] <= rows[:-1]).any():
        raise StoreError("the requests are not in the order of their rows")
    return rows


def _segments(file: pq.ParquetFile, request_ids: pa.Array, best: _Best, joined: _Joined) -> Iterator[pa.Table]:
    """The segments of a day's requests, in their order; the best cluster of each request is then known."""
    last = (-1, -1)
    for batch in file.iter_batches(ROW_GROUP_ROWS, columns=_COLUMNS):
        request_row, position, segment_row = (
            batch[name].to_numpy().astype(np.int64) for name in ("request_row", "position", "segment_row")
        )
        rows, places = np.append(last[0], request_row), np.append(last[1], position)
        if ((rows[1:] < rows[:-1]) | ((rows[1:] == rows[:-1]) & (places[1:] <= places[:-1]))).any():
            raise StoreError("the segments of the requests are not in the order of requests and positions")
        last = (int(rows[-1]), int(places[-1]))
        at = find_sorted(request_row, best.request_rows)
        if (at < 0).any():
            raise StoreError(f"{int((at < 0).sum())} segments are of requests that the log does not have")
        yield _part(batch, request_row, segment_row, request_ids.take(pa.array(at)), best, joined)


def _part(
    batch: pa.RecordBatch, request_row: Ints, segment_row: Ints, request_ids: pa.Array, best: _Best, joined: _Joined
) -> pa.Table:
    label = _at(joined.template, request_row)
    # Each segment's templates one after the other; `of` is the place of the segment in the batch.
    known = np.minimum(segment_row, len(joined.fixed_from) - 2)
    counts = np.where(known == segment_row, joined.fixed_from[known + 1] - joined.fixed_from[known], 0)
    of = np.repeat(np.arange(len(batch)), counts)
    template = joined.fixed[np.repeat(joined.fixed_from[known], counts) + ranges(counts)]
    labelled = template == label[of]

    rank = _at(joined.rank, segment_row)
    outside = np.ones(len(batch), bool)
    outside[of[labelled]] = False
    clustered = np.flatnonzero(rank >= 0)
    best.improve(
        request_row[clustered],
        (outside * len(joined.cluster_ids) + rank)[clustered],
        joined.strength[segment_row[clustered]],
    )

    near = slice(
        *np.searchsorted(joined.holding, [request_row[0] * joined.width, (request_row[-1] + 1) * joined.width])
    )
    held = find_sorted(request_row[of] * joined.width + template, joined.holding[near]) >= 0
    of, template, labelled = of[held], template[held], labelled[held]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(of, minlength=len(batch)))])
    first = _at(template, np.where(np.diff(offsets) > 0, offsets[:-1], -1))
    first[of[labelled]] = template[labelled]
    columns: dict[str, Any] = {
        "request_id": request_ids,
        "position": batch["position"],
        "role": batch["role"],
        "cluster_id": pa.array(_at(joined.cluster_ids, rank)),
        "template_id": pa.array(first, mask=first < 0),
        "templates": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(template)),
    }
    return conform(pa.table(columns), REQUEST_SEGMENTS)


def _labels(requests: pa.Table, best: _Best, joined: _Joined) -> pa.Table:
    """The labels of a day's requests that have an account."""
    account = _at(joined.account, requests["account_row"].to_numpy())
    there = account >= 0
    rows, rank, strength = best.request_rows[there], best.rank[there], best.strength[there]
    found = rank < _NONE
    place = np.where(found, rank % max(len(joined.cluster_ids), 1), -1)
    template, campaign = _at(joined.template, rows), _at(joined.campaign, rows)
    columns: dict[str, Any] = {
        "request_id": requests["request_id"].filter(pa.array(there)),
        "account_id": joined.account_ids.take(pa.array(account[there])),
        "cluster_id": pa.array(_at(joined.cluster_ids, place)),
        "strength": pa.array(np.where(found, strength, 0.0)),
        "template_id": pa.array(template, mask=template < 0),
        "campaign_id": pa.array(campaign, mask=campaign < 0),
    }
    return conform(pa.table(columns), LABELS)
