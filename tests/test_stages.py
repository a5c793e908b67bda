"""A stage computes once for each address, and again only where what it left cannot be trusted."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from refrain.artifacts import Store, read_manifest
from refrain.config import ContentFile
from refrain.errors import StoreError
from refrain.progress import NoProgress
from refrain.settings import load_settings, plain
from refrain.stages import INPUTS, NOUNS, Result, complete_stage, embed, identity, mine

if TYPE_CHECKING:
    from conftest import SmallRun


@dataclass(frozen=True)
class Section:
    """A section with a setting and a file that counts by its content."""

    words: int
    probes: ContentFile


def mined(
    store: Store, *, inputs: tuple[str, ...] = ("i",), section: object = None, text: str = "x", key: str = "k0"
) -> Result:
    """What a small stage leaves that writes `text`."""

    def compute(out: Path) -> dict[str, int]:
        (out / "part").write_text(text)
        return {"second": 2, "first": 1}

    chosen = section if section is not None else load_settings().config.mine
    return complete_stage("mine", inputs, chosen, "refrain.text", compute, store, key=key)


def test_a_stage_computes_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second = mined(store), mined(store, text="never written")
    assert (first.computed, second.computed) == (True, False)
    assert second.manifest == first.manifest
    assert (second.folder / "part").read_text() == "x"
    assert list(second.manifest.counts) == ["second", "first"]  # a stage's own order is the one that is printed
    assert second.folder == store.stages / "templates" / second.manifest.address


def test_inputs_settings_and_key_are_part_of_the_address(tmp_path: Path) -> None:
    store = Store(tmp_path)
    probes = tmp_path / "probes.toml"
    probes.write_text("a")
    results = [
        mined(store),
        mined(store, inputs=("j",)),
        mined(store, inputs=("i", "j")),
        mined(store, section=Section(1, str(probes))),
        mined(store, section=Section(2, str(probes))),
        mined(store, key="k"),
    ]
    probes.write_text("b")
    results.append(mined(store, section=Section(1, str(probes))))
    assert all(result.computed for result in results)
    assert len({result.manifest.address for result in results}) == len(results)


def test_a_named_file_counts_by_content_wherever_it_lies(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("same")
    assert identity(Section(1, str(tmp_path / "one"))) == identity(Section(1, str(tmp_path / "two")))


def test_a_setting_of_speed_alone_is_no_part_of_the_identity() -> None:
    section = load_settings().config.ingest
    names = ("workers", "worker_mib", "keep_staged", "staged_mib", "staged_unit_kib")
    assert identity(section) == {name: value for name, value in plain(section).items() if name not in names}
    assert identity(section) == identity(replace(section, workers=7, worker_mib=3, keep_staged=False))
    assert identity(section) != identity(replace(section, batch_rows=7))


@pytest.mark.parametrize("harm", ["missing", "short"])
def test_a_damaged_result_is_computed_again_and_the_reason_given(tmp_path: Path, harm: str) -> None:
    store = Store(tmp_path)
    first = mined(store, text="whole")
    (first.folder / "part").unlink()
    if harm == "short":
        (first.folder / "part").write_text("w")
    again = mined(store, text="whole")
    assert again.computed
    assert "part" in again.note
    assert again.manifest == first.manifest
    assert read_manifest(again.folder) == first.manifest


def test_a_result_whose_ground_is_gone_is_computed_again(tmp_path: Path) -> None:
    store, ground = Store(tmp_path / "store"), tmp_path / "ground"
    section = load_settings().config.mine

    def compute(out: Path) -> dict[str, int]:
        ground.touch()
        (out / "part").write_text("x")
        return {"kept": 1, "made": 1}

    def check(folder: Path) -> None:
        if not ground.exists():
            raise StoreError("the ground is gone")

    def run() -> Result:
        return complete_stage("mine", ("i",), section, "refrain.text", compute, store, check=check, passing=("made",))

    first, second = run(), run()
    assert (first.computed, second.computed) == (True, False)
    assert (first.counts, second.counts) == ({"kept": 1, "made": 1}, {"kept": 1})
    ground.unlink()
    third = run()
    assert (third.computed, third.note) == (True, "the ground is gone")
    assert third.manifest == first.manifest


def test_a_stage_that_fails_leaves_nothing_and_can_be_run_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    section = load_settings().config.mine

    def broken(out: Path) -> dict[str, int]:
        (out / "part").write_text("half")
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        complete_stage("mine", ("i",), section, "refrain.text", broken, store)
    assert list((store.stages / "templates").iterdir()) == []
    assert mined(store).computed


def test_an_unfinished_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requests").mkdir()
    with pytest.raises(StoreError, match="no finished stage"):
        embed(tmp_path / "requests", load_settings().config, store=Store(tmp_path), progress=NoProgress())


def test_every_stage_reads_only_what_earlier_ones_left() -> None:
    seen: set[str] = set()
    for verb, noun in NOUNS.items():
        assert seen.issuperset(INPUTS[verb])
        seen.add(noun)


def test_what_fails_beside_mine_changes_nothing(small_run: "SmallRun", tmp_path: Path) -> None:
    def fail() -> None:
        done.append(1)
        raise StoreError("gone")

    done: list[int] = []
    found = mine(
        small_run.run / "requests", small_run.run / "clusters", load_settings().config, store=Store(tmp_path),
        progress=NoProgress(), beside=fail,
    )  # fmt: skip
    assert done
    assert found.manifest == read_manifest(small_run.run / "templates")
