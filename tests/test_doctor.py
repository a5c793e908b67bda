"""Doctor: every damage is named, what can be computed again is removed, and a whole store has none."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from embeddings.shards import as_digests, open_shards, write_shard
from refrain.artifacts import link_tree, seal, staged
from refrain.cli import app
from refrain.config import LedgerConfig
from refrain.doctor import Examined, examine
from refrain.known import Suppression
from refrain.ledger import RunRow, open_ledger
from refrain.progress import NoProgress
from refrain.runs import LATEST, LATEST_NIGHT, manifest_text, open_run, store_of
from refrain.slices import make_slice, save_slice
from refrain.tombstones import Tombstones, save_tombstones

LEDGER = LedgerConfig(url="", signature_nights=28)
RESULTS = ("requests", "vectors", "neighbours")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """A small store of sealed folders and shards, and a run that is linked to it."""
    outputs = tmp_path / "outputs"
    store = store_of(outputs)
    assert store.key
    for noun in RESULTS:
        make(store.stages / noun / f"{noun}-1")
    for place in (store.staged / "unit", store.graphs / "days/d"):
        make(place)
    run = outputs / "runs/one"
    for noun in RESULTS:
        with staged(run / noun) as out:
            link_tree(store.stages / noun / f"{noun}-1", out)
    stages = {noun: f"{noun}-1" for noun in RESULTS}
    told = {"version": 1, "run_id": "one", "stages": stages, "config": {}}
    (run / "manifest.json").write_text(manifest_text(told))  # with its digest: what a repair writes must have it, too
    (outputs / "runs/latest").symlink_to("one")
    folder = store.vectors / "encoder"
    folder.mkdir(parents=True)
    for start in (1, 5):
        write_shard(folder, as_digests([bytes([start + at] * 16) for at in range(4)]), np.ones((4, 3), np.float32))
    with open_ledger(outputs, LEDGER) as ledger:
        ledger.dismissed.add(Suppression("d", "why", "me", "then", ("a text",), ("0" * 32,), (), (), ()))
    save_slice(outputs, "part", make_slice(models=["m"]))
    save_tombstones(store.root, store.key, Tombstones(before=1))
    return outputs


def make(place: Path) -> None:
    """A sealed folder of two files."""
    with staged(place) as out:
        (out / "a.txt").write_text("what was written")
        (out / "b.txt").write_text("and more")
        seal(out, stage="s", noun="n", address=place.name, inputs=(), config={}, code="", counts={})


def look(outputs: Path, *, repair: bool = False) -> Examined:
    """What the doctor finds."""
    return examine(outputs, repair=repair, progress=NoProgress())


def flip(path: Path) -> None:
    """One byte of a file is another, its size and its links are what they were."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def test_a_whole_store_has_no_fault(outputs: Path) -> None:
    seen = look(outputs)
    assert seen.faults == []
    assert seen.checked == {
        "left over": 0, "key": 1, "results": 5, "vectors": 2, "runs": 3, "lists": 2, "databases": 1, "ledger": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        ("store/stages/vectors/vectors-1", "flip"),
        ("store/stages/vectors/vectors-1", "cut"),
        ("store/stages/vectors/vectors-1", "lose"),
        ("store/stages/vectors/vectors-1", "strange"),
        ("store/staged/unit", "flip"),
        ("store/graphs/days/d", "cut"),
    ],
)
def test_results_that_are_damaged_are_named_and_removed(outputs: Path, place: str, damage: str) -> None:
    path = outputs / place / "a.txt"
    if damage == "flip":
        flip(path)
    elif damage == "strange":
        (outputs / place / "c.txt").write_text("nobody knows")
    else:
        path.unlink()  # the run's link stays as it was
        if damage == "cut":
            path.write_text("what was")
    linked = damage == "flip" and "stages" in place  # the run has the same file
    found = {fault.path for fault in look(outputs).faults}
    assert found == {outputs / place, *([outputs / "runs/one/vectors"] if linked else [])}
    assert all(fault.repaired for fault in look(outputs, repair=True).faults)
    assert not (outputs / place).exists()
    assert look(outputs).faults == []
    left = set(open_run(outputs, "one").stages)
    assert left == ({"requests"} if linked else set(RESULTS))


def test_a_run_is_linked_anew_from_the_store(outputs: Path) -> None:
    path = outputs / "runs/one/requests/a.txt"
    path.unlink()
    path.write_text("another text of the same kind")
    assert [fault.path for fault in look(outputs).faults] == [path.parent]
    look(outputs, repair=True)
    assert path.read_text() == "what was written"
    assert set(open_run(outputs, "one").stages) == set(RESULTS)


@pytest.mark.parametrize("name", [LATEST, LATEST_NIGHT])
def test_a_pointer_to_no_run_is_removed(outputs: Path, name: str) -> None:
    pointer = outputs / "runs" / name
    pointer.unlink(missing_ok=True)
    pointer.symlink_to("gone")
    assert [fault.path for fault in look(outputs).faults] == [pointer]
    look(outputs, repair=True)
    assert not pointer.is_symlink()
    assert look(outputs).faults == []


def test_a_run_that_pointers_name_is_looked_at_once_and_removed_where_nobody_can_read_it(outputs: Path) -> None:
    """A pointer is no folder: to remove it as one fails."""
    (outputs / "runs" / LATEST_NIGHT).symlink_to("one")
    assert look(outputs).checked["runs"] == len(RESULTS)
    (outputs / "runs/one/manifest.json").write_text("torn")
    assert [fault.path for fault in look(outputs).faults] == [outputs / "runs/one"]
    look(outputs, repair=True)
    assert sorted((outputs / "runs").iterdir()) == []
    assert look(outputs).faults == []


def test_a_shard_with_a_flipped_byte_goes_and_the_other_stays(outputs: Path) -> None:
    folder = outputs / "store/vectors/encoder"
    names = sorted(path.name for path in folder.glob("*.json"))
    flip(folder / names[0].replace(".json", ".vectors.npy"))
    assert [fault.path.name for fault in look(outputs).faults] == [names[0].removesuffix(".json")]
    look(outputs, repair=True)
    assert look(outputs).faults == []
    assert [shard.path.name for shard in open_shards(folder).shards] == [names[1].removesuffix(".json")]


def test_what_nobody_can_compute_again_is_left_and_told(outputs: Path) -> None:
    (outputs / "store/key").write_bytes(b"short")
    (outputs / "slices/part.json").write_text("{")
    path = outputs / "ledger.sqlite"
    path.write_bytes(path.read_bytes()[:4096] + bytes(4096) + path.read_bytes()[8192:])
    for repair in (False, True):
        told = CliRunner().invoke(
            app, ["doctor", "--json", "--outputs", str(outputs), *(["--repair"] if repair else [])]
        )
        assert told.exit_code == 1
        said = json.loads(told.stdout)
        places = {Path(fault["path"]).name for fault in said["faults"] if not fault["repaired"]}
        assert places >= {"key", "part.json", "ledger.sqlite"}
        assert said["left"] == len(places)


def test_leftovers_and_an_unfinished_purge_are_told(outputs: Path) -> None:
    (outputs / "store/stages/requests/.staging-1-abc").mkdir()
    store = store_of(outputs)
    save_tombstones(store.root, store.key, Tombstones(before=1, finished=False))
    assert {fault.path.name for fault in look(outputs, repair=True).faults} == {".staging-1-abc", "tombstones.json"}
    assert [fault.what for fault in look(outputs).faults] == ["a purge was interrupted"]


def test_the_command_says_whole(outputs: Path) -> None:
    told = CliRunner().invoke(app, ["doctor", "--outputs", str(outputs)])
    assert told.exit_code == 0
    assert told.stdout.endswith("whole\n")


def test_what_stands_in_the_ledger_is_of_its_form_and_its_runs_are_there(outputs: Path) -> None:
    with open_ledger(outputs, LEDGER) as ledger:
        ledger.dismissed.add(Suppression("bad", "why", "me", "then", ("text",), ("acct-1",), (), (), ()))
        ledger.runs.note(RunRow("gone", "slice", datetime(2026, 9, 1, tzinfo=UTC), None, None, {}, "digest"))
    faults = [fault.what for fault in look(outputs).faults]
    assert len(faults) == 2
    assert "1 row of runs" in faults[0]
    assert "(bad): members must be digests" in faults[1]
    assert [fault.repaired for fault in look(outputs, repair=True).faults] == [True, False]
    with open_ledger(outputs, LEDGER) as ledger:
        assert ledger.runs.rows() == []
        ledger.dismissed.remove("bad")
    assert look(outputs).faults == []
    path = store_of(outputs).root / "key"
    path.unlink()
    assert [fault.path for fault in look(outputs).faults] == [path]
    assert not path.exists()
