"""Azure by URL: the same files and bytes, known by their ETag."""

from dataclasses import replace
from datetime import date

import pytest
from azure import ACCOUNT, CONTAINER, put, storing

from refrain.config import PlacesConfig
from refrain.errors import InputError, PlaceError
from refrain.lines import read_lines
from refrain.logs import digests_of, discover
from refrain.settings import load_settings
from refrain.slices import Slice, wanted_folders

URL = f"abfss://{CONTAINER}@{ACCOUNT}.dfs.core.windows.net"
LINES = [b'{"at": %d}' % at for at in range(5000)]
BLOBS = {
    "logs/day=2026-01-01/a.jsonl": b"\n".join(LINES),
    "logs/day=2026-01-02/b c#é.jsonl": b"\n".join(LINES[:10]),
    "logs/day=2026-01-02/_SUCCESS": b"",
    "logs/notes.txt": b"x",
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The account's key where it is looked for."""
    monkeypatch.setenv("AZURE_STORAGE_KEY", "cGxhbnRlZC1rZXk=")


def settings(endpoint: str) -> PlacesConfig:
    return replace(load_settings().config.places, azure_endpoint=endpoint, attempts=1)


def test_a_log_at_azure_has_its_files_and_their_lines() -> None:
    with storing(BLOBS) as endpoint:
        config = settings(endpoint)
        logs = discover([f"{URL}/logs"], config)
        assert [log.name for log in logs] == ["day=2026-01-01/a.jsonl", "day=2026-01-02/b c#é.jsonl"]
        assert [list(read_lines(log, 1 << 20, lambda _: None)) for log in logs] == [LINES, LINES[:10]]
        assert discover([f"{URL}/logs"], config, wanted_folders(Slice(first=date(2026, 1, 2)))) == logs[1:]
        assert [log.name for log in discover([f"{URL}/l*/*2/*"], config)] == ["logs/day=2026-01-02/b c#é.jsonl"]
        with pytest.raises(InputError, match="no log file at abfss://"):
            discover([f"{URL}/nowhere"], config)


def test_an_etag_is_what_a_file_at_azure_is_known_by() -> None:
    with storing(BLOBS) as endpoint:
        config = settings(endpoint)
        before = discover([f"{URL}/logs"], config)
        first = [digest for _, digest in digests_of(before)]
        put(endpoint, "logs/day=2026-01-01/a.jsonl", BLOBS["logs/day=2026-01-01/a.jsonl"].replace(b"at", b"AT"))
        second = [digest for _, digest in digests_of(discover([f"{URL}/logs"], config))]
        assert [one == two for one, two in zip(first, second, strict=True)] == [False, True]
        with pytest.raises(PlaceError, match="changed while it was read"), before[0].open():
            pass


def test_who_is_not_there_is_told_without_the_key() -> None:
    with pytest.raises(PlaceError, match=r"abfss://.* cannot be reached") as caught:
        discover([f"{URL}/logs"], settings("http://127.0.0.1:9"))
    assert "cGxhbnRlZC1rZXk" not in caught.value.message + caught.value.hint
