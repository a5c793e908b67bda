"""Logs in a bucket: the same files, the same rows, the same bytes as on disk, and a network that fails."""

import json
import threading
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3 import Breaking, Service
from typer.testing import CliRunner

from refrain.cli import app
from refrain.detection import find_formats
from refrain.errors import InputError, NoRequestsError, PlaceError
from refrain.logs import digests_of, discover
from refrain.progress import NoProgress
from refrain.runs import run_ingest
from refrain.settings import load_settings
from refrain.slices import Slice, choose_files, wanted_folders

FILES = {
    "logs/day=2026-01-01/part-0.jsonl": b"1\n",
    "logs/day=2026-01-02/part-0.jsonl": b"22\n",
    "logs/day=2026-01-02/part-1.csv.gz": b"333\n",
    "logs/day=2026-01-02/_SUCCESS": b"",
    "logs/day=2026-01-02/.part.crc": b"x",
    "logs/_temporary/part-9.jsonl": b"x",
    "logs/notes.txt": b"x",
    "logs/eu/day=2026-01-03/a b#é%20.jsonl": b"4444\n",
}


@pytest.fixture(scope="module")
def bucket(s3: Service) -> str:
    return s3.fill("remote-files", FILES)


def names(source: str, s3: Service) -> list[str]:
    return [log.name for log in discover([source], s3.config)]


def test_a_folder_in_a_bucket_has_the_files_that_a_folder_on_disk_has(bucket: str, s3: Service, tmp_path: Path) -> None:
    for key, data in FILES.items():
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    near, far = discover([str(tmp_path / "logs")]), discover([f"{bucket}/logs"], s3.config)
    assert [(log.name, log.size, log.format, log.compression) for log in far] == [
        (log.name, log.size, log.format, log.compression) for log in near
    ]
    assert [log.size for log in far] == [2, 3, 4, 5]
    assert names(f"{bucket}/logs/", s3) == names(f"{bucket}/logs", s3)
    assert names(bucket, s3) == [f"logs/{log.name}" for log in near]


def test_patterns_and_single_files_are_named_as_on_disk(bucket: str, s3: Service) -> None:
    assert names(f"{bucket}/logs/day=2026-01-0[12]/*.jsonl", s3) == [
        "day=2026-01-01/part-0.jsonl",
        "day=2026-01-02/part-0.jsonl",
    ]
    assert names(f"{bucket}/logs/day=2026-01-0?", s3) == [
        "day=2026-01-01/part-0.jsonl",
        "day=2026-01-02/part-0.jsonl",
        "day=2026-01-02/part-1.csv.gz",
    ]
    assert names(f"{bucket}/**/*.gz", s3) == ["logs/day=2026-01-02/part-1.csv.gz"]
    assert names(f"{bucket}/logs/day=2026-01-01/part-0.jsonl", s3) == ["part-0.jsonl"]
    assert names(f"{bucket}/logs/eu/day=2026-01-03/a b#é%20.jsonl", s3) == ["a b#é%20.jsonl"]


@pytest.mark.parametrize("key", ["nowhere/", "logs/no*.jsonl", "logs/notes.txt"])
def test_a_url_without_a_readable_file_is_an_error_that_names_it(bucket: str, s3: Service, key: str) -> None:
    with pytest.raises(InputError, match="no log file at s3://remote-files/"):
        discover([f"{bucket}/{key}"], s3.config)


def test_keys_that_no_folder_could_hold_are_left_out_and_end_no_listing(s3: Service) -> None:
    url = s3.fill("odd-keys", {"a/x.jsonl": b"1\n"})
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        aws_access_key_id="planted-id",
        aws_secret_access_key="planted-secret",
        region_name="us-east-1",
    )
    for key in ("a//y.jsonl", "a/../z.jsonl", "a/./w.jsonl", "a/"):
        client.put_object(Bucket="odd-keys", Key=key, Body=b"1\n")
    client.close()
    assert names(url, s3) == ["a/x.jsonl"]
    assert names(f"{url}/*/*.jsonl", s3) == ["a/x.jsonl"]


def test_only_the_days_of_a_slice_are_looked_into(bucket: str, s3: Service) -> None:
    part = Slice(first=date(2026, 1, 2), last=date(2026, 1, 3))
    logs = discover([f"{bucket}/logs"], s3.config, wanted_folders(part))
    assert [log.name for log in logs] == [
        "day=2026-01-02/part-0.jsonl",
        "day=2026-01-02/part-1.csv.gz",
        "eu/day=2026-01-03/a b#é%20.jsonl",
    ]
    assert choose_files(discover([f"{bucket}/logs"], s3.config), part) == logs
    late = Slice(first=date(2027, 1, 1))
    assert discover([f"{bucket}/logs"], s3.config, wanted_folders(late)) == []
    with pytest.raises(NoRequestsError, match="2027-01-01"):
        choose_files([], late)


def test_digests_follow_content_and_place_and_need_no_reading(s3: Service) -> None:
    url = s3.fill("digests", {"a/x.jsonl": b"1\n", "b/x.jsonl": b"1\n"})
    first = {log.name: digest for log, digest in digests_of(discover([url], s3.config))}
    again = {log.name: digest for log, digest in digests_of(discover([url], s3.config))}
    assert first == again
    assert len(set(first.values())) == 2
    s3.fill("digests", {"a/x.jsonl": b"2\n"})
    changed = {log.name: digest for log, digest in digests_of(discover([url], s3.config))}
    assert changed["b/x.jsonl"] == first["b/x.jsonl"]
    assert changed["a/x.jsonl"] != first["a/x.jsonl"]


def test_a_file_that_changed_since_it_was_listed_is_no_log(s3: Service) -> None:
    url = s3.fill("changing", {"x.jsonl": b"1\n"})
    log = discover([url], s3.config)[0]
    log.digest()
    s3.fill("changing", {"x.jsonl": b"2\n"})
    with pytest.raises(PlaceError, match="changed while it was read"), log.open():
        pass


def test_a_connection_that_breaks_is_taken_up_where_it_broke(s3: Service) -> None:
    data = bytes(range(256)) * (1 << 13)  # 2 MiB
    s3.fill("breaking", {"x.jsonl": data})
    breaking = Breaking(s3, cuts=2, after=1 << 19)
    with breaking.running() as relay:
        log = discover(["s3://breaking"], relay.config)[0]
        with log.open(1 << 20) as file:
            assert file.read() == data
    assert breaking.done == 2


def test_a_connection_that_stays_broken_is_no_torn_file(s3: Service, tmp_path: Path) -> None:
    s3.fill("broken", {"x.jsonl": b'{"account_id": "a", "timestamp": 1760000000, "prompt": "p"}\n' * 8_000})
    config = load_settings(overrides=['ingest.torn_files="keep"']).config
    breaking = Breaking(s3, cuts=1 << 20, after=1 << 16)
    with breaking.running() as relay:
        config = replace(config, places=replace(relay.config, attempts=2))
        with pytest.raises(PlaceError) as caught:
            run_ingest(["s3://broken"], config, tmp_path / "outputs", progress=NoProgress())
    assert "planted" not in caught.value.message + caught.value.hint
    assert not list((tmp_path / "outputs").glob("store/stages/requests/*/manifest.json"))


class Refusing(BaseHTTPRequestHandler):
    """Says no, and why, in words that quote the key."""

    def do_GET(self) -> None:
        words = b"<Error><Code>AccessDenied</Code><Message>planted-id may not</Message></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(words)

    do_HEAD = do_GET  # noqa: N815 (the name that the server looks for)

    def log_message(self, *_: object) -> None:
        """Nothing; requests are no news."""


def test_a_refusal_is_told_without_the_words_of_the_service(s3: Service) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            config = replace(s3.config, s3_endpoint=f"http://127.0.0.1:{server.server_port}")
            with pytest.raises(PlaceError, match="s3://private/logs refuses access") as caught:
                discover(["s3://private/logs"], config)
        finally:
            server.shutdown()
    assert "planted" not in caught.value.message + caught.value.hint
    assert caught.value.exit_code == 1


def test_nobody_there_is_told_with_the_place(s3: Service) -> None:
    nobody = replace(s3.config, s3_endpoint="http://127.0.0.1:9", attempts=1)
    with pytest.raises(PlaceError, match="s3://some-bucket/logs cannot be reached"):
        discover(["s3://some-bucket/logs"], nobody)
    with pytest.raises(InputError, match="no log file"):
        discover(["s3://remote-nothing/logs"], s3.config)


def test_a_log_gives_the_same_tables_from_a_bucket_as_from_a_folder(
    s3: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = b'{"account_id": "a%d", "timestamp": "2026-01-0%dT0%d:00:00Z", "prompt": "hello number %d"}\n'
    folder = tmp_path / "log"
    for day in (1, 2):
        (folder / f"day=2026-01-0{day}").mkdir(parents=True)
        rows = b"".join(line % (at % 7, day, at % 10, at) for at in range(50))
        (folder / f"day=2026-01-0{day}" / "a.jsonl").write_bytes(rows)
        (folder / f"day=2026-01-0{day}" / "b.jsonl.gz").write_bytes(pa.compress(rows, "gzip", asbytes=True))
        table = pa.table(
            {
                "account_id": ["p", "q"],
                "timestamp": pa.array([1767225600000 + (day - 1) * 86400000] * 2, pa.timestamp("ms", "UTC")),
                "prompt": ["what a table holds", "another"],
            }
        )
        pq.write_table(table, folder / f"day=2026-01-0{day}" / "c.parquet")
        (folder / f"day=2026-01-0{day}" / "d.csv").write_text(
            f"account_id,timestamp,prompt\nc,2026-01-0{day} 10:00:00,from a cell\n,2026-01-0{day},nobody\n"
        )
    s3.copy(folder, "whole-log")
    base = load_settings(overrides=["ingest.max_structural_error_share=0.5", "ingest.workers=1"]).config
    config = replace(base, places=s3.config)
    part = Slice(first=date(2026, 1, 1), last=date(2026, 1, 2))
    monkeypatch.setenv("REFRAIN_KEY", "5a" * 32)  # digests of texts stand in the tables
    found = []
    for source, outputs in ((str(folder), "near"), ("s3://whole-log", "far")):
        run, result = run_ingest([source], config, tmp_path / outputs, part=part, progress=NoProgress())
        found.append((result.counts, dict(result.manifest.files)))
        again = run_ingest([source], config, tmp_path / outputs, part=part, progress=NoProgress())[1]
        assert not again.computed
        assert run.name
    assert found[0] == found[1]
    assert found[0][0]["read"] == 50 * 4 + 4 + 4
    assert found[0][0]["quarantined"] == 2


def test_a_format_is_recognised_in_a_bucket_from_the_heads_of_its_files(s3: Service) -> None:
    folder = Path(__file__).parent / "logs"
    url = s3.copy(folder / "wildchat", "formats")
    logs = [log for log in discover([url], s3.config) if "expected" not in log.name]
    found = find_formats(logs, load_settings().config.ingest)
    assert dict(found.of) == {log.name: "wildchat" for log in logs}
    given = ["inspect", f"{url}/conversations.jsonl", "--set", s3.override, "--json"]
    done = CliRunner().invoke(app, given)
    (sample,) = json.loads(done.stdout)["samples"]
    near = CliRunner().invoke(app, ["inspect", str(folder / "wildchat" / "conversations.jsonl"), "--json"])
    assert sample == json.loads(near.stdout)["samples"][0]
    assert sample["format"] == "wildchat"
