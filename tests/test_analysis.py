"""A run from Python: the tables as they were written, a finding as values, and errors that say what to do."""

import re
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import FORMULA_ACCOUNT, NOTES, RUBRIC, export, write_small_run

from refrain import open_run
from refrain.analysis import Campaign, Member, Outcome, RunView, Template
from refrain.code import ROOT
from refrain.contract import ACCOUNTS, CAMPAIGNS, TABLES, TEMPLATES
from refrain.errors import InputError, StoreError
from refrain.runs import Run, _write_manifest

if TYPE_CHECKING:
    from conftest import SmallRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    """A run written by hand, opened by its name."""
    outputs = tmp_path_factory.mktemp("outputs")
    folder = outputs / "runs" / "hand"
    write_small_run(folder)
    export(folder)
    _write_manifest(Run(folder, {"exports": "address"}, {}))
    return open_run("hand", outputs)


def rows(run: RunView, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(run.folder / f"{name}.parquet").to_pylist()
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_as_it_was_written(run: RunView, name: str) -> None:
    table: pa.Table = getattr(run, name)
    assert table.to_pylist() == rows(run, name)
    assert run.table(name, table.column_names[:2]).to_pylist() == table.select(table.column_names[:2]).to_pylist()
    parts = list(run.batches(name, rows=7))
    assert all(part.num_rows <= 7 for part in parts)
    assert pa.Table.from_batches(parts, table.schema).to_pylist() == table.to_pylist()


def test_a_frame_has_the_same_values_and_keeps_whole_numbers(run: RunView) -> None:
    for name in TABLES:
        frame = run.to_pandas(name)
        assert list(frame.columns) == list(getattr(run, name).column_names)
        back = pa.Table.from_pandas(frame, schema=getattr(run, name).schema, preserve_index=False)
        assert back.to_pylist() == rows(run, name)
    labels = run.to_pandas("labels", ["request_id", "campaign_id"])
    assert labels["campaign_id"].dtype == pd.Int64Dtype()
    by_hand = {row["request_id"]: row["campaign_id"] for row in rows(run, "labels")}
    found = {
        name: None if number is pd.NA else int(number)
        for name, number in zip(labels["request_id"], labels["campaign_id"], strict=True)
    }
    assert found == by_hand


def test_a_finding_is_its_rows(run: RunView) -> None:
    found = run.campaign(0)
    assert isinstance(found, Campaign)
    [row, _] = rows(run, "campaigns")
    for name in {one.name for one in fields(Campaign)} - {"templates", "members", "tests", "identity"}:
        value = getattr(found, name)
        assert (list(value) if isinstance(value, tuple) else value) == row[name]
    assert found.identity is None
    assert [template.skeleton for template in found.templates] == [f"{RUBRIC}\n{{slot}}\n{NOTES}"]
    members = [member for member in rows(run, "accounts") if member.pop("campaign_id") == 0]
    assert [{**asdict(member), "reasons": list(member.reasons)} for member in found.members] == members
    assert FORMULA_ACCOUNT in {member.account_id for member in found.members}
    tests = {(test.family, test.name): test for test in found.tests}
    assert tests["identity", "payment"] == Outcome(
        "identity", "payment", 3e-5, 0.75, 0.02, None, "Six of eight accounts share a card."
    )
    assert tests["use", "division"].p_value is None
    assert tests["use", "division"].off == "fewer than 20 fillings"
    assert run.packet(0)["campaign_id"] == 0
    assert not run.campaign(1).alert


def test_a_finding_without_a_packet_still_has_its_p_values(run: RunView, tmp_path: Path) -> None:
    copy = tmp_path / "runs" / "bare"
    (copy / "exports").mkdir(parents=True)
    for path in run.folder.glob("*.parquet"):
        (copy / "exports" / path.name).write_bytes(path.read_bytes())
    _write_manifest(Run(copy, {"exports": "address"}, {}))
    tests = {(test.family, test.name): test.p_value for test in open_run("bare", tmp_path).campaign(0).tests}
    assert tests == {
        ("identity", "payment"): 3e-5,
        ("time", "rhythm"): 1e-9,
        ("time", "succession"): 0.8,
        ("use", "division"): None,
    }


def test_the_fields_are_those_of_the_contract() -> None:
    assert {one.name for one in fields(Member)} == set(ACCOUNTS.names) - {"campaign_id"}
    assert [one.name for one in fields(Template)] == TEMPLATES.names
    own = {"identity", "members", "tests"}
    assert {one.name for one in fields(Campaign)} - own == set(CAMPAIGNS.names)


def test_what_is_not_there_says_what_is(run: RunView, tmp_path: Path) -> None:
    for ask, why in (
        (lambda: run.campaign(7), "no campaign 7"),
        (lambda: run.table("prompts"), "no table 'prompts'"),
        (lambda: run.table("labels", ["ip"]), "no column 'ip'"),
        (lambda: run.batches("labels", ["ip"]), "no column 'ip'"),
    ):
        with pytest.raises(InputError, match=why):
            ask()
    with pytest.raises(StoreError, match="no run 'latest'"):
        open_run(outputs=tmp_path)
    torn = tmp_path / "runs" / "torn"
    (torn / "exports").mkdir(parents=True)
    (torn / "exports" / "labels.parquet").write_bytes(b"PAR1")
    pq.write_table(pa.table({"campaign_id": [1]}), torn / "exports" / "campaigns.parquet")
    _write_manifest(Run(torn, {"exports": "address"}, {}))
    for name, why in (("labels", "cannot be read"), ("accounts", "cannot be read"), ("campaigns", "not of version")):
        with pytest.raises(StoreError, match=why):
            open_run("torn", tmp_path).table(name)


def test_the_examples_of_the_documentation_run(run: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    runs = run.folder.parent.parent
    (runs / "latest").symlink_to(run.name)
    (runs.parent / "outputs").symlink_to(".")
    monkeypatch.chdir(runs.parent)
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(code, names)
    assert names["found"] == run.campaign(0)
    labels = rows(run, "labels")
    labelled = sum(row["campaign_id"] is not None for row in labels)
    assert names["seen"] == {"all": len(labels), "labelled": labelled}


def test_shown_it_quotes_no_account_and_no_prompt(run: RunView) -> None:
    shown = repr(run) + repr(run.campaign(0)) + repr(run.campaign(0).templates) + repr(run.campaign(0).tests)
    assert RUBRIC not in shown
    assert "pool-" not in shown


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = (
        "import sys, refrain\n"
        "light = sorted({'pyarrow', 'numpy', 'pandas', 'duckdb', 'refrain.analysis'} & sys.modules.keys())\n"
        "from refrain import open_run\n"
        "print(light, open_run.__module__, hasattr(refrain, 'nothing'), 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] refrain.analysis False False\n"


@pytest.mark.slow
def test_a_run_of_all_stages_is_opened_as_latest(small_run: "SmallRun") -> None:
    found = open_run(outputs=small_run.outputs)
    assert found.name == "small"
    assert found.campaign(0).accounts == len(found.campaign(0).members)
    assert sum(batch.num_rows for batch in found.batches("labels")) == found.labels.num_rows > 0
