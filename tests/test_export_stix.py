"""The STIX bundle as the stix2 library reads it: campaigns, hashed members, notes; no prompt unless one asks."""

import json
from pathlib import Path
from typing import Any

import pytest
import stix2
from exported import IDENTITIES, KEY, STANDINGS, make_run, options_for, tables
from tables import HOSTILE, NOTES, RUBRIC

from refrain.errors import InputError
from refrain.exporters.exporter import Options, Standing
from refrain.exporters.registry import export_run
from refrain.share_key import shared_id


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


def bundle(run: Path, to: Path, **more: Any) -> dict[str, list[Any]]:
    """The bundle's objects by type, parsed strictly by the library of the other side."""
    export_run(run, to, "stix", options_for(run, **more))
    parsed = stix2.parse(to.read_text(encoding="ascii"), allow_custom=False)
    found: dict[str, list[Any]] = {}
    for one in parsed.objects:
        found.setdefault(one.type, []).append(one)
    return found


def test_a_campaign_its_members_and_what_it_rests_on(run: Path, tmp_path: Path) -> None:
    found = bundle(run, tmp_path / "run.json")
    told = tables(run)
    row = told["campaigns"][0]
    [campaign] = found["campaign"]
    assert (campaign.name, campaign.first_seen, campaign.last_seen) == (
        IDENTITIES[0], row["first_seen"], row["last_seen"],
    )  # fmt: skip
    assert campaign.labels == [*row["families"], *row["signal_tags"]]
    members = [one["account_id"] for one in told["accounts"] if one["campaign_id"] == 0]
    assert {one.user_id for one in found["user-account"]} == {shared_id(KEY, "account", account) for account in members}
    [grouping] = found["grouping"]
    assert grouping.context == "suspicious-activity"
    held = {one.id for kind in ("campaign", "user-account", "note") for one in found[kind]}
    assert set(grouping.object_refs) == held
    evidence, template = (json.loads(note.content) for note in found["note"])
    tests = {name[5:]: p for name, p in row.items() if name.startswith("test_") and p is not None}
    assert evidence["tests"] == tests
    assert (evidence["score"], evidence["p_value"], evidence["benign"]) == (row["score"], row["p_value"], row["benign"])
    assert (evidence["verdict"], evidence["state"]) == ("confirmed", "active")
    skeleton = told["templates"][1]["skeleton"]
    assert template["skeleton_hash"] == shared_id(KEY, "skeleton", skeleton)
    assert [one.created_by_ref for one in found["campaign"]] == [found["identity"][0].id]


def test_no_prompt_and_no_account_is_in_it(run: Path, tmp_path: Path) -> None:
    bundle(run, tmp_path / "run.json", more={"findings": "all"})
    text = (tmp_path / "run.json").read_text()
    for secret in (RUBRIC, NOTES, "<script>", "pool-1", "person-2", "calc"):
        assert secret not in text


def test_skeletons_come_with_text_and_unharmed(run: Path, tmp_path: Path) -> None:
    found = bundle(run, tmp_path / "run.json", more={"findings": "all"}, with_text=True)
    skeletons = [json.loads(note.content).get("skeleton") for note in found["note"]]
    assert f"{HOSTILE}{{slot}}" in skeletons
    assert len(found["campaign"]) == 2


def test_twice_is_the_same_bytes_and_another_key_shares_no_id(run: Path, tmp_path: Path) -> None:
    one, two = bundle(run, tmp_path / "1"), bundle(run, tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    other = bundle(run, tmp_path / "3", key=b"another key of the tests, of 32 bytes")
    ids, others = ({made.id for objects in found.values() for made in objects} for found in (one, other))
    assert not ids & others
    assert two.keys() == other.keys()


def test_what_was_dismissed_is_not_shared_and_a_hashed_table_is_not_hashed_again(run: Path, tmp_path: Path) -> None:
    dismissed = {**STANDINGS, IDENTITIES[0]: Standing("active", "dismissed")}
    assert "campaign" not in bundle(run, tmp_path / "1", standings=dismissed)
    found = bundle(run, tmp_path / "2", hashed=True)
    assert {one.user_id for one in found["user-account"]} == {
        row["account_id"] for row in tables(run)["accounts"] if row["campaign_id"] == 0
    }


def test_without_a_key_nothing_is_written(run: Path, tmp_path: Path) -> None:
    with pytest.raises((InputError, ValueError), match="key"):
        export_run(run, tmp_path / "run.json", "stix", Options(run=run.name))
    assert list(tmp_path.iterdir()) == []
