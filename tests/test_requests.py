"""A log as tables: everything counted once, everything accounted for, nothing lost to odd text."""

import csv
import gzip
import json
import random
import tracemalloc
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refrain.artifacts import Store
from refrain.config import IngestConfig
from refrain.errors import InputError
from refrain.progress import NoProgress
from refrain.requests import ingest_logs
from refrain.segments import SegmentRules, cut
from refrain.settings import load_settings

CONFIG = load_settings().config.ingest
START = datetime(2026, 1, 1, 23, 0, tzinfo=UTC)
Row = dict[str, Any]


def request(at: int, prompt: str | None = "Hello there.", **more: Any) -> Row:
    return {
        "request_id": f"r{at}",
        "account_id": f"a{at % 3}",
        "timestamp": (START + timedelta(minutes=at)).isoformat(),
        "prompt": prompt,
        **more,
    }


def write(path: Path, rows: Sequence[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Ingested:
    """The tables that an ingest left."""

    def __init__(self, tmp_path: Path, *sources: Path, config: IngestConfig = CONFIG) -> None:
        self.out = tmp_path / f"out{len(list(tmp_path.glob('out*')))}"
        self.out.mkdir()
        store = Store(tmp_path / "store")
        names = [str(source) for source in sources]
        self.counts = ingest_logs(names, self.out, config, store=store, progress=NoProgress())

    def table(self, name: str) -> list[Row]:
        whole = self.out / f"{name}.parquet"
        files = [whole] if whole.exists() else sorted((self.out / name).glob("*/*.parquet"))
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]

    def spoken(self) -> list[tuple[str, str, int, str, bool]]:
        """(request_id, role, turn, text, counted) of every segment."""
        texts = [row["text"] for row in self.table("segments")]
        ids = [row["request_id"] for row in self.table("requests")]
        return [
            (ids[row["request_row"]], row["role"], row["turn"], texts[row["segment_row"]], row["counted"])
            for row in self.table("request_segments")
        ]

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.out)): p.read_bytes() for p in sorted(self.out.rglob("*")) if p.is_file()}


def test_a_small_log_by_hand(tmp_path: Path) -> None:
    rows = [
        request(61, "Be kind. Say hello to Bob.", system_prompt="You are a poet.", model="m", tokens_in=5),
        request(0, "be  KIND. Say hello to Eve.", account_created_at="2025-12-01", payment_hash="p", ip="10.0.0.1"),
        request(3, "be  KIND.", account_created_at="2025-11-01", account_closed_at=1_800_000_000),
        request(1, "???", payment_hash="p", ip="10.0.0.9"),
    ]
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", rows))
    folders = sorted(path.parent.name for path in (got.out / "requests").glob("*/*.parquet"))
    assert folders == ["day=2026-01-01", "day=2026-01-02"]
    requests = got.table("requests")
    assert [(row["request_row"], row["request_id"], row["account_row"]) for row in requests] == [
        (0, "r0", 0),
        (1, "r1", 1),
        (2, "r3", 0),
        (3, "r61", 1),
    ]
    assert requests[3]["timestamp"] == START + timedelta(minutes=61)
    assert (requests[3]["model"], requests[3]["tokens_in"], requests[0]["model"]) == ("m", 5, None)
    texts = [row["text"] for row in got.table("texts")]
    assert texts == sorted([*(row["prompt"] for row in rows), "You are a poet."])
    prompts = [texts[row["prompt_text_row"]] for row in requests]
    assert prompts == [rows[1]["prompt"], "???", "be  KIND.", rows[0]["prompt"]]
    assert texts[requests[3]["system_text_row"]] == "You are a poet."
    segments = {row["text"]: row for row in got.table("segments")}
    kind = segments["be kind."]
    assert (kind["raw"], kind["words"], kind["requests"], kind["accounts"], kind["owners"]) == ("be  KIND.", 2, 3, 2, 1)
    assert (kind["first_seen"], kind["last_seen"]) == (START, START + timedelta(minutes=61))
    assert list(segments) == sorted(segments)
    accounts = got.table("accounts")
    assert [(row["account_id"], row["owner_row"], row["requests"]) for row in accounts] == [("a0", 0, 2), ("a1", 0, 2)]
    assert accounts[0]["created_at"] == datetime(2025, 11, 1, tzinfo=UTC)
    assert accounts[0]["closed_at"] == datetime.fromtimestamp(1_800_000_000, UTC)
    assert got.table("owners") == [{"owner_row": 0, "accounts": 2, "kind": "payment_network"}]
    assert got.spoken()[-3:] == [
        ("r61", "system", 0, "you are a poet.", True),
        ("r61", "user", 1, "be kind.", True),
        ("r61", "user", 1, "say hello to bob.", True),
    ]
    # Naive: two account creation days have no zone, but only requests' own times are counted.
    assert got.counts["naive_times"] == 0
    assert json.loads((got.out / "counts.json").read_text()) == got.counts


def test_of_a_conversation_the_last_turn_of_the_user_counts_and_the_system_prompt(tmp_path: Path) -> None:
    said = [("system", "Be kind."), ("user", "Start."), ("assistant", "Done."), ("user", "Go on."), ("tool", "42")]
    messages = [{"role": role, "content": text} for role, text in said]
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", [request(0, None, messages=messages)]))
    assert got.spoken() == [("r0", "system", 1, "be kind.", True), ("r0", "user", 4, "go on.", True)]
    assert sorted(row["text"] for row in got.table("texts")) == ["Be kind.", "Go on."]


def test_resent_history_counts_a_segment_once_a_conversation_and_role(tmp_path: Path) -> None:
    first = [{"role": "user", "content": "Start the job."}]
    second = [*first, {"role": "assistant", "content": "Start the job."}, {"role": "user", "content": "Go on."}]
    rows = [
        request(3, None, messages=first, conversation_id="c1", account_id="a0"),
        request(0, None, messages=first, conversation_id="c1"),
        request(6, None, messages=second, conversation_id="c1", account_id="a0"),
        request(4, None, messages=first, conversation_id="c1", account_id="other"),
        request(5, None, messages=first, account_id="a0"),
    ]
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", rows), config=replace(CONFIG, turns="all"))
    assert got.spoken() == [
        ("r0", "user", 1, "start the job.", True),
        ("r3", "user", 1, "start the job.", False),
        ("r4", "user", 1, "start the job.", True),  # another account's conversation of the same name
        ("r5", "user", 1, "start the job.", True),  # no conversation
        ("r6", "user", 1, "start the job.", False),
        ("r6", "assistant", 2, "start the job.", True),
        ("r6", "user", 3, "go on.", True),
    ]
    job = got.table("segments")[1]
    assert (job["text"], job["requests"], job["accounts"]) == ("start the job.", 4, 2)


def test_repeated_deliveries_merge_and_conflicts_are_quarantined(tmp_path: Path) -> None:
    rows = [request(0), request(1), request(0), request(1, "Something else."), {**request(2), "request_id": None}]
    rows += [{**request(2), "request_id": None}, {**request(2, model="m"), "request_id": None}]
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", rows))
    assert got.counts["read"] == 7
    assert (got.counts["kept"], got.counts["merged"], got.counts["quarantined"]) == (4, 2, 1)
    (refused,) = got.table("quarantine")
    assert (refused["file"], refused["row"], refused["field"]) == ("log.jsonl", 4, "request_id")
    assert refused["reason"] == "duplicate id, different content"
    assert json.loads(refused["content"])["prompt"] == "Something else."
    prompts = {row["request_id"]: row["prompt_text_row"] for row in got.table("requests")}
    assert got.table("texts")[prompts["r1"]]["text"] == "Hello there."


def test_what_cannot_be_used_is_quarantined_with_its_place_and_reason(tmp_path: Path) -> None:
    bad: list[tuple[Any, str, str]] = [
        ({**request(1), "prompt": " \n"}, "prompt", "no prompt"),
        ({**request(1), "account_id": ""}, "account_id", "no account"),
        ({**request(1), "account_id": [1]}, "account_id", "wrong type"),
        ({**request(1), "timestamp": "yesterday"}, "timestamp", "unreadable time"),
        ({**request(1), "timestamp": None}, "timestamp", "unreadable time"),
        ({**request(1), "prompt": {"text": "x"}}, "prompt", "wrong type"),
        ({**request(1), "request_id": {"x": 1}}, "request_id", "wrong type"),
        ({"account_id": "a", "timestamp": 1_767_225_600}, "prompt", "missing column"),
        ({"prompt": "x", "timestamp": 1_767_225_600}, "account_id", "missing column"),
        ([1, 2], "", "no object"),
    ]
    rows = [request(0), *(row for row, _, _ in bad)]
    config = replace(CONFIG, max_structural_error_share=1.0, quarantine_content_characters=60)
    got = Ingested(tmp_path, write(tmp_path / "sub" / "log.jsonl", rows), config=config)
    refused = got.table("quarantine")
    assert [(row["row"], row["field"], row["reason"]) for row in refused] == [
        (at, field, reason) for at, (_, field, reason) in enumerate(bad, start=2)
    ]
    assert {row["file"] for row in refused} == {"log.jsonl"}
    assert max(len(row["content"]) for row in refused) <= 60
    assert got.counts["structural_errors"] == 8
    assert got.counts["read"] == got.counts["kept"] + got.counts["merged"] + got.counts["quarantined"] == 11


def test_too_many_structural_errors_stop_and_say_why_without_a_word_of_the_log(tmp_path: Path) -> None:
    rows = [request(at) for at in range(18)] + [{**request(at), "timestamp": "sesame"} for at in range(2)]
    with pytest.raises(InputError, match=r"2 of 20 records \(10\.0%\).*unreadable time \(timestamp\): 2") as caught:
        Ingested(tmp_path, write(tmp_path / "log.jsonl", rows))
    assert caught.value.exit_code == 2
    assert "sesame" not in str(caught.value)
    # No prompt is no structural error: a log may hold many empty requests.
    rows = [request(0), *(request(at, "") for at in range(1, 20))]
    assert Ingested(tmp_path, write(tmp_path / "empty.jsonl", rows)).counts["kept"] == 1


def test_an_empty_log_and_one_without_a_usable_record_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        Ingested(tmp_path, write(tmp_path / "a.jsonl", []))
    with pytest.raises(InputError, match=r"none of the 2 records can be used: no prompt \(prompt\): 2"):
        Ingested(tmp_path, write(tmp_path / "b.jsonl", [request(0, ""), request(1, None)]))
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), tmp_path / "c.parquet")
    with pytest.raises(InputError, match="empty"):
        Ingested(tmp_path, tmp_path / "c.parquet")


@pytest.mark.parametrize("name", ["log.jsonl.gz", "log.parquet"])
def test_a_torn_file_stops_the_run_unless_the_config_keeps_what_came_before(tmp_path: Path, name: str) -> None:
    rows = [request(at, f"Prompt {random.Random(at).random()}") for at in range(20_000)]
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())[:-20_000])
    else:
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2000)
        data = bytearray(path.read_bytes())
        place = pq.ParquetFile(path).metadata.row_group(5).column(3).data_page_offset
        data[place : place + 50] = bytes(50)
        path.write_bytes(data)
    with pytest.raises(InputError, match=name):
        Ingested(tmp_path, path)
    got = Ingested(tmp_path, path, config=replace(CONFIG, torn_files="keep"))
    assert got.counts["torn_files"] == got.counts["quarantined"] == 1
    assert 5000 < got.counts["kept"] == got.counts["read"] - 1
    (refused,) = got.table("quarantine")
    assert (refused["row"], refused["reason"]) == (got.counts["read"], "torn file")


HOSTILE = [
    "<script>alert(1)</script> & 'quotes'",
    "\x1b[31mred\x07 alert",
    "zero\u200bwidth\u202e bidi",
    "nul\x00 byte",
    "lone \ud800 surrogate",
    "'; DROP TABLE rows; --",
    "{slot} %s {0}",
    "\ufeffbom and \u2028 separators",
]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_odd_text_is_never_a_way_out(tmp_path: Path, form: str) -> None:
    rows = [request(at, text, user_agent=text, ip=text) for at, text in enumerate(HOSTILE)]
    path = tmp_path / f"log.{form}"
    if form == "jsonl":
        write(path, rows)
    else:
        rows = [{k: v.encode("utf-8", "surrogatepass") for k, v in row.items()} for row in rows]
        if form == "csv":
            with path.open("w", encoding="latin-1", newline="") as file:
                names = list(rows[0])
                table = csv.writer(file)
                table.writerow(names)
                table.writerows([row[name].decode("latin-1") for name in names] for row in rows)
        else:
            pq.write_table(pa.Table.from_pylist(rows), path)
    got = Ingested(tmp_path, path)
    requests = got.table("requests")
    texts = got.table("texts")
    assert got.counts["kept"] == len(HOSTILE)
    assert [row["repaired"] for row in requests] == ["\x00" in text or "\ud800" in text for text in HOSTILE]
    stored = [texts[row["prompt_text_row"]]["text"] for row in requests]
    for text, kept, row in zip(HOSTILE, stored, requests, strict=True):
        if row["repaired"]:
            assert "\x00" not in kept and kept.split()[-1] == text.split()[-1]
        else:
            assert kept == text == row["user_agent"]


def test_a_ten_megabyte_prompt_is_kept_cut_and_flagged_and_an_over_long_line_is_not(tmp_path: Path) -> None:
    rows = [request(0), request(1, "All work and no play. " * 500_000), request(2, "x" * (3 << 20)), request(3)]
    config = replace(CONFIG, max_text_characters=1000, max_structural_error_share=1.0)
    path = write(tmp_path / "log.jsonl", rows)
    got = Ingested(tmp_path, path, config=config)
    assert [row["cut"] for row in got.table("requests")] == [False, True, True, False]
    assert max(len(row["text"]) for row in got.table("texts")) == 1000
    got = Ingested(tmp_path, path, config=replace(config, max_record_mib=5))
    assert [row["request_id"] for row in got.table("requests")] == ["r0", "r2", "r3"]
    assert [(row["row"], row["reason"]) for row in got.table("quarantine")] == [(2, "over-long record")]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    config = replace(CONFIG, batch_rows=50)
    peaks = []
    for count in (300, 1200):
        rows = [request(at, f"{at:x}" + "x" * 4000) for at in range(count)]
        path = write(tmp_path / f"{count}.jsonl", rows)
        del rows
        tracemalloc.start()
        Ingested(tmp_path, path, config=config)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_ids_carry_the_source_and_the_account_is_the_configured_one(tmp_path: Path) -> None:
    rows = [request(0, end_user="u/1"), request(3), request(6, end_user="u%2F1"), {**request(9), "request_id": None}]
    config = replace(CONFIG, source="eu", account=("account_id", "end_user"))
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", rows), config=config)
    assert [row["account_id"] for row in got.table("accounts")] == ["eu:a0", "eu:a0/u%252F1", "eu:a0/u%2F1"]
    ids = [row["request_id"] for row in got.table("requests")]
    assert ids[:3] == ["eu:r0", "eu:r3", "eu:r6"]
    assert ids[3].startswith("eu:") and len(ids[3]) == len("eu:") + 32


def test_columns_of_other_names_and_naive_times(tmp_path: Path) -> None:
    row = {"id": 7, "key": "k1", "at": "2026-01-01T00:00:00", "input": "Hello.", "prompt": "not this one", "model": "m"}
    columns = {"request_id": "id", "api_key_id": "key", "timestamp": "at", "prompt": "input", "model": ""}
    config = replace(CONFIG, columns=columns, account=("api_key_id",), timezone="Asia/Tokyo")
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", [row]), config=config)
    (request_row,) = got.table("requests")
    assert (request_row["request_id"], request_row["api_key_id"], request_row["model"]) == ("7", "k1", None)
    assert request_row["timestamp"] == datetime(2025, 12, 31, 15, tzinfo=UTC)
    assert got.table("texts")[0]["text"] == "Hello."
    assert got.counts["naive_times"] == 1


def test_owner_rules_can_be_left_out(tmp_path: Path) -> None:
    rows = [request(at, org_id="reseller") for at in range(3)]
    path = write(tmp_path / "log.jsonl", rows)
    assert Ingested(tmp_path, path).counts["owners"] == 1
    assert Ingested(tmp_path, path, config=replace(CONFIG, owners=("payment_network",))).counts["owners"] == 3


def test_a_pool_on_one_card_over_many_networks_and_customers_of_one_gateway_stay_apart(tmp_path: Path) -> None:
    pool = [request(at, account_id=f"p{at}", payment_hash="card", ip=f"198.51.{at}.1") for at in range(10)]
    gateway = [request(at, account_id=f"g{at}", payment_hash=f"c{at}", ip="203.0.113.7") for at in range(10, 20)]
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", pool + gateway))
    assert got.counts["owners"] == got.counts["accounts"] == 20


WORDS = st.sampled_from(["Be kind.", "be KIND!", "Grade A and B.", "Task 12", "task 7", "Пишите по-русски.", "😀 ok"])
RECORDS = st.lists(
    st.builds(
        lambda who, minute, text, system, talk, org, template: {
            "account_id": f"a{who}",
            "timestamp": (START + timedelta(minutes=30 * minute)).isoformat(),
            "prompt": " ".join(text),
            "system_prompt": system,
            "conversation_id": talk,
            "org_id": org,
            "prompt_template": template,
        },
        st.integers(0, 4),
        st.integers(0, 5),
        st.lists(WORDS, min_size=1, max_size=4),
        st.none() | WORDS,
        st.none() | st.sampled_from(["c1", "c2"]),
        st.none() | st.sampled_from(["o1", "o2"]),
        st.none() | WORDS,
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS, st.randoms(use_true_random=False), st.integers(1, 4), st.integers(1, 7))
def test_order_files_and_batches_change_no_byte(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], rng: random.Random, parts: int, batch: int
) -> None:
    tmp_path = tmp_path_factory.mktemp("law")
    rows = [{**row, "request_id": f"r{at}" if at % 2 else None} for at, row in enumerate(rows)]
    whole = Ingested(tmp_path, write(tmp_path / "whole.jsonl", rows))
    shuffled = [*rows, *rng.sample(rows, len(rows) // 3)]  # some arrive twice
    rng.shuffle(shuffled)
    folder = tmp_path / "parts"
    for part in range(parts):
        write(folder / f"{part}.jsonl", shuffled[part::parts])
    other = Ingested(tmp_path, folder, config=replace(CONFIG, batch_rows=batch, memory_limit_mib=200))
    first, second = whole.files(), other.files()
    first.pop("counts.json"), second.pop("counts.json")
    assert first == second
    assert other.counts["merged"] - whole.counts["merged"] == len(rows) // 3


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_segments_are_counted_as_brute_force_counts(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    tmp_path = tmp_path_factory.mktemp("oracle")
    rows = [{**row, "request_id": f"r{at:02}"} for at, row in enumerate(rows)]
    got = Ingested(tmp_path, write(tmp_path / "log.jsonl", rows))
    rules = SegmentRules(CONFIG.segment_max_words, CONFIG.segment_window_words, CONFIG.max_segments)
    owner = {row["account_id"]: row["owner_row"] for row in got.table("accounts")}
    requests: dict[str, set[str]] = defaultdict(set)
    accounts: dict[str, set[str]] = defaultdict(set)
    seen: dict[tuple[str, str, str, str], str] = {}
    raws: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (row["timestamp"], row["request_id"])):
        for role, text in (
            ("system", row["system_prompt"]),
            ("user", row["prompt"]),
            ("template", row["prompt_template"]),
        ):
            for normalised, raw in cut(text or "", rules):
                raws.setdefault(normalised, raw)
                if row["conversation_id"]:
                    place = (row["account_id"], row["conversation_id"], role, normalised)
                    if seen.setdefault(place, row["request_id"]) != row["request_id"]:
                        continue
                requests[normalised].add(row["request_id"])
                accounts[normalised].add(row["account_id"])
    names = ("text", "raw", "requests", "accounts", "owners")
    assert [tuple(row[name] for name in names) for row in got.table("segments")] == [
        (text, raws[text], len(requests[text]), len(who), len({owner[account] for account in who}))
        for text, who in sorted(accounts.items())
    ]


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    place = tmp_path / "it's [a]*?"
    place.mkdir()
    assert Ingested(place, write(place / "log.jsonl", [request(0)])).counts["kept"] == 1


def test_digests_need_the_key(tmp_path: Path) -> None:
    path = write(tmp_path / "log.jsonl", [{**request(0), "request_id": None}])
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    one, two = Ingested(tmp_path / "x", path), Ingested(tmp_path / "y", path)
    for table, column in (("segments", "digest"), ("texts", "digest"), ("requests", "request_id")):
        assert one.table(table)[0][column] != two.table(table)[0][column]
