"""Artifacts: whole or absent, read-only, the same bytes for the same content, and never trusted when damaged."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.artifacts import (
    MANIFEST,
    STAGING,
    FileEntry,
    Manifest,
    Store,
    damaged_files,
    digest_file,
    digest_json,
    link_tree,
    read_manifest,
    seal,
    staged,
    sweep,
    write_text,
)
from refrain.errors import ConfigError, StoreError
from refrain.key import key_id, keyed_digest, load_key

NAMES = st.text(st.characters(categories=["L", "N"], include_characters="._- /"), min_size=1, max_size=20)


def sealed(folder: Path, files: dict[str, bytes], address: str = "a" * 32) -> Manifest:
    """The manifest of an artifact that holds `files`."""
    with staged(folder) as out:
        for name, data in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(data)
        return seal(
            out,
            stage="mine",
            noun="templates",
            address=address,
            inputs=("i",),
            config={"k": 1},
            code="c",
            counts={"n": 2},
        )


def test_a_sealed_folder_reads_back_as_it_was_written(tmp_path: Path) -> None:
    manifest = sealed(tmp_path / "a", {"x": b"12", "day=1/y": b""})
    assert read_manifest(tmp_path / "a") == manifest
    assert manifest.files == {
        "day=1/y": FileEntry(0, digest_file(tmp_path / "a/day=1/y")),
        "x": FileEntry(2, digest_file(tmp_path / "a/x")),
    }
    assert damaged_files(tmp_path / "a", manifest) == ()
    assert not os.access(tmp_path / "a/x", os.W_OK) or os.geteuid() == 0
    assert (tmp_path / "a/x").stat().st_mode & 0o777 == 0o444


def test_the_manifest_is_the_same_text_in_another_place(tmp_path: Path) -> None:
    sealed(tmp_path / "a", {"x": b"1", "y": b"2"})
    sealed(tmp_path / "deep/er/b", {"y": b"2", "x": b"1"})
    text = (tmp_path / "a" / MANIFEST).read_text()
    assert text == (tmp_path / "deep/er/b" / MANIFEST).read_text()
    assert str(tmp_path) not in text


@given(
    files=st.dictionaries(NAMES, st.tuples(st.integers(0, 9), st.sampled_from("ab")), max_size=4),
    other=st.dictionaries(NAMES, st.tuples(st.integers(0, 9), st.sampled_from("ab")), max_size=4),
)
def test_the_content_digest_tells_files_and_nothing_else(
    files: dict[str, tuple[int, str]], other: dict[str, tuple[int, str]]
) -> None:
    def manifest(entries: dict[str, tuple[int, str]], code: str) -> Manifest:
        listed = {name: FileEntry(*entry) for name, entry in entries.items()}
        return Manifest("mine", "templates", code, (), {}, code, {}, listed)

    assert (manifest(files, "x").content == manifest(other, "y").content) == (files == other)


def test_a_manifest_loads_equal_and_foreign_text_is_refused(tmp_path: Path) -> None:
    manifest = sealed(tmp_path / "a", {"x": b"1"})
    assert Manifest.from_json(manifest.to_json()) == manifest
    for text in ("", "[]", "{}", '{"version": 0}', manifest.to_json().replace('"code"', '"kode"'), '{"version": 1}'):
        with pytest.raises(ValueError, match=r".*"):
            Manifest.from_json(text)


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="boom"), staged(tmp_path / "a") as out:
        (out / "x").write_bytes(b"1")
        raise RuntimeError("boom")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_is_replaced_whole(tmp_path: Path) -> None:
    sealed(tmp_path / "a", {"old": b"1"})
    sealed(tmp_path / "a", {"new": b"2"})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", MANIFEST, "new"]


def test_a_killed_writer_leaves_no_result_and_its_staging_is_swept(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom refrain.artifacts import staged\n"
        "with staged(Path(sys.argv[1])) as out:\n"
        "    (out / 'x').write_bytes(b'1')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a").exists()
    of_a_namesake = tmp_path / f"{STAGING}{os.getpid()}-00"  # in a container every process may have the same id
    of_a_namesake.mkdir()
    (tmp_path / f"{STAGING}text").write_text("half")
    (tmp_path / f"{STAGING}link").symlink_to(tmp_path)
    with staged(tmp_path / "b") as ours:
        assert sweep(tmp_path) == 4
        assert list(tmp_path.iterdir()) == [ours]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("harm", ["remove", "shorten", "manifest", "torn"])
def test_a_damaged_artifact_is_not_trusted(tmp_path: Path, harm: str) -> None:
    sealed(tmp_path / "a", {"x": b"12"})
    victim = tmp_path / "a" / ("x" if harm in ("remove", "shorten") else MANIFEST)
    data = victim.read_bytes()
    victim.unlink()
    if harm == "manifest":
        victim.write_text("{}")
    elif harm != "remove":
        victim.write_bytes(data[:-1] if harm == "shorten" else data[: len(data) // 2])
    with pytest.raises(StoreError):
        read_manifest(tmp_path / "a")


def test_a_flipped_byte_is_found_when_digests_are_asked_for(tmp_path: Path) -> None:
    manifest = sealed(tmp_path / "a", {"x": b"12", "y": b"3"})
    (tmp_path / "a/x").unlink()
    (tmp_path / "a/x").write_bytes(b"13")
    assert read_manifest(tmp_path / "a") == manifest
    assert damaged_files(tmp_path / "a", manifest) == ("x",)


def test_a_folder_without_manifest_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    assert read_manifest(tmp_path) is None
    assert read_manifest(tmp_path / "absent") is None


def test_linked_files_are_the_same_files(tmp_path: Path) -> None:
    sealed(tmp_path / "a", {"day=1/x": b"1"})
    with staged(tmp_path / "b") as out:
        link_tree(tmp_path / "a", out)
    assert (tmp_path / "a/day=1/x").samefile(tmp_path / "b/day=1/x")
    assert read_manifest(tmp_path / "b") == read_manifest(tmp_path / "a")


def test_text_is_replaced_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "new/a", "one")
    write_text(tmp_path / "new/a", "zwei ü")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a"]
    assert (tmp_path / "new/a").read_text(encoding="utf-8") == "zwei ü"


def test_the_digest_of_json_ignores_the_order_of_keys_and_refuses_nan() -> None:
    assert digest_json({"a": 1, "b": [1, 2]}) == digest_json({"b": [1, 2], "a": 1})
    assert digest_json({"a": [1, 2]}) != digest_json({"a": [2, 1]})
    with pytest.raises(ValueError, match="JSON compliant"):
        digest_json(float("nan"))


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    key = store.key
    assert len(key) == 32
    assert store.key == key
    assert (tmp_path / "store/key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in store.root.iterdir()] == ["key"]


def test_processes_that_race_for_the_key_get_the_same(tmp_path: Path) -> None:
    script = "import sys, pathlib, refrain.key; print(refrain.key.load_key(pathlib.Path(sys.argv[1])).hex())"
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert len({process.communicate()[0] for process in started}) == 1


def test_the_key_of_the_environment_wins_and_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFRAIN_KEY", "ab" * 32)
    assert load_key(tmp_path) == b"\xab" * 32
    for bad in ("", "secret-not-hex", "ab" * 31):
        monkeypatch.setenv("REFRAIN_KEY", bad)
        with pytest.raises(ConfigError) as caught:
            load_key(tmp_path)
        assert not bad or bad not in str(caught.value) + caught.value.hint


def test_a_damaged_key_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(StoreError, match="damaged"):
        load_key(tmp_path)
    assert (tmp_path / "key").read_bytes() == b"short"


def test_digests_differ_with_the_key() -> None:
    one, two = b"1" * 32, b"2" * 32
    assert keyed_digest(one, b"text") != keyed_digest(two, b"text")
    assert key_id(one) != key_id(two)
    assert one.hex() not in key_id(one)


def test_a_manifest_of_json_scalars_only(tmp_path: Path) -> None:
    """What is written can be read by anything: plain JSON, ASCII."""
    sealed(tmp_path / "a", {"tag=ü": b"1"})
    text = (tmp_path / "a" / MANIFEST).read_text(encoding="ascii")
    assert json.loads(text)["files"].keys() == {"tag=ü"}
