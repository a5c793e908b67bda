"""A shared copy: what is in it value for value, what is not, and who can match its accounts."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import FORMULA_ACCOUNT, NOTES, RUBRIC, export, write_small_run

from refrain.code import ROOT
from refrain.contract import METADATA_KEY, TABLES
from refrain.errors import InputError
from refrain.packet_lines import read_packets
from refrain.share_key import share_key_name, shared_id
from refrain.shared_contract import DROPPED, KEY_NAME_KEY, MIN_ACCOUNTS_KEY, REDACTED_KEY
from refrain.sharing import SharingRule, redacted_exports

KEY = bytes(range(32))
RULE = SharingRule(min_accounts=5)
OWN = "own@mailbox.example"


def rows(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def account(name: str) -> str:
    """An account's id in the shared copy."""
    return shared_id(KEY, "account", name)


def request(name: str) -> str:
    """A request's id in the shared copy."""
    return shared_id(KEY, "request", name)


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exports of a small run, whose campaign 0 alerts with 8 accounts of 7 owners and whose campaign 1 does not, with a
    mailbox in the skeleton of the one and reasons that quote an address."""
    run = tmp_path_factory.mktemp("run")
    write_small_run(run)
    out = export(run)
    templates = pq.read_table(out / "templates.parquet")
    skeletons = [f"{text} {OWN}" for text in templates["skeleton"].to_pylist()]
    pq.write_table(templates.set_column(1, templates.schema.field(1), pa.array(skeletons)), out / "templates.parquet")
    return out


@pytest.fixture(scope="module")
def shared(exports: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared copy of the exports."""
    into = tmp_path_factory.mktemp("shared") / "copy"
    counts = redacted_exports(exports, into, KEY, RULE)
    written = {name: pq.read_metadata(into / f"{name}.parquet").num_rows for name in TABLES}
    assert counts == {**written, "packets": 1}
    return into


def test_what_is_shared_is_the_run_value_for_value(exports: Path, shared: Path) -> None:
    [alert, _] = rows(exports / "campaigns.parquet")
    assert rows(shared / "campaigns.parquet") == [alert]

    [template] = [row for row in rows(exports / "templates.parquet") if row["template_id"] == 1]
    del template["examples"]
    template["skeleton"] = f"{RUBRIC}\n{{slot}}\n{NOTES} {{email}}"
    assert rows(shared / "templates.parquet") == [template]

    members = [row for row in rows(exports / "accounts.parquet") if row["campaign_id"] == 0]
    for row in members:
        row["account_id"] = account(row["account_id"])
        del row["reasons"]
    members.sort(key=lambda row: (-row["evidence"], row["account_id"]))
    numbers = {owner: number for number, owner in enumerate(dict.fromkeys(row["owner"] for row in members))}
    for row in members:
        row["owner"] = numbers[row["owner"]]
    assert rows(shared / "accounts.parquet") == members
    assert sorted(numbers.values()) == list(range(7))
    assert account(FORMULA_ACCOUNT) in {row["account_id"] for row in members}

    kept = [row for row in rows(exports / "labels.parquet") if row["campaign_id"] == 0]
    hidden = [
        {**row, "request_id": request(row["request_id"]), "account_id": account(row["account_id"])} for row in kept
    ]
    assert rows(shared / "labels.parquet") == hidden

    wanted = {row["request_id"] for row in kept}
    segments = [row for row in rows(exports / "request_segments.parquet") if row["request_id"] in wanted]
    for row in segments:
        row["request_id"] = request(row["request_id"])
        row["templates"] = [number for number in row["templates"] if number == 1]
        row["template_id"] = row["template_id"] if row["template_id"] == 1 else None
    assert rows(shared / "request_segments.parquet") == segments

    used = {row["cluster_id"] for row in segments} - {-1}
    clusters = [row for row in rows(exports / "clusters.parquet") if row["cluster_id"] in used]
    for row in clusters:
        del row["exemplar"]
    assert rows(shared / "clusters.parquet") == clusters


def test_the_schema_is_the_contracts_without_the_columns_of_texts(exports: Path, shared: Path) -> None:
    for name in TABLES:
        before, after = (pq.read_schema(folder / f"{name}.parquet") for folder in (exports, shared))
        assert after.remove_metadata() == pa.schema([f for f in before if f.name not in DROPPED.get(name, ())])
        marks = {REDACTED_KEY: b"1", KEY_NAME_KEY: share_key_name(KEY).encode(), MIN_ACCOUNTS_KEY: b"5"}
        assert after.metadata == {METADATA_KEY: b"1", **marks}
    assert {path.name for path in shared.iterdir()} == {"packets.jsonl", *(f"{name}.parquet" for name in TABLES)}
    assert shared.stat().st_mode & 0o777 == 0o700


def test_the_documentation_names_what_is_dropped_and_how_ids_are_hashed() -> None:
    text = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1:5] for line in text.partition("## Verdicts")[0].splitlines() if line.startswith("| `")]
    dropped = {table.strip(" `"): re.findall(r"`(\w+)`", names) for table, _, names, *_ in cells}
    assert {name: tuple(dropped[name]) for name in TABLES if dropped[name]} == DROPPED
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["shared_account"](KEY, "org-é7") == account("org-é7")


def test_nothing_raw_is_left_in_any_file(exports: Path, shared: Path) -> None:
    labels = rows(exports / "labels.parquet")
    raw = {row[name] for row in labels for name in ("request_id", "account_id")} - {"empty"}
    text = "\n".join(str(rows(path)) + str(pq.read_schema(path)) for path in shared.glob("*.parquet"))
    text += (shared / "packets.jsonl").read_text() + json.dumps(read_packets(shared, [0]), ensure_ascii=False)
    found = [value for value in [*raw, OWN, "task 0", "<script>", "HYPERLINK", "my own question"] if value in text]
    assert found == []
    assert RUBRIC in text


def test_a_packet_keeps_its_numbers_and_no_sentence(exports: Path, shared: Path) -> None:
    [before], [after] = (list(read_packets(folder, [0]).values()) for folder in (exports, shared))
    assert after.keys() == before.keys() - {"messages", "shared", "known", "missing"}
    for name in ("counts", "p_value", "q_value", "families", "timeline", "signals", "first_seen"):
        assert after[name] == before[name]
    assert [row["account_id"] for row in after["accounts"]] == [
        account(row["account_id"]) for row in before["accounts"]
    ]
    owner_of = {row["account_id"]: row["owner"] for row in rows(shared / "accounts.parquet")}
    assert {row["account_id"]: row["owner"] for row in after["accounts"]} == owner_of
    [template] = after["templates"]
    assert template["skeleton"] == f"{RUBRIC}\n{{slot}}\n{NOTES} {{email}}"
    assert template["pieces"] == [["text", f"{RUBRIC}\n"], ["slot", ""], ["text", f"\n{NOTES} {{email}}"]]
    assert not {"samples", "examples"} & {*template, *template["slots"][0]}
    tests = [test for family in after["waterfall"]["families"] for test in family["tests"]]
    assert {test["p_value"] for test in tests} == {1e-9, 0.8, 3e-5, None}
    assert all("text" not in test for test in tests)
    assert [row["p_value"] for row in after["would_change"]["changes"]] == [
        row["p_value"] for row in before["would_change"]["changes"]
    ]


@pytest.mark.parametrize(
    ("rule", "campaigns"),
    [
        (SharingRule(5), [0]),
        (SharingRule(7), [0]),
        (SharingRule(8), []),  # eight accounts, of which two are openly one
        (SharingRule(1, all_findings=True), [0, 1]),
        (SharingRule(1, all_findings=True, withheld=frozenset({0})), [1]),
        (SharingRule(5, withheld=frozenset({0})), []),
    ],
)
def test_below_the_fewest_accounts_nothing_is_shared(
    exports: Path, tmp_path: Path, rule: SharingRule, campaigns: list[int]
) -> None:
    counts = redacted_exports(exports, tmp_path / "copy", KEY, rule)
    assert [row["campaign_id"] for row in rows(tmp_path / "copy" / "campaigns.parquet")] == campaigns
    assert {row["campaign_id"] for row in rows(tmp_path / "copy" / "accounts.parquet")} == set(campaigns)
    if not campaigns:
        assert set(counts.values()) == {0}


def test_equal_keys_match_accounts_and_others_do_not(exports: Path, shared: Path, tmp_path: Path) -> None:
    redacted_exports(exports, tmp_path / "same", KEY, RULE)
    for path in shared.iterdir():
        assert (tmp_path / "same" / path.name).read_bytes() == path.read_bytes()
    redacted_exports(exports, tmp_path / "other", KEY[::-1], RULE)
    ours, theirs = (
        {row["account_id"] for row in rows(folder / "accounts.parquet")} for folder in (shared, tmp_path / "other")
    )
    assert len(ours) == len(theirs) == 8
    assert not ours & theirs


def test_two_providers_with_one_key_find_the_accounts_that_both_have(
    exports: Path, shared: Path, tmp_path: Path
) -> None:
    both = {"pool-1", "pool-4", FORMULA_ACCOUNT}
    (tmp_path / "exports").mkdir()
    for path in exports.glob("*.parquet"):
        table = pq.read_table(path)
        if "account_id" in table.column_names:
            names = [name if name in both else f"elsewhere/{name}" for name in table["account_id"].to_pylist()]
            at = table.schema.get_field_index("account_id")
            table = table.set_column(at, table.schema.field(at), pa.array(names))
        pq.write_table(table, tmp_path / "exports" / path.name)
    redacted_exports(tmp_path / "exports", tmp_path / "copy", KEY, RULE)
    ours, theirs = (
        {row["account_id"] for row in rows(folder / "accounts.parquet")} for folder in (shared, tmp_path / "copy")
    )
    assert ours & theirs == {account(name) for name in both}
    assert len(ours | theirs) == 8 + 5


def test_a_copy_goes_into_a_new_folder_and_needs_every_table(exports: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there already"):
        redacted_exports(exports, tmp_path, KEY, RULE)
    with pytest.raises(InputError, match="have no labels"):
        redacted_exports(tmp_path, tmp_path / "copy", KEY, RULE)
    assert not (tmp_path / "copy").exists()
    with pytest.raises(ValueError, match="at least 1"):
        SharingRule(0)
