"""Runs: what is published is whole, linked, named safely, and taken out when what it rests on changes."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refrain.artifacts import MANIFEST, damaged_files, read_manifest
from refrain.errors import InputError, StoreError
from refrain.progress import NoProgress
from refrain.runs import TIMINGS, Run, check_run_id, default_run_id, list_runs, open_run, publish, run_all, store_of
from refrain.settings import load_settings
from refrain.stages import INPUTS, NOUNS, Result, complete_stage

if TYPE_CHECKING:
    from conftest import SmallRun

CONFIG = load_settings().config


def result(outputs: Path, verb: str, text: str) -> Result:
    """A finished stage that left `text`."""

    def compute(out: Path) -> dict[str, int]:
        (out / "part").write_text(text)
        return {}

    return complete_stage(verb, (text,), getattr(CONFIG, verb), "refrain.text", compute, store_of(outputs))


def published(outputs: Path, name: str, text: str) -> Run:
    """A run with all stages, new or gone over again."""
    run = open_run(outputs, name) if name in list_runs(outputs) else Run(outputs / "runs" / name, {}, {})
    for verb in NOUNS:
        run = publish(run, result(outputs, verb, text), CONFIG)
    return run


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Bytes and inode of every file below `folder`."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_ino)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_published_run_opens_equal_and_holds_links_into_the_store(tmp_path: Path) -> None:
    run = published(tmp_path, "a", "x")
    assert open_run(tmp_path, "a") == run
    assert open_run(tmp_path, "latest") == run
    assert list(run.stages) == list(NOUNS.values())
    for noun, address in run.stages.items():
        stored = store_of(tmp_path).stages / noun / address / "part"
        assert stored.samefile(run.result(noun) / "part")


def test_publishing_again_changes_no_file(tmp_path: Path) -> None:
    published(tmp_path, "a", "x")
    before = snapshot(tmp_path / "runs/a")
    published(tmp_path, "a", "x")
    assert snapshot(tmp_path / "runs/a") == before


@pytest.mark.parametrize("verb", list(NOUNS))
def test_a_changed_stage_takes_out_what_rests_on_it_and_nothing_else(tmp_path: Path, verb: str) -> None:
    run = published(tmp_path, "a", "x")
    later = publish(run, result(tmp_path, verb, "y"), CONFIG)
    rests = {NOUNS[verb]}
    for other in NOUNS:
        if rests & set(INPUTS[other]):
            rests.add(NOUNS[other])
    kept = set(NOUNS.values()) - rests | {NOUNS[verb]}
    assert set(later.stages) == kept
    assert open_run(tmp_path, "a") == later
    assert {path.name for path in (tmp_path / "runs/a").iterdir() if path.is_dir()} == kept
    assert set(json.loads((later.folder / TIMINGS).read_text())) == kept
    for gone in rests - {NOUNS[verb]}:
        with pytest.raises(StoreError, match=f"no {gone} yet"):
            later.result(gone)


def test_a_stage_that_left_the_same_from_other_settings_takes_nothing_out(tmp_path: Path) -> None:
    run = published(tmp_path, "a", "x")

    def compute(out: Path) -> dict[str, int]:
        (out / "part").write_text("x")
        return {}

    same = complete_stage("ingest", ("other",), CONFIG.ingest, "refrain.text", compute, store_of(tmp_path))
    later = publish(run, same, CONFIG)
    assert later.stages == {**run.stages, "requests": same.manifest.address}
    assert later.stages["requests"] != run.stages["requests"]


def test_a_run_folder_that_was_damaged_is_linked_again(tmp_path: Path) -> None:
    run = published(tmp_path, "a", "x")
    (run.folder / "templates/part").unlink()
    assert publish(run, result(tmp_path, "mine", "x"), CONFIG) == run
    assert (run.folder / "templates/part").read_text() == "x"


def test_latest_is_the_run_that_was_written_last(tmp_path: Path) -> None:
    published(tmp_path, "b", "x")
    published(tmp_path, "a", "y")
    assert open_run(tmp_path, "latest").name == "a"
    assert list_runs(tmp_path) == ["a", "b"]
    assert not (tmp_path / "runs/latest").readlink().is_absolute()


def test_a_run_manifest_holds_no_path_no_time_and_not_where_it_lies(tmp_path: Path) -> None:
    one, two = published(tmp_path / "one", "a", "x"), published(tmp_path / "two/deep", "a", "x")
    text = (one.folder / MANIFEST).read_text()
    assert text == (two.folder / MANIFEST).read_text()
    assert str(tmp_path) not in text
    assert "seconds" not in text


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "-x", ".x", "x.", "a..b", "latest", "a b", "a\n", "ü", "x" * 101]
)
def test_names_that_could_be_something_else_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        check_run_id(name)
    if name != "latest":
        with pytest.raises(InputError):
            open_run(tmp_path, name)


@pytest.mark.parametrize("name", ["a", "run-0f3a", "2026-09-01", "v1.2_b"])
def test_ordinary_names_pass(name: str) -> None:
    assert check_run_id(name) == name


def test_a_run_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    published(tmp_path, "a", "x")
    with pytest.raises(StoreError) as caught:
        open_run(tmp_path, "b")
    assert "a" in caught.value.hint
    assert caught.value.exit_code == 2
    with pytest.raises(StoreError, match="'latest'"):
        open_run(tmp_path / "empty", "latest")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 99}', '{"version": 1}'])
def test_a_torn_run_manifest_is_refused(tmp_path: Path, text: str) -> None:
    run = published(tmp_path, "a", "x")
    (run.folder / MANIFEST).write_text(text)
    with pytest.raises(StoreError, match=r"manifest\.json|another version"):
        open_run(tmp_path, "a")


def test_the_default_id_follows_log_and_settings_but_not_the_place_of_outputs() -> None:
    one = default_run_id(["x"], CONFIG)
    assert check_run_id(one) == one
    assert default_run_id(["x"], load_settings(overrides=["outputs.path=/elsewhere"]).config) == one
    assert default_run_id(["y"], CONFIG) != one
    assert default_run_id(["x"], load_settings(overrides=["score.seed=9"]).config) != one


@pytest.mark.slow
def test_a_second_run_does_nothing(small_run: "SmallRun") -> None:
    before = snapshot(small_run.outputs)
    results: list[Result] = []
    run_all(
        [str(small_run.log)], CONFIG, small_run.outputs, run_id="small", progress=NoProgress(), report=results.append
    )
    assert [(result.verb, result.note) for result in results if result.computed] == []
    after = snapshot(small_run.outputs)
    assert after == before


@pytest.mark.slow
def test_another_place_and_another_order_of_reading_give_the_same_bytes(small_run: "SmallRun", tmp_path: Path) -> None:
    """The key is part of what is written, so it goes along; nothing else does."""
    (tmp_path / "store").mkdir()
    (tmp_path / "store/key").write_bytes((small_run.outputs / "store/key").read_bytes())
    copied = tmp_path / "elsewhere"
    copied.symlink_to(small_run.log)
    run = run_all([str(copied)], CONFIG, tmp_path, run_id="small", progress=NoProgress())
    one, two = snapshot(small_run.run), snapshot(run.folder)
    assert one.keys() - {"report.html"} == two.keys()
    assert [name for name in two if name != TIMINGS and one[name][0] != two[name][0]] == []


@pytest.mark.slow
def test_a_changed_setting_runs_its_stage_and_those_after_it(small_run: "SmallRun") -> None:
    config = load_settings(overrides=["score.seed=12345"]).config
    results: list[Result] = []
    run_all(
        [str(small_run.log)], config, small_run.outputs, run_id="other", progress=NoProgress(), report=results.append
    )
    computed = [result.verb for result in results if result.computed]
    assert computed[0] == "score"
    assert set(computed) <= {"score", "export"}  # where another seed finds the same, the exports stand


@pytest.mark.slow
def test_what_a_run_holds_is_what_its_manifests_say(small_run: "SmallRun") -> None:
    run = open_run(small_run.outputs, "small")
    assert set(run.stages) == set(NOUNS.values())
    for noun in run.stages:
        manifest = read_manifest(run.result(noun))
        assert manifest is not None
        assert damaged_files(run.result(noun), manifest) == ()
        text = manifest.to_json()
        assert str(small_run.outputs) not in text
        assert str(small_run.log) not in text
