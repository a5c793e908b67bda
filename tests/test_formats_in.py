"""Logs of foreign formats through the whole intake: the canonical tables, the counts, the identities."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from refrain import stages
from refrain.artifacts import Store
from refrain.detection import find_formats
from refrain.dialects import dialect
from refrain.errors import InputError
from refrain.logs import discover
from refrain.progress import NoProgress
from refrain.settings import load_settings

SETTINGS = load_settings(overrides=["ingest.max_structural_error_share=1.0", "ingest.workers=1"]).config
LOGS = Path(__file__).parent / "logs"
Row = dict[str, Any]


def body(at: int, text: str, **more: Any) -> Row:
    said = [{"role": "user", "content": text}]
    around = {"account_id": f"org-{at % 3}", "timestamp": 1_772_352_000 + at, "request_id": f"r{at}"}
    return {**around, "body": {"model": "gpt-5", "messages": said, **more}}


def ingest(tmp_path: Path, log: Path, told: list[str] | None = None) -> stages.Result:
    tell = (told if told is not None else []).append
    store = Store(tmp_path / "store")
    return stages.ingest([str(log)], SETTINGS, store=store, progress=NoProgress(), tell=tell)


def table(result: stages.Result, name: str) -> list[Row]:
    whole = result.folder / f"{name}.parquet"
    files = [whole] if whole.exists() else sorted((result.folder / name).glob("*/*.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def write(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_the_counts_add_up_and_what_cannot_be_used_says_where_and_why(tmp_path: Path) -> None:
    records = [
        body(0, "Hello there.", safety_identifier="eu-1"),
        body(1, "Hello there."),
        body(0, "Hello there.", safety_identifier="eu-1"),
        {**body(3, "x"), "body": "{"},
        {**body(4, "x"), "body": {"model": "m"}},
        {**body(5, "x"), "body": {"model": "text-embedding-3-small", "input": "x"}},
        "{",
        {**body(7, "x"), "account_id": None},
        {**body(8, "x"), "timestamp": "yesterday"},
    ]
    told: list[str] = []
    result = ingest(tmp_path, write(tmp_path / "log" / "a.jsonl", records), told)
    counts = result.counts
    assert told == ["reading 1 file as OpenAI request bodies"]
    assert counts["files_as_openai"] == counts["files"] == 1
    parts = ("kept", "merged", "quarantined", "passed")
    assert [counts[name] for name in ("read", *parts)] == [9, 2, 1, 5, 1]
    assert counts["read"] == sum(counts[name] for name in parts)
    assert json.loads((result.folder / "counts.json").read_text()) == counts
    refused = [(row["row"], row["field"], row["reason"]) for row in table(result, "quarantine")]
    assert refused == [
        (4, "body", "unparsable JSON"),
        (5, "body.messages", "missing field"),
        (7, "", "unparsable record"),
        (8, "account_id", "no account"),
        (9, "timestamp", "unreadable time"),
    ]
    requests = table(result, "requests")
    assert [(row["request_id"], row["end_user"], row["model"]) for row in requests] == [
        ("r0", "eu-1", "gpt-5"),
        ("r1", None, "gpt-5"),
    ]
    # What was staged is found again with the same counts.
    again = ingest(tmp_path, write(tmp_path / "more" / "a.jsonl", records))
    assert not again.computed and again.counts == counts


def test_several_requests_of_one_record_keep_its_number_and_their_order(tmp_path: Path) -> None:
    turns: list[Row] = [{"role": role, "content": f"{role} {at}"} for at in range(3) for role in ("user", "assistant")]
    turns[2] = {"role": "user", "content": ["no text"]}
    turns[4] = {"role": "user"}
    talk = {"conversation_hash": "c", "model": "m", "timestamp": 1_700_000_000, "hashed_ip": "h", "conversation": turns}
    intact = {**talk, "conversation_hash": "d", "conversation": turns[:2]}
    result = ingest(tmp_path, write(tmp_path / "log.jsonl", [intact, talk]))
    assert [row["request_id"] for row in table(result, "requests")] == ["c#1", "d#1"]
    refused = [(row["row"], row["field"], row["reason"]) for row in table(result, "quarantine")]
    assert refused == [(2, "conversation.4.content", "missing field"), (2, "prompt", "wrong type")]
    assert (result.counts["read"], result.counts["kept"], result.counts["quarantined"]) == (4, 2, 2)


def test_workers_read_formats_to_the_same_bytes(tmp_path: Path) -> None:
    log = write(tmp_path / "log" / "a.jsonl", [body(at, f"Say {at % 9}.") for at in range(300)])
    for path in LOGS.glob("wildchat/*s.jsonl"):
        (log.parent / path.name).write_bytes(path.read_bytes())
    found = []
    for workers in (1, 2):
        ours = replace(SETTINGS.ingest, workers=workers, worker_mib=0, batch_rows=20)
        config, store = replace(SETTINGS, ingest=ours), Store(tmp_path / f"store{workers}")
        (tmp_path / f"store{workers}").mkdir()
        (tmp_path / f"store{workers}" / "key").write_bytes(bytes(32))
        result = stages.ingest([str(log.parent)], config, store=store, progress=NoProgress())
        assert (result.counts["files_as_openai"], result.counts["files_as_wildchat"]) == (1, 1)
        found.append({path.name: path.read_bytes() for path in result.folder.rglob("*.parquet")})
    assert found[0] == found[1]


def test_a_time_without_a_zone_is_in_the_zone_of_its_format(tmp_path: Path) -> None:
    log = LOGS / "wildchat" / "conversations.jsonl"
    config = replace(SETTINGS, ingest=replace(SETTINGS.ingest, timezone="Asia/Tokyo"))
    result = stages.ingest([str(log)], config, store=Store(tmp_path / "store"), progress=NoProgress())
    assert table(result, "requests")[0]["timestamp"].isoformat() == "2023-04-09T00:01:00+00:00"
    assert result.counts["naive_times"] == 0


def test_a_folder_stands_in_for_what_a_batch_file_does_not_say(tmp_path: Path) -> None:
    folder = tmp_path / "log" / "account_id=org-7" / "timestamp=2026-03-01"
    folder.mkdir(parents=True)
    (folder / "batch.jsonl").write_bytes((LOGS / "openai" / "batch.jsonl").read_bytes())
    result = ingest(tmp_path, tmp_path / "log")
    assert [row["account_id"] for row in table(result, "accounts")] == ["org-7"]
    assert (result.counts["kept"], result.counts["passed"]) == (4, 1)


def test_what_a_file_is_read_with_is_part_of_the_identity(tmp_path: Path) -> None:
    log = write(tmp_path / "log.jsonl", [body(0, "Hello there.")])
    result = ingest(tmp_path, log)
    (file,) = discover([str(log)])
    stamp = find_formats([file], SETTINGS.ingest).identity(file)
    assert stamp.startswith(f" as openai {dialect('openai').version} ")
    assert result.manifest.inputs == (f"{result.manifest.inputs[0].split()[0]} {file.size} log.jsonl{stamp}",)
    own = {"account_id": "a", "timestamp": 1_700_000_000, "prompt": "Hello there."}
    plain = ingest(tmp_path, write(tmp_path / "own.jsonl", [own]))
    assert plain.manifest.inputs[0].endswith(" own.jsonl")


def test_a_log_of_nothing_but_other_calls_says_so(tmp_path: Path) -> None:
    other = [{**body(at, "x"), "body": {"model": "text-embedding-3-small", "input": "x"}} for at in range(3)]
    with pytest.raises(InputError, match="none of the 3 records is a request to a model"):
        ingest(tmp_path, write(tmp_path / "log.jsonl", other))
