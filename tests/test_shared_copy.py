"""Exporters over a shared copy: no format tells what was dropped, and options name nothing that is not shared."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest
import stix2
from tables import export, write_small_run
from typer.testing import CliRunner, Result

from refrain.cli import app
from refrain.errors import InputError
from refrain.exporters.exporter import Options, Standing
from refrain.exporters.registry import export_tables, find_exporter
from refrain.exporters.shared_copy import shared_copy
from refrain.share_key import VARIABLE, share_key_name, shared_id
from refrain.sharing import SharingRule

if TYPE_CHECKING:
    from conftest import SmallRun

KEY = bytes(range(32))
ONE, TWO = "c-000000000001", "c-000000000002"
RULE = SharingRule(5)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports whose campaign 0 has 8 accounts and alerts, and whose campaign 1 has two."""
    run = tmp_path_factory.mktemp("run")
    write_small_run(run)
    return export(run)


def test_the_options_name_the_shared_campaigns_alone(exports: Path) -> None:
    standings = {ONE: Standing("active", "confirmed"), TWO: Standing("active", "watching"), "c-f": Standing("ended")}
    given = Options(run="r", folder=exports.parent, identities={0: ONE, 1: TWO}, standings=standings, key=b"other")
    with shared_copy(exports, given, KEY, RULE) as (folder, options):
        assert (options.identities, options.standings) == ({0: ONE}, {ONE: standings[ONE]})
        assert (options.folder, options.key, options.hashed, options.run) == (None, KEY, True, "r")
        assert pq.read_table(folder / "campaigns.parquet")["campaign_id"].to_pylist() == [0]
    assert not folder.parent.exists()


def test_a_dismissed_campaign_is_withheld(exports: Path, tmp_path: Path) -> None:
    given = Options(identities={0: ONE}, standings={ONE: Standing("active", "dismissed")})
    with shared_copy(exports, given, KEY, RULE) as (folder, options):
        assert pq.read_metadata(folder / "accounts.parquet").num_rows == 0
        assert not options.identities
    suppressed = tmp_path / "exports"
    suppressed.mkdir()
    for path in exports.iterdir():
        (suppressed / path.name).write_bytes(path.read_bytes())
    packets = [json.loads(line) for line in (exports / "packets.jsonl").read_text().splitlines()]
    packets[0]["known"] = [{"name": "finding-0", "suppressed": True}]
    (suppressed / "packets.jsonl").write_text("".join(json.dumps(packet) + "\n" for packet in packets))
    with shared_copy(suppressed, Options(), KEY, RULE) as (folder, _):
        assert pq.read_metadata(folder / "labels.parquet").num_rows == 0


@pytest.mark.parametrize("name", ["csv", "jsonl", "sql", "graphml", "gexf", "stix", "siem"])
def test_no_format_tells_a_raw_id_or_a_prompt(exports: Path, tmp_path: Path, name: str) -> None:
    exporter = find_exporter(name)
    to = f"sqlite:///{tmp_path}/to.sqlite" if name == "sql" else str(tmp_path / "to")
    with shared_copy(exports, Options(run="r", folder=exports.parent, with_text=True), KEY, RULE) as (folder, options):
        export_tables(folder, to, exporter, options)
    written = b"".join(path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file())
    labels = pq.read_table(exports / "labels.parquet").to_pylist()
    raw = {row[name].encode() for row in labels for name in ("request_id", "account_id")} - {b"empty"}
    assert [value for value in [*raw, b"HYPERLINK", b"task 0", b"<script>", b"onerror"] if value in written] == []
    assert shared_id(KEY, "account", "pool-0").encode() in written


def test_a_map_of_prompts_is_not_shared(exports: Path, tmp_path: Path) -> None:
    with (
        shared_copy(exports, Options(folder=exports.parent), KEY, RULE) as (folder, options),
        pytest.raises(InputError, match="cannot be shared"),
    ):
        export_tables(folder, tmp_path / "map.parquet", find_exporter("atlas"), options)
    assert not (tmp_path / "map.parquet").exists()


def call(*arguments: object, code: int = 0) -> Result:
    """What `refrain export` says to these arguments."""
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_what_cannot_be_shared_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    place = ("--outputs", tmp_path)
    assert "needs a place" in call("latest", "--redact", *place, code=2).stderr
    assert f"{VARIABLE} is not set" in call("latest", "--redact", "--to", tmp_path / "x", *place, code=2).stderr
    assert "give --redact" in call("latest", "--min-accounts", 5, "--to", tmp_path / "x", *place, code=2).stderr
    assert "give --redact" in call("latest", "--all-findings", "--to", tmp_path / "x", *place, code=2).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_finished_run_is_shared(small_run: "SmallRun", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY.hex())
    common = ("small", "--outputs", small_run.outputs, "--redact", "--json")
    told = json.loads(call(*common, "--min-accounts", 8, "--to", tmp_path / "to").stdout)
    assert told["shared"] == {"key": share_key_name(KEY), "min_accounts": 8, "all_findings": False}
    campaigns = pq.read_table(small_run.run / "exports" / "campaigns.parquet").to_pylist()
    chosen = {row["campaign_id"] for row in campaigns if row["alert"] and min(row["accounts"], row["owners"]) >= 8}
    assert chosen
    assert set(pq.read_table(tmp_path / "to" / "campaigns.parquet")["campaign_id"].to_pylist()) == chosen
    members = pq.read_table(small_run.run / "exports" / "accounts.parquet").to_pylist()
    expected = {shared_id(KEY, "account", row["account_id"]) for row in members if row["campaign_id"] in chosen}
    assert set(pq.read_table(tmp_path / "to" / "accounts.parquet")["account_id"].to_pylist()) == expected
    assert set(pq.read_table(tmp_path / "to" / "labels.parquet")["account_id"].to_pylist()) <= expected

    bundle = tmp_path / "bundle.json"
    call(*common, "--min-accounts", 8, "--to", bundle, "--format", "stix")
    parsed = stix2.parse(bundle.read_text(), allow_custom=True)
    assert {one.user_id for one in parsed.objects if one.type == "user-account"} == expected
    own = call("small", "--outputs", small_run.outputs, "--redact", "--to", small_run.run / "exports", code=2)
    assert "not written over" in own.stderr
