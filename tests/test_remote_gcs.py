"""Google Cloud Storage by URL: the same files and bytes, known by their generation."""

import gzip
from dataclasses import replace
from datetime import date

import pytest
from gcs import BUCKET, storing

from refrain.config import PlacesConfig
from refrain.errors import InputError, PlaceError
from refrain.lines import read_lines
from refrain.logs import digests_of, discover
from refrain.settings import load_settings
from refrain.slices import Slice, wanted_folders

LINES = [b'{"at": %d}' % at for at in range(5000)]
OBJECTS = {
    "logs/day=2026-01-01/a.jsonl": b"\n".join(LINES),
    "logs/day=2026-01-02/b.jsonl.gz": gzip.compress(b"\n".join(LINES)),
    "logs/day=2026-01-02/_SUCCESS": b"",
    "logs/notes.txt": b"x",
}


def settings(endpoint: str) -> PlacesConfig:
    places = load_settings().config.places
    return replace(places, gs_endpoint=endpoint, anonymous=True, attempts=2, request_seconds=5.0)


def test_a_log_at_google_has_its_files_and_their_lines() -> None:
    with storing(OBJECTS) as storage:
        logs = discover([f"gs://{BUCKET}/logs"], settings(storage.endpoint))
        assert [(log.name, log.size) for log in logs] == [
            ("day=2026-01-01/a.jsonl", len(OBJECTS["logs/day=2026-01-01/a.jsonl"])),
            ("day=2026-01-02/b.jsonl.gz", len(OBJECTS["logs/day=2026-01-02/b.jsonl.gz"])),
        ]
        for log in logs:
            assert list(read_lines(log, 1 << 20, lambda _: None)) == LINES
        part = wanted_folders(Slice(first=date(2026, 1, 2)))
        assert discover([f"gs://{BUCKET}/logs"], settings(storage.endpoint), part) == logs[1:]
        july = wanted_folders(Slice(first=date(2026, 7, 1)))
        assert discover([f"gs://{BUCKET}/logs"], settings(storage.endpoint), july) == []
        pattern = discover([f"gs://{BUCKET}/l*/day=*2/*.gz"], settings(storage.endpoint))
        assert [log.name for log in pattern] == ["logs/day=2026-01-02/b.jsonl.gz"]
        single = discover([f"gs://{BUCKET}/logs/day=2026-01-01/a.jsonl"], settings(storage.endpoint))
        assert [log.name for log in single] == ["a.jsonl"]


def test_a_generation_is_what_a_file_at_google_is_known_by() -> None:
    with storing(OBJECTS) as storage:
        config = settings(storage.endpoint)
        before = discover([f"gs://{BUCKET}/logs"], config)
        first = [digest for _, digest in digests_of(before)]
        assert [digest for _, digest in digests_of(discover([f"gs://{BUCKET}/logs"], config))] == first
        # Other bytes of the same size at the same time.
        storage.put("logs/day=2026-01-01/a.jsonl", OBJECTS["logs/day=2026-01-01/a.jsonl"].replace(b"at", b"AT"))
        second = [digest for _, digest in digests_of(discover([f"gs://{BUCKET}/logs"], config))]
        assert [one == two for one, two in zip(first, second, strict=True)] == [False, True]
        with pytest.raises(PlaceError, match="changed while it was read"), before[0].open():
            pass


def test_what_is_not_there_and_who_is_not_there() -> None:
    with storing(OBJECTS) as storage:
        with pytest.raises(InputError, match=f"no log file at gs://{BUCKET}/nowhere"):
            discover([f"gs://{BUCKET}/nowhere"], settings(storage.endpoint))
        gone = replace(settings(storage.endpoint), request_seconds=1.0, attempts=1)
    with pytest.raises(PlaceError, match=f"gs://{BUCKET}/logs cannot be reached"):
        discover([f"gs://{BUCKET}/logs"], gone)
