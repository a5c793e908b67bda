"""Traces in staged tables of log files."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from refrain.needles import Needles
from refrain.purge_seen import Seen, Targets, digests_in, mentions, note_values, used_rows


def read_unit(
    unit: Path,
    targets: Targets,
    ids: Needles,
    texts: Seen,
    segments: Seen,
    values: tuple[set[str], set[str]],
) -> bool:
    """Whether a unit of staged tables holds something to be purged; what its requests have counts as seen."""
    touched = False
    try:
        for path in sorted(unit.glob("rows-*.parquet")):
            beside = {
                name: path.with_name(path.name.replace("rows", name)) for name in ("texts", "occurrences", "forms")
            }
            rows = pq.read_table(path, partitioning=None)
            doomed = targets.doomed(_texts(rows["account_id"]), _texts(rows["request_id"]), rows["time"].to_numpy())
            touched = touched or bool(doomed.any())
            digests = digests_in(beside["texts"])
            has = used_rows(
                len(digests), [(rows[name].fill_null(-1).to_numpy(), doomed) for name in ("prompt", "system")]
            )
            texts.add(digests, *has)
            digests = digests_in(beside["forms"])
            said = pq.read_table(beside["occurrences"], columns=["record", "form"], partitioning=None)
            has = used_rows(len(digests), [(said["form"].to_numpy(), doomed[said["record"].to_numpy()])])
            segments.add(digests, *has)
            note_values(rows, doomed, values)
        for path in sorted(unit.glob("refused-*.parquet")):
            refused = pq.read_table(path, columns=["request_id", "content"], partitioning=None)
            touched = touched or bool(mentions(refused["request_id"], refused["content"], ids).any())
    except (OSError, pa.ArrowException, KeyError, IndexError):
        return True  # whatever it holds, it is computed again
    return touched


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string())  # a dictionary, where it is read as one


def kept_in_unit(unit: Path) -> Iterator[str]:
    """The texts in a staged unit that holds nothing to be purged."""
    for name in ("texts", "forms"):
        for path in sorted(unit.glob(f"{name}-*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches(columns=["text"]):
                yield from batch.column(0).to_pylist()
