"""The clustered segments as Parquet for Embedding Atlas: text, x, y, neighbours, cluster, accounts.

One row a segment, as `embedding-atlas FILE --text text --x x --y y --neighbors neighbors` reads it; `neighbors` has
`ids`, positions in this file, nearest first, and `distances`, one minus the cosine. It is a map of prompts: there is no
form of it without text.

https://apple.github.io/embedding-atlas/tool.html
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refrain.errors import InputError
from refrain.exporters.exporter import Exporter, Options
from refrain.exporters.map import Floats, Rows, on_a_map
from refrain.exporters.whole_files import write_whole

_COLUMNS = ("segment_row", "raw", "words", "requests", "accounts", "owners", "first_seen", "last_seen")
_LANDMARKS = 5000  # placed by t-SNE, half a minute on a core; the others by their neighbours


def write_atlas(exports: Path, to: str, options: Options) -> dict[str, int]:
    """The number of segments on the map."""
    if options.folder is None:
        raise InputError("a map of prompts cannot be shared without them", hint="choose another format")
    landmarks = _whole_number(options.more.get("landmarks", str(_LANDMARKS)))
    run = options.folder
    clusters = pq.read_table(run / "clusters" / "segment_clusters.parquet").sort_by("segment_row")
    clusters = clusters.filter(pc.not_equal(clusters["cluster_id"], -1))
    rows = clusters["segment_row"].to_numpy()
    segments = _segments(run / "requests" / "segments.parquet", rows)
    ids, distances = _neighbours(run / "neighbours", rows)
    labels = clusters["cluster_id"].to_numpy()
    owners = segments["owners"].to_numpy()
    with options.progress.task("drawing the map", None):
        places = on_a_map(ids, distances, labels, owners, landmarks)
    held = _templates(run / "templates" / "template_segments.parquet", rows)
    table = pa.table({
        "segment": segments["segment_row"],
        "text": segments["raw"],
        "x": places[:, 0],
        "y": places[:, 1],
        "neighbors": _as_structs(ids, distances),
        "cluster": labels,
        "strength": clusters["strength"],
        **{name: segments[name] for name in ("accounts", "owners", "requests", "words", "first_seen", "last_seen")},
        "templates": pa.array(held, pa.list_(pa.int64())),
        "campaigns": _campaigns(held, exports),
    })  # fmt: skip
    out = pa.BufferOutputStream()
    pq.write_table(table, out, compression="zstd")
    write_whole(Path(to), [out.getvalue()])
    return {"segments": table.num_rows}


def _segments(path: Path, rows: Rows) -> pa.Table:
    """The segments at some rows, ascending; the file is read a row group at a time."""
    wanted = pa.array(rows, pa.int64())
    file = pq.ParquetFile(path)
    found = [
        pa.Table.from_batches([batch]).filter(pc.is_in(batch.column("segment_row"), wanted))
        for batch in file.iter_batches(columns=list(_COLUMNS))
    ]
    schema = pa.schema([file.schema_arrow.field(name) for name in _COLUMNS])
    return pa.concat_tables([schema.empty_table(), *found]).combine_chunks()


def _neighbours(folder: Path, rows: Rows) -> tuple[Rows, Floats]:
    """For each of the rows its neighbours among them as positions (n, k), -1 where one is not, and their distances."""
    searched, indices, similarities = (
        np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        for name in ("segment_rows", "indices", "similarities")
    )
    where = np.searchsorted(searched, rows)  # neighbours are places among the segments that were searched
    position = np.full(len(searched) + 1, -1, np.int64)  # one more: -1 is no neighbour
    position[where] = np.arange(len(rows))
    ids = position[np.asarray(indices[where], np.int64)]
    distances = np.clip(1.0 - np.asarray(similarities[where], np.float64), 0.0, 2.0)
    return ids, np.where(ids >= 0, distances, 0.0)


def _as_structs(ids: Rows, distances: Floats) -> pa.Array:
    """The neighbours of each row as Embedding Atlas has them, without those that are not in the file."""
    keep = ids >= 0
    offsets = pa.array(np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int32))
    lists = [pa.ListArray.from_arrays(offsets, pa.array(values[keep])) for values in (ids, distances)]
    return pa.StructArray.from_arrays(lists, names=["ids", "distances"])


def _templates(path: Path, rows: Rows) -> list[list[int]]:
    """The templates that each of the segments is a fixed part of, ascending."""
    found: dict[int, set[int]] = {}
    table = pq.read_table(path, columns=["segment_row", "template_id"])
    table = table.filter(pc.is_in(table["segment_row"], pa.array(rows, pa.int64())))
    for segment, template in zip(table["segment_row"].to_pylist(), table["template_id"].to_pylist(), strict=True):
        found.setdefault(segment, set()).add(template)
    return [sorted(found.get(row, ())) for row in rows.tolist()]


def _campaigns(templates: list[list[int]], exports: Path) -> pa.Array:
    """The campaigns that the templates of each segment belong to, ascending."""
    table = pq.read_table(exports / "templates.parquet", columns=["template_id", "campaigns"])
    of: dict[int, list[int]] = dict(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))
    found: list[Any] = [sorted({one for number in some for one in of.get(number, ())}) for some in templates]
    return pa.array(found, pa.list_(pa.int64()))


def _whole_number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise InputError("--option landmarks is a whole number from 1")
    return int(text)


EXPORTER = Exporter(
    "atlas",
    "Parquet for Embedding Atlas: segments on a map",
    write_atlas,
    settings={"landmarks": f"segments that t-SNE places, the others follow; default: {_LANDMARKS}"},
)
