"""Events for a SIEM: one a finding and one a member, value for value, with ids that follow from what they say."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exported import IDENTITIES, make_run, options_for, tables
from tables import FORMULA_ACCOUNT, HOSTILE, RUBRIC

from refrain.exporters.registry import export_run
from refrain.formats import plain


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def test_findings_and_members_value_for_value(run: Path, tmp_path: Path) -> None:
    counts = export_run(run, tmp_path / "run.jsonl", "siem", options_for(run))
    told = {name: plain(rows) for name, rows in tables(run).items()}
    found = events(tmp_path / "run.jsonl")
    findings = [one for one in found if one["event"]["dataset"] == "refrain.finding"]
    members = [one for one in found if one["event"]["dataset"] == "refrain.member"]
    assert counts == {"findings": len(findings), "members": len(members)}
    for event, row in zip(findings, told["campaigns"], strict=True):
        campaign = event["refrain"]["campaign"]
        for name in ("accounts", "owners", "requests", "score", "p_value", "q_value", "alert", "families", "benign"):
            assert campaign[name] == row[name]
        assert (campaign["id"], campaign["number"]) == (IDENTITIES[row["campaign_id"]], row["campaign_id"])
        assert (event["@timestamp"], event["event"]["start"]) == (row["last_seen"], row["first_seen"])
        assert event["event"]["kind"] == ("alert" if row["alert"] else "event")
    assert [(one["refrain"]["campaign"]["number"], one["user"]["id"]) for one in members] == [
        (row["campaign_id"], row["account_id"]) for row in told["accounts"]
    ]
    for event, row in zip(members, told["accounts"], strict=True):
        assert event["refrain"]["member"] == {name: row[name] for name in event["refrain"]["member"]}
        assert event["event"]["start"] == row["first_use"]
    assert FORMULA_ACCOUNT in {one["user"]["id"] for one in members}


def test_pandas_reads_it(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "run.jsonl", "siem", options_for(run))
    frame = pd.json_normalize(events(tmp_path / "run.jsonl"))
    wanted = sorted(row["account_id"] for row in tables(run)["accounts"])
    assert sorted(frame["user.id"].dropna()) == wanted


def test_ids_are_unique_and_the_same_again(run: Path, tmp_path: Path) -> None:
    for name in ("1", "2"):
        export_run(run, tmp_path / name, "siem", options_for(run))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    ids = [one["event"]["id"] for one in events(tmp_path / "1")]
    assert len(set(ids)) == len(ids)


def test_prompts_come_with_text_alone(run: Path, tmp_path: Path) -> None:
    export_run(run, tmp_path / "1", "siem", options_for(run))
    assert RUBRIC not in (tmp_path / "1").read_text()
    export_run(run, tmp_path / "2", "siem", options_for(run, with_text=True))
    findings = [one for one in events(tmp_path / "2") if one["event"]["dataset"] == "refrain.finding"]
    assert findings[1]["refrain"]["campaign"]["skeletons"] == [f"{HOSTILE}{{slot}}"]


def test_alerts_alone_where_they_are_asked_for(run: Path, tmp_path: Path) -> None:
    counts = export_run(run, tmp_path / "1", "siem", options_for(run, more={"findings": "alerts"}))
    assert counts["findings"] == 1
