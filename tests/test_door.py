"""Values hashed at the door: what is equal stays equal, what is found stays found, and no raw value is written."""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import SmallRun
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from refrain.artifacts import Store
from refrain.batches import MISSING, Batch, Fault
from refrain.cli import app
from refrain.config import IngestConfig
from refrain.door import HASH_KEY_VARIABLE, Door, open_door
from refrain.errors import ConfigError, InputError
from refrain.needles import Needles
from refrain.networks import exit_network
from refrain.population import read_population
from refrain.progress import NoProgress
from refrain.purge_search import Sought, search_outputs
from refrain.requests import ingest_logs
from refrain.runs import run_all
from refrain.settings import load_settings
from refrain.stages import ingest

CONFIG = load_settings().config
KEY = bytes(range(32))
HASHED = ("request_id", "account_id", "conversation_id", "ip", "user_agent", "payment_hash", "org_id", "api_key_id")
DOOR = Door(tuple(sorted(HASHED)), KEY, 1, 24, 48)


@pytest.fixture
def keyed() -> Iterator[None]:
    os.environ[HASH_KEY_VARIABLE] = KEY.hex()
    yield
    del os.environ[HASH_KEY_VARIABLE]


def config(*columns: str, **changes: Any) -> IngestConfig:
    return replace(CONFIG.ingest, hash=columns, **changes)


def oracle(text: str, version: int = 1) -> str:
    return f"h{version}:{hmac.new(KEY, text.encode(), hashlib.sha256).hexdigest()[:32]}"


def record(at: int, **more: Any) -> dict[str, Any]:
    said = {"account_id": f"person-{at % 3}", "timestamp": f"2026-03-02T10:00:{at:02}Z", "prompt": f"Ask number {at}"}
    places = {"ip": f"198.51.100.{at}", "user_agent": "client/1", "payment_hash": "card-of-all"}
    return {"request_id": f"request-{at}", **said, **places, **more}


def written(folder: Path, *records: dict[str, Any] | str) -> Path:
    lines = (one if isinstance(one, str) else json.dumps(one) for one in records)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return folder / "log.jsonl"


def ingested(out: Path, log: Path, settings: IngestConfig) -> dict[str, int]:
    out.mkdir()
    return ingest_logs([str(log)], out, settings, store=Store(out.parent / "store"), progress=NoProgress())


def requests_of(out: Path) -> list[dict[str, Any]]:
    files = sorted((out / "requests").glob("day=*/*.parquet"))
    return [row for path in files for row in pq.ParquetFile(path).read().to_pylist()]


def hits(folder: Path, *values: str) -> list[Path]:
    """The files below a folder that hold one of some values, unpacked."""
    sought = Sought(Needles(values, whole=False), frozenset(values))
    found, searched = search_outputs(folder, sought, NoProgress())
    assert searched
    return [hit.path for hit in found]


@pytest.mark.usefixtures("keyed")
def test_each_value_is_the_keyed_hash_of_its_text(tmp_path: Path) -> None:
    log = written(tmp_path / "log", record(1), record(2, account_id=7), record(3, account_id="7", ip="2001:db8:1:2::3"))
    counts = ingested(tmp_path / "out", log, config(*HASHED, hash_key_version=4))
    assert counts["hash_key_version"] == 4
    assert json.loads((tmp_path / "out" / "counts.json").read_text())["hash_key_version"] == 4
    rows = requests_of(tmp_path / "out")
    assert [row["request_id"] for row in rows] == [oracle(f"request-{at}", 4) for at in (1, 2, 3)]
    assert [row["ip"] for row in rows] == [oracle(ip, 4) for ip in ("198.51.100.1", "198.51.100.2", "2001:db8:1:2::3")]
    assert [row["network"] for row in rows] == [oracle(n, 4) for n in ("198.51.100.0/24",) * 2 + ("2001:db8:1::/48",)]
    assert {row["payment_hash"] for row in rows} == {oracle("card-of-all", 4)}
    assert {row["org_id"] for row in rows} == {None}
    accounts = pq.ParquetFile(tmp_path / "out" / "accounts.parquet").read()["account_id"].to_pylist()
    assert sorted(accounts) == sorted([oracle("person-1", 4), oracle("7", 4)])  # a number and its digits are one id


@pytest.mark.usefixtures("keyed")
def test_systems_are_hashed_beside_addresses_under_whatever_spelling(tmp_path: Path) -> None:
    numbers = [64500, "64500", "AS64500 Some Name", "0.64500", None, 0, "4200000123", "as64501"]
    records = [record(at, asn=number) for at, number in enumerate(numbers)]
    table = tmp_path / "table.csv"
    table.write_text("network,autonomous_system_number\n198.51.100.4/31,4200000123\n")
    settings = config("ip", asn_table=str(table), keep_staged=False)
    ingested(tmp_path / "out", written(tmp_path / "log", *records), settings)
    rows = requests_of(tmp_path / "out")
    one, other, last = oracle("AS64500"), oracle("AS4200000123"), oracle("AS64501")
    assert [row["asn"] for row in rows] == [one, one, one, one, other, other, other, last]
    assert hits(tmp_path / "out", "AS64500", "4200000123", "AS64501", "Some Name") == []
    ingested(tmp_path / "alone", written(tmp_path / "log", *records), config("asn", keep_staged=False))
    alone = requests_of(tmp_path / "alone")
    assert [row["asn"] for row in alone] == [one, one, one, one, None, None, other, last]
    assert [row["ip"] for row in alone] == [f"198.51.100.{at}" for at in range(8)]
    with pytest.raises(InputError, match="named by asn"):
        DOOR.check_names(["asn=64500/a.jsonl"], [("asn", "asn")])


@pytest.mark.usefixtures("keyed")
def test_owners_are_the_same_with_and_without(tmp_path: Path) -> None:
    records = [record(at, account_id=f"p{at}", ip=f"198.51.{at % 4}.{at}") for at in range(12)]
    log = written(
        tmp_path / "log", *records, record(12, account_id="x", org_id="o"), record(13, account_id="y", org_id="o")
    )
    pairs = []
    for name, columns in (("plain", ()), ("hashed", HASHED)):
        ingested(tmp_path / name, log, config(*columns, keep_staged=False))
        table = pq.ParquetFile(tmp_path / name / "accounts.parquet").read()
        owners: dict[int, set[str]] = {}
        for account, owner in zip(table["account_id"].to_pylist(), table["owner_row"].to_pylist(), strict=True):
            owners.setdefault(owner, set()).add(account if columns else oracle(account))
        pairs.append(sorted(map(sorted, owners.values())))
    assert pairs[0] == pairs[1]
    assert [len(members) for members in pairs[0]] != [1] * 14


@pytest.mark.usefixtures("keyed")
def test_quarantine_keeps_no_raw_value(tmp_path: Path) -> None:
    secrets = ("person-1", "198.51.100.", "card-of-all", "request-1", "client/1")
    whole = json.dumps(record(1))
    log = written(
        tmp_path / "log", record(1), whole[: len(whole) - 9], f"[{whole}]", record(1, timestamp="person-1 said so"[:5]),
        record(1, account_id=["person-1"]), record(1, prompt=["x"]), record(1, account_id=" "),
        record(1, prompt="something else"), record(1, ip={"v4": "198.51.100.7"}, request_id="request-17"),
    )  # fmt: skip
    counts = ingested(tmp_path / "out", log, config(*HASHED, max_structural_error_share=1.0))
    assert (counts["read"], counts["kept"], counts["quarantined"]) == (9, 2, 7)
    kept = pq.ParquetFile(tmp_path / "out" / "quarantine.parquet").read().to_pylist()
    assert [(row["row"], row["field"], row["reason"]) for row in kept] == [
        (2, "", "unparsable record"),
        (3, "", "no object"),
        (4, "timestamp", "unreadable time"),
        (5, "account_id", "wrong type"),
        (6, "prompt", "wrong type"),
        (7, "account_id", "no account"),
        (8, "request_id", "duplicate id, different content"),
    ]
    assert hits(tmp_path, *secrets) == [log]


@pytest.mark.usefixtures("keyed")
def test_a_csv_row_that_cannot_be_read_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "account_id,timestamp,prompt,ip\nperson-1,2026-03-02T10:00:00Z,Hello,198.51.100.7\nperson-2,2026,one,two,three\n"
    )
    ingested(tmp_path / "out", tmp_path / "log.csv", config("account_id", "ip", max_structural_error_share=1.0))
    assert hits(tmp_path / "out", "person-", "198.51.100.7") == []
    assert hits(tmp_path / "store", "person-", "198.51.100.7") == []


@pytest.mark.usefixtures("keyed")
def test_of_a_gateways_log_no_id_is_left_broken_or_whole(tmp_path: Path) -> None:
    logs = Path(__file__).parent / "logs"
    ids: set[str] = set()
    (tmp_path / "log").mkdir()
    for path in sorted(logs.glob("*/*.expected.jsonl")):
        if path.parent.name not in ("litellm", "helicone", "bedrock"):
            continue
        records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        ids.update(record[name] for record in records for name in (*HASHED, "end_user") if name in record)
        raw = path.with_name(path.name.replace(".expected", ""))
        if raw.exists():  # every line, and every line cut short or with a text that no reader takes
            lines = raw.read_text("utf-8").splitlines()
            odd = [
                line.replace('"messages": [', '"messages": 7, "was": [').replace("messages\\", "said\\")
                for line in lines
            ]
            log = tmp_path / "log" / f"{raw.parent.name}-{raw.name}"
            log.write_text("\n".join([*lines, *odd, *(line[: len(line) // 2] for line in lines)]))
    settings = config(*HASHED, "end_user", max_structural_error_share=1.0)
    counts = ingested(tmp_path / "out", tmp_path / "log", settings)
    assert counts["kept"] >= 19
    assert counts["quarantined"] >= 19
    known = {value for value in ids if len(value) >= 5}
    assert len(known) > 30
    assert hits(tmp_path / "out", *known) == hits(tmp_path / "store", *known) == []
    assert hits(tmp_path / "log", *known)


@pytest.mark.usefixtures("keyed")
def test_a_folder_that_says_a_hashed_value_is_refused(tmp_path: Path) -> None:
    written(tmp_path / "log" / "account_id=person-1", record(1))
    with pytest.raises(InputError, match="named by account_id") as refused:
        ingested(tmp_path / "out", tmp_path / "log", config("account_id"))
    assert "person-1" not in f"{refused.value}{refused.value.hint}"
    with pytest.raises(InputError, match="named by network"):
        DOOR.check_names(["network=10.0.0.0/a.jsonl"], [("network", "network")])
    DOOR.check_names(["a=1/account_id=x.jsonl"], [("account_id", "account_id")])  # the file's own name says no column
    written(tmp_path / "days" / "day=2026-03-02", record(1))
    assert ingested(tmp_path / "other", tmp_path / "days", config("account_id"))["kept"] == 1


@pytest.mark.usefixtures("keyed")
def test_workers_hash_as_one_process_does(tmp_path: Path) -> None:
    log = written(tmp_path / "log", *(record(at) for at in range(20)))
    for name, workers in (("one", 1), ("two", 2)):
        ingested(tmp_path / name, log, config(*HASHED, workers=workers, worker_mib=0, keep_staged=False))
    assert requests_of(tmp_path / "one") == requests_of(tmp_path / "two")


@pytest.mark.usefixtures("keyed")
def test_another_key_is_another_result_and_the_same_key_the_same(tmp_path: Path) -> None:
    log = written(tmp_path / "log", record(1), record(2))
    settings = replace(CONFIG, ingest=config("account_id"))

    def address() -> tuple[str, bool]:
        done = ingest([str(log)], settings, store=Store(tmp_path / "outputs" / "store"), progress=NoProgress())
        return done.manifest.address, done.computed

    first = address()
    assert address() == (first[0], False)
    os.environ[HASH_KEY_VARIABLE] = bytes(reversed(KEY)).hex()
    second = address()
    assert second[0] != first[0]
    assert second[1]
    assert hits(tmp_path / "outputs", "person-", KEY.hex(), bytes(reversed(KEY)).hex()) == []


def test_a_network_that_the_log_gives_goes_before_the_address(tmp_path: Path) -> None:
    # As a log has them whose addresses were hashed upstream.
    places = [("a", "net-1"), ("b", "net-1"), ("c", "net-2"), ("203.0.113.9", None)]
    records = [record(at, account_id=f"p{at}", ip=ip, network=net) for at, (ip, net) in enumerate(places)]
    ingested(tmp_path / "out", written(tmp_path / "log", *records), config())
    network = read_population(tmp_path / "out", 24, 48).network
    assert sorted(network.names) == ["203.0.113.0/24", "net-1", "net-2"]
    assert [network.names[value] for value in network.values] == [
        "net-1",
        "net-2",
        "203.0.113.0/24",
    ]  # p0, p1: one owner
    blind = [{**one, "ip": None, "network": None} for one in records]
    ingested(tmp_path / "blind", written(tmp_path / "none", *blind), config())
    assert not read_population(tmp_path / "blind", 24, 48).network.present


def column_of(log: Path, name: str) -> set[str]:
    """The values of a column in the files below a folder."""
    tables = (pq.ParquetFile(path).read(columns=[name]) for path in sorted(log.rglob("*.parquet")))
    return {value for table in tables for value in table[name].unique().to_pylist() if value is not None}


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two runs
@pytest.mark.usefixtures("keyed")
def test_findings_with_systems_are_the_same_and_no_number_is_anywhere(
    small_run: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFRAIN_KEY", KEY.hex())  # one order of segments in both
    blocks = sorted({exit_network(ip, 24, 48) or "" for ip in column_of(small_run.log, "ip")})
    table = tmp_path / "table.csv"
    table.write_text("network,asn\n" + "".join(f"{block},{4200000000 + at % 37}\n" for at, block in enumerate(blocks)))
    told = []
    for name, columns in (("plain", ()), ("hashed", ("ip",))):
        settings = replace(CONFIG, ingest=config(*columns, asn_table=str(table)))
        done = run_all([str(small_run.log)], settings, tmp_path / name, run_id=name, progress=NoProgress())
        exports = done.folder / "exports"
        packets = [json.loads(line) for line in (exports / "packets.jsonl").read_text("utf-8").splitlines()]
        tests = [
            (
                family["family"],
                test["test"],
                test["p_value"] and float(f"{test['p_value']:.6g}"),
                test["off"],
                test["text"],
            )
            for packet in packets
            for family in packet["waterfall"]["families"]
            for test in family["tests"]
        ]
        systems = [row for packet in packets for row in packet["shared"] if row["what"] == "asn"]
        assert systems
        assert all(row["value"].startswith("h1:" if columns else "AS42000000") for row in systems)
        assert [test for test in tests if test[1] == "systems" and test[2] is not None]
        assert {test[3] for test in tests if test[1] == "addresses"} == {"autonomous systems are counted instead"}
        labels = pq.ParquetFile(exports / "labels.parquet").read(columns=["request_id", "template_id", "campaign_id"])
        told.append((labels.to_pylist(), tests, sorted(row["owners"] for row in systems)))
    assert told[0] == told[1]
    numbers = [str(4200000000 + at) for at in range(37)]
    assert hits(tmp_path / "hashed", *numbers) == []
    assert hits(tmp_path / "plain", *numbers)


@pytest.mark.usefixtures("keyed")
def test_findings_are_the_same_and_no_raw_value_is_anywhere(small_run: SmallRun, tmp_path: Path) -> None:
    settings = replace(CONFIG, ingest=config("account_id", "request_id", "ip", "payment_hash", "org_id", "api_key_id"))
    done = run_all([str(small_run.log)], settings, tmp_path / "outputs", run_id="hashed", progress=NoProgress())

    def findings(run: Path, *, plain: bool) -> list[tuple[Any, ...]]:
        tables = {
            name: pq.ParquetFile(run / "exports" / f"{name}.parquet").read()
            for name in ("campaigns", "accounts", "templates")
        }
        skeletons = dict(
            zip(*(tables["templates"][name].to_pylist() for name in ("template_id", "skeleton")), strict=True)
        )
        out = []
        for row in tables["campaigns"].to_pylist():
            if row["alert"]:
                pairs = zip(
                    *(tables["accounts"][name].to_pylist() for name in ("account_id", "campaign_id")), strict=True
                )
                ids = [account for account, campaign in pairs if campaign == row["campaign_id"]]
                members = sorted(map(oracle, ids) if plain else ids)
                out.append(
                    (members, sorted(skeletons[at] for at in row["templates"]), row["requests"], row["families"])
                )
        return sorted(out)

    before, after = findings(small_run.run, plain=True), findings(done.folder, plain=False)
    assert before
    assert after == before
    raw: set[str] = set()
    for path in sorted(small_run.log.rglob("*.parquet")):
        table = pq.ParquetFile(path).read(columns=["account_id", "request_id", "ip", "payment_hash"])
        for name in table.column_names:
            raw.update(filter(None, table[name].unique().to_pylist()))
    assert len(raw) > 500
    assert hits(tmp_path / "outputs", *sorted(raw), KEY.hex()) == []
    assert hits(small_run.outputs, *sorted(raw))  # where they are not hashed, the search finds them


def test_without_a_column_there_is_no_door_and_no_key_is_asked_for() -> None:
    assert open_door(config()) is None


@pytest.mark.parametrize(
    "key", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(KEY).decode()]
)
def test_a_key_is_hexadecimal_or_base64(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HASH_KEY_VARIABLE, f" {key}\n")
    door = open_door(config("ip"))
    assert door is not None
    assert door.hashed("x") == oracle("x")
    assert KEY.hex() not in repr(door) + door.name


@pytest.mark.parametrize("key", ["", " ", "00" * 31, "no key at all", "?" * 44, base64.b64encode(KEY[:31]).decode()])
def test_a_key_that_cannot_be_one_is_an_error_that_does_not_show_it(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HASH_KEY_VARIABLE, key)
    with pytest.raises(ConfigError) as refused:
        open_door(config("ip"))
    assert HASH_KEY_VARIABLE in f"{refused.value}"
    assert not key.strip() or key not in f"{refused.value}{refused.value.hint}"


def test_settings_that_would_hash_half_an_account_are_refused() -> None:
    config("account_id", "end_user", account=("account_id", "end_user"))
    config("ip", account=("account_id", "end_user"))
    for wrong in (
        {"hash": ("account_id",), "account": ("account_id", "end_user")},
        {"hash": ("prompt",)},
        {"hash_key_version": 0},
    ):
        with pytest.raises(ValueError, match="hash"):
            replace(CONFIG.ingest, **wrong)


VALUES = st.one_of(
    st.text(max_size=6),
    st.integers(-9, 9),
    st.none(),
    st.booleans(),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=1),
)


@given(st.lists(VALUES, max_size=8))
def test_equal_stays_equal_and_what_is_no_id_stays_none(values: list[Any]) -> None:
    from refrain.fields import read_id

    batch = Batch(
        rows=list(range(len(values))), columns={"account_id": list(values)}, faults=[Fault(9, "no object", "x")]
    )
    closed = DOOR.closed(batch)
    before = [read_id(value, 512, b"k") for value in values]
    after = [read_id(value, 512, b"k") for value in closed.columns["account_id"]]
    assert batch.columns["account_id"] == values
    assert [found.wrong for found in after] == [found.wrong for found in before]
    assert [found.text is None for found in after] == [found.text is None for found in before]
    for one, two in zip(before, after, strict=True):
        for other, hashed in zip(before, after, strict=True):
            assert one.wrong or other.wrong or (one.text == other.text) == (two.text == hashed.text)
    assert [fault.content for fault in closed.faults] == [""]


def test_what_a_record_lacks_it_lacks_still() -> None:
    batch = Batch(rows=[1, 2], columns={"account_id": [MISSING, "a"], "ip": [MISSING, None], "model": ["m", "m"]})
    closed = DOOR.closed(batch)
    assert closed.columns == {
        "account_id": [MISSING, oracle("a")], "ip": [MISSING, None], "network": [None, None], "model": ["m", "m"],
    }  # fmt: skip


def test_the_command_prints_what_the_door_makes_of_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HASH_KEY_VARIABLE, KEY.hex())
    (tmp_path / "ids").write_text("person-1\n\n 7 \n")
    told = CliRunner().invoke(app, ["hash", str(tmp_path / "ids")])
    assert told.stdout.splitlines() == [oracle("person-1"), oracle("7")]
    told = CliRunner().invoke(
        app, ["hash", "-", "--networks", "--json", "--set", "ingest.hash_key_version=2"], input="198.51.100.9\n"
    )
    assert json.loads(told.stdout) == [oracle("198.51.100.0/24", 2)]
    monkeypatch.delenv(HASH_KEY_VARIABLE)
    assert CliRunner().invoke(app, ["hash", "-"], input="person-1\n").exit_code == 2
