"""URLs of places: which are known, what of them may be shown, and files that are written there whole."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from s3 import Service

from refrain.errors import ConfigError, InputError, PlaceError
from refrain.logs import discover
from refrain.places import Place, is_url, open_output, parse_place, put_folder, settled, shown_url
from refrain.settings import load_settings


@pytest.mark.parametrize(
    ("url", "place", "path"),
    [
        ("s3://bucket/logs/day=2026-01-01/", Place("s3", "", "bucket", "logs/day=2026-01-01"), None),
        ("S3A://bucket", Place("s3", "", "bucket", ""), "bucket"),
        ("gcs://bucket/a", Place("gs", "", "bucket", "a"), "bucket/a"),
        ("s3://bucket/a b#é%20@x:y", Place("s3", "", "bucket", "a b#é%20@x:y"), "bucket/a b#é%20@x:y"),
        ("s3://bucket/a&b=c;d=e/x", Place("s3", "", "bucket", "a&b=c;d=e/x"), "bucket/a&b=c;d=e/x"),
        ("s3://bucket/day=2026-0?-01/*", Place("s3", "", "bucket", "day=2026-0?-01/*"), None),
        (
            "abfss://logs@account.dfs.core.windows.net/a/b",
            Place("abfss", "account.dfs.core.windows.net", "logs", "a/b"),
            "logs/a/b",
        ),
    ],
)
def test_a_url_names_a_bucket_and_a_key(url: str, place: Place, path: str | None) -> None:
    assert parse_place(url) == place
    assert path in (None, place.path)
    assert parse_place(place.url) == place


@pytest.mark.parametrize(
    "url",
    [
        "s3://PLANTED:PLANTED@bucket/logs",
        "s3://PLANTED@bucket/logs",
        "s3://bucket/logs?X-Amz-Signature=PLANTED",
        "gs://bucket/logs?access_token=PLANTED&x=1",
        "abfs://logs@account.blob.core.windows.net/a?sv=2024&sig=PLANTED",
        "abfs://u:PLANTED@account/logs",
        "https://u:PLANTED@host/x?token=PLANTED",
        "ftp://u:PLANTED@host/x",
    ],
)
def test_a_url_that_carries_a_secret_is_refused_and_not_shown(url: str) -> None:
    for work in (lambda: parse_place(url), lambda: discover([url])):
        with pytest.raises(InputError) as caught:
            work()
        assert "PLANTED" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "url", ["http://host/x.jsonl", "file:///x.jsonl", "s3://", "s3:///key", "s3://b*/x", "abfs://c/x"]
)
def test_a_url_of_no_place_is_an_error_that_says_so(url: str) -> None:
    with pytest.raises(InputError, match=r"is at no place|names no"):
        discover([url])


@given(st.text(), st.text(min_size=1), st.text(min_size=1).filter(str.isalnum))
def test_what_stands_before_an_at_sign_or_behind_a_question_mark_is_never_shown(
    user: str, secret: str, host: str
) -> None:
    planted = f"<{secret}>"
    assert is_url(f"s3://{user}:{planted}@{host}/x")
    assert planted not in shown_url(f"s3://{user}:{planted}@{host}/x")
    assert planted not in shown_url(f"s3://{host}/x?sig={planted}")


def test_a_source_is_settled_without_its_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settled("logs/*.jsonl") == str(tmp_path / "logs" / "*.jsonl")
    assert settled("s3://bucket//logs/") == "s3://bucket//logs/"
    with pytest.raises(InputError):
        settled("s3://id:PLANTED@bucket/logs")


def test_a_path_is_no_url() -> None:
    assert [is_url(path) for path in ("logs", "/tmp/s3:/x", "C:\\x", "day=1://x", "*.jsonl")] == [False] * 5


@pytest.mark.parametrize("value", ["minio:9000", "http://u:PLANTED@minio", "http://minio?key=PLANTED"])
def test_an_endpoint_is_an_address_and_nothing_else(value: str) -> None:
    with pytest.raises(ConfigError, match="s3_endpoint must be") as caught:
        load_settings(overrides=[f'places.s3_endpoint="{value}"'])
    assert "PLANTED" not in caught.value.message


def test_a_file_on_disk_is_whole_or_absent(tmp_path: Path) -> None:
    to = tmp_path / "deep" / "x.bin"
    with open_output(str(to)) as file:
        file.write(b"first")
        assert not to.exists()
    with pytest.raises(KeyError), open_output(str(to)) as file:
        file.write(b"second")
        raise KeyError
    assert to.read_bytes() == b"first"
    assert [path.name for path in to.parent.iterdir()] == ["x.bin"]


def test_a_file_in_a_bucket_is_whole_or_absent(s3: Service) -> None:
    url = s3.fill("outputs", {})
    with open_output(f"{url}/deep/x.csv.gz", s3.config) as file:
        file.write(b"first")
    with pytest.raises(KeyError), open_output(f"{url}/deep/x.csv.gz", s3.config) as file:
        file.write(b"second")
        raise KeyError
    assert s3.system().open_input_file("outputs/deep/x.csv.gz").read() == b"first"
    with pytest.raises(InputError, match="no file in it"), open_output(url, s3.config):
        pass
    with pytest.raises(PlaceError, match="there is nothing at s3://no-such-bucket"):  # noqa: SIM117
        with open_output("s3://no-such-bucket/x", s3.config) as file:
            file.write(b"x")


def test_a_folder_is_put_under_its_names(s3: Service, tmp_path: Path) -> None:
    url = s3.fill("folders", {})
    (tmp_path / "day=2026-01-01").mkdir()
    (tmp_path / "day=2026-01-01" / "a.jsonl").write_bytes(b"a")
    (tmp_path / "b.parquet").write_bytes(b"b")
    assert put_folder(tmp_path, f"{url}/run 1", s3.config) == 2
    assert put_folder(tmp_path, f"{url}/run 1", s3.config) == 2
    found = discover([f"{url}/run 1"], s3.config)
    assert [(log.name, log.size) for log in found] == [("b.parquet", 1), ("day=2026-01-01/a.jsonl", 1)]
    with found[1].open() as file:
        assert io.BytesIO(file.read()).getvalue() == b"a"


def test_settings_of_places_are_no_part_of_a_run(tmp_path: Path) -> None:
    from refrain.runs import default_run_id

    config = load_settings().config
    other = replace(config, places=replace(config.places, s3_endpoint="http://minio", attempts=9))
    assert default_run_id(["x"], config) == default_run_id(["x"], other)
