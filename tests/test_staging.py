"""Staging in worker processes: the same bytes, the same errors, nothing of the log in either."""

import gzip
import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refrain.artifacts import Store
from refrain.batches import MISSING, Reading
from refrain.config import IngestConfig
from refrain.contents import Lines
from refrain.errors import InputError, RefrainError, WorkerError, fault_place
from refrain.logs import discover
from refrain.progress import NoProgress
from refrain.records import Portion, read_batches, read_portions
from refrain.requests import ingest_logs
from refrain.settings import load_settings
from refrain.slices import Slice
from refrain.staging import Rules, Stager, Task, stage_all, worker_count
from refrain.times import clock

CONFIG = replace(load_settings().config.ingest, batch_rows=50, worker_mib=0, workers=1)
KEY = b"k" * 32
READING = Reading({}, clock("UTC", 2000, 2100), 50, 1 << 20, 1 << 20, ",")
SECRET = "xyzzy"
LINE = {"account_id": "a", "timestamp": 1_700_000_000, "messages": [{"role": "user", "content": SECRET}]}
PORTION = Portion("log.jsonl", 0, Lines([json.dumps(LINE).encode()]), {})
Row = dict[str, Any]


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (1,)


def rows(count: int, start: int = 0) -> Iterator[Row]:
    for at in range(start, start + count):
        given: Row = {"request_id": f"r{at}", "account_id": f"a{at % 7}", "timestamp": 1_700_000_000 + at}
        if at % 11 == 0:
            given["account_id"] = None
        if at % 13 == 0:
            given["messages"] = [{"role": "user", "content": f"Turn {at % 5}."}, {"role": "user", "content": "Again."}]
        yield {
            **given,
            "prompt": f"Say number {at % 17}. \u0410nd l\u0456ne {at % 23}\nPlease!",
            "ip": f"10.0.{at % 3}.1",
        }


def write(folder: Path) -> Path:
    """A log of every format, with records that cannot be used and some that arrive twice."""
    folder.mkdir()
    lines = [json.dumps(row) for row in rows(700)]
    lines[100:100] = ["{", "[1]", "", lines[5], lines[6].replace("number", "figure"), "x" * 2_000_000]
    with gzip.open(folder / "a.jsonl.gz", "wt") as out:
        out.write("\n".join(lines))
    fields = ("request_id", "account_id", "timestamp", "prompt", "ip")
    table = [",".join(fields)] + [",".join(f'"{row[name] or ""}"' for name in fields) for row in rows(300, 600)]
    (folder / "b.csv").write_text("\n".join([*table, "odd,row"]))
    (folder / "model=m").mkdir()
    pq.write_table(pa.Table.from_pylist(list(rows(400, 2000))), folder / "model=m" / "c.parquet")
    broken = pa.array([b"caf\xe9 ", b"two."]).cast(pa.binary())
    odd = pa.table({"account_id": ["a1", "a2"], "timestamp": [1_700_000_000] * 2, "prompt": broken})
    pq.write_table(odd, folder / "d.parquet")
    return folder


def ingest(log: Path, out: Path, config: IngestConfig) -> dict[str, bytes]:
    out.mkdir()
    # What one call keeps, the next must not find: it is the reading that is compared.
    config = replace(config, keep_staged=False)
    ingest_logs([str(log)], out, config, store=Store(out.parent / "store"), progress=NoProgress())
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_the_number_of_workers_changes_no_byte(tmp_path: Path) -> None:
    log = write(tmp_path / "log")
    config = replace(CONFIG, max_record_mib=1, max_structural_error_share=0.5)
    alone = ingest(log, tmp_path / "one", config)
    assert json.loads(alone["counts.json"])["structural_errors"] > 1
    assert ingest(log, tmp_path / "two", replace(config, workers=2)) == alone


@pytest.mark.parametrize("torn_files", ["stop", "keep"])
def test_a_torn_file_says_the_same_with_workers(tmp_path: Path, torn_files: str) -> None:
    whole = gzip.compress("\n".join(json.dumps(row) for row in rows(20_000)).encode())
    log = tmp_path / "log.jsonl.gz"
    log.write_bytes(whole[: len(whole) * 9 // 10])

    def outcome(workers: int) -> object:
        try:
            return ingest(
                log, tmp_path / f"out{workers}", replace(CONFIG, batch_rows=500, torn_files=torn_files, workers=workers)
            )
        except InputError as error:
            return error.message, error.hint

    assert outcome(1) == outcome(2)
    assert isinstance(outcome(3), dict) == (torn_files == "keep")


def test_an_error_in_a_worker_arrives_by_its_place_without_its_text(tmp_path: Path) -> None:
    rules = Rules(replace(CONFIG, max_turns=cast("int", SECRET)), READING, KEY, None)
    with pytest.raises(TypeError) as alone:
        Stager(rules).stage(Task(tmp_path, 1, (PORTION,)))
    with pytest.raises(WorkerError) as beside:
        list(stage_all(iter([Task(tmp_path, 1, (PORTION,))]), rules, 2))
    assert fault_place(beside.value) == fault_place(alone.value)
    assert SECRET not in f"{beside.value!r} {beside.value.__cause__!r} {beside.value.__context__!r}"


def test_a_disk_that_fails_in_a_worker_is_told_as_one(tmp_path: Path) -> None:
    rules = Rules(CONFIG, READING, KEY, None)
    with pytest.raises(FileNotFoundError, match="No such file") as caught:
        list(stage_all(iter([Task(tmp_path / "nowhere", 1, (PORTION,))]), rules, 2))
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_worker_that_dies_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    rules = Rules(CONFIG, READING, KEY, cast("Slice", Deadly()))
    with pytest.raises(RefrainError, match="worker process") as caught:
        list(stage_all(iter([Task(tmp_path, 1, ())]), rules, 2))
    assert "ingest.workers=1" in caught.value.hint


def test_small_logs_and_one_process_have_no_workers() -> None:
    config = replace(CONFIG, workers=3, worker_mib=2)
    assert worker_count(config, 2 << 20) == 3
    assert worker_count(config, (2 << 20) - 1) == 0
    assert worker_count(replace(config, workers=1), 1 << 30) == 0
    assert worker_count(replace(config, workers=0), 1 << 30) != 1


def test_portions_are_the_same_batches_in_another_process(tmp_path: Path) -> None:
    for file in discover([str(write(tmp_path / "log"))]):
        portions = [pickle.loads(pickle.dumps(part)) for part in read_portions(file, READING, lambda _: None)]  # noqa: S301
        assert [part.batch(READING) for part in portions] == list(read_batches(file, READING, lambda _: None))
        assert sum(part.size for part in portions) > 0
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING  # noqa: S301
