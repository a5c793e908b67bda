"""Systems of addresses beside a log's own: what wins, what is kept for the next night, what changes nothing."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from refrain.artifacts import Store
from refrain.batches import MISSING, Batch
from refrain.errors import ConfigError, InputError
from refrain.inspection import inspect_log
from refrain.population import read_population
from refrain.progress import NoProgress
from refrain.requests import ingest_logs
from refrain.settings import load_settings
from refrain.stages import ingest
from refrain.system_lookup import open_systems, systems_identity

CONFIG = load_settings().config
TABLE = "network,autonomous_system_number\n198.51.100.0/25,64500\n198.51.100.128/25,64501\n2001:db8::/32,64502\n"


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "table.csv").write_text(TABLE)
    yield tmp_path / "table.csv"


def records() -> list[dict[str, Any]]:
    places: list[dict[str, Any]] = [
        {"ip": "198.51.100.7"}, {"ip": "198.51.100.200"}, {"ip": "2001:db8::5"}, {"ip": "192.0.2.1"}, {},
        {"ip": "198.51.100.7", "asn": 64999}, {"ip": "198.51.100.7", "asn": ""}, {"ip": "198.51.100.7", "asn": "AS0"},
        {"ip": ["198.51.100.7"]}, {"ip": "some-hash", "asn": "AS64503 Name"}, {"asn": "h1:00"},
        {"ip": "::ffff:198.51.100.7"},
    ]  # fmt: skip
    return [
        {"account_id": f"p{at}", "timestamp": f"2026-03-02T10:00:{at:02}Z", "prompt": f"Ask number {at}", **place}
        for at, place in enumerate(places)
    ]


EXPECTED = [
    "AS64500", "AS64501", "AS64502", None, None, "AS64999", "AS64500", "AS64500", None, "AS64503", "h1:00", "AS64500",
]  # fmt: skip


def written(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records()))
    return folder / "log.jsonl"


def requests_of(out: Path) -> list[dict[str, Any]]:
    files = sorted((out / "requests").glob("day=*/*.parquet"))
    return [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]


@pytest.mark.parametrize("workers", [1, 2])
def test_the_logs_number_wins_and_the_table_says_the_others(tmp_path: Path, table: Path, workers: int) -> None:
    settings = replace(CONFIG.ingest, asn_table=str(table), workers=workers, worker_mib=0)
    (tmp_path / "out").mkdir()
    ingest_logs(
        [str(written(tmp_path / "log"))],
        tmp_path / "out",
        settings,
        store=Store(tmp_path / "store"),
        progress=NoProgress(),
    )
    assert [row["asn"] for row in requests_of(tmp_path / "out")] == EXPECTED
    population = read_population(tmp_path / "out", 24, 48)
    assert sorted(population.asn.names) == sorted({name for name in EXPECTED if name})
    assert population.asn_share == pytest.approx(9 / 11)  # of requests with an address or a number


def test_without_a_table_and_a_column_nothing_else_changes(tmp_path: Path, table: Path) -> None:
    log = written(tmp_path / "log")
    rows = []
    for name, told in (("with", str(table)), ("without", "")):
        settings = replace(CONFIG.ingest, asn_table=told, keep_staged=False)
        (tmp_path / name).mkdir()
        ingest_logs([str(log)], tmp_path / name, settings, store=Store(tmp_path / "store"), progress=NoProgress())
        rows.append(requests_of(tmp_path / name))
    assert [row["asn"] for row in rows[1]] == [
        *[None] * 5, "AS64999", None, None, None, "AS64503", "h1:00", None,
    ]  # fmt: skip
    # Not even the ids that requests have by their content: what a table says is no part of it.
    assert [{**row, "asn": None} for row in rows[0]] == [{**row, "asn": None} for row in rows[1]]
    assert len({row["request_id"] for row in rows[0]}) == len(records())


def test_another_content_of_the_table_is_another_result_and_its_name_is_none(tmp_path: Path, table: Path) -> None:
    log = written(tmp_path / "log")
    store = Store(tmp_path / "outputs" / "store")

    def done(path: str) -> tuple[str, bool, int]:
        settings = replace(CONFIG, ingest=replace(CONFIG.ingest, asn_table=path))
        found = ingest([str(log)], settings, store=store, progress=NoProgress())
        return found.manifest.address, found.computed, found.told.get("reused_files", 0)

    first = done(str(table))
    assert first[1:] == (True, 0)
    moved = tmp_path / "other.csv"
    moved.write_text(TABLE)
    assert done(str(moved))[:2] == (first[0], False)
    moved.write_text(TABLE.replace("64500", "64510"))
    second = done(str(moved))
    assert second[0] != first[0]
    assert second[1:] == (True, 0)  # nor is what was staged with the other one taken
    none = done("")
    assert none[0] not in (first[0], second[0])
    assert none[1:] == (True, 0)
    assert systems_identity(CONFIG.ingest) == ""


def test_a_table_that_is_not_there_or_broken_ends_the_run_before_it_begins(tmp_path: Path, table: Path) -> None:
    log = written(tmp_path / "log")
    with pytest.raises(ConfigError, match="there is no file"):
        open_systems(replace(CONFIG.ingest, asn_table=str(tmp_path / "none.csv")))
    table.write_text(TABLE + "192.0.2.0/24,many\n")
    settings = replace(CONFIG, ingest=replace(CONFIG.ingest, asn_table=str(table), workers=2, worker_mib=0))
    with pytest.raises(InputError, match=r"table\.csv, row 5: the field autonomous_system_number"):
        ingest([str(log)], settings, store=Store(tmp_path / "store"), progress=NoProgress())
    assert open_systems(CONFIG.ingest) is None


def test_a_batch_without_addresses_is_left_as_it_is(table: Path) -> None:
    systems = open_systems(replace(CONFIG.ingest, asn_table=str(table)))
    assert systems is not None
    batch = Batch(rows=[1], columns={"model": ["m"]})
    assert systems.named(batch) is batch
    given = Batch(
        rows=[1, 2, 3], columns={"ip": ["198.51.100.7", MISSING, "192.0.2.1"], "asn": [MISSING, MISSING, None]}
    )
    assert systems.named(given).columns["asn"] == ["AS64500", MISSING, None]
    assert given.columns["asn"] == [MISSING, MISSING, None]


def test_inspect_shows_the_column_and_what_the_table_makes_of_it(tmp_path: Path, table: Path) -> None:
    log = written(tmp_path / "log")
    for told, missing in ((str(table), 3 / 12), ("", 7 / 12)):
        [sample] = inspect_log([str(log)], replace(CONFIG.ingest, asn_table=told)).samples
        assert sample.columns["asn"] == ["asn"]
        # An empty text is there, and is no number.
        assert sample.missing["asn"] == pytest.approx(missing, abs=1e-3)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "plain.csv").write_text(
        "who,when,asked,client.as.number\np1,2026-03-02T10:00:00Z,Hello,64500\n"
    )
    [sample] = inspect_log([str(tmp_path / "table" / "plain.csv")], replace(CONFIG.ingest, format="auto")).samples
    assert sample.columns.get("asn") == ["client.as.number"]
