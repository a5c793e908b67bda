"""A file cut short or a byte flipped, in each kind of thing that a store keeps: the next run recovers, or refuses and
names the file, and its exports are those of an undamaged store."""

import random
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from aftermath import check_published, check_tidy, exports, results
from crashing import Done, Job, Nursery

from refrain.artifacts import MANIFEST
from refrain.simulate import write_sample
from refrain.stages import NOUNS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

SEED = 11
DAY = timedelta(days=1)
HARMS = ("cut", "flip")


@dataclass(frozen=True)
class Kept:
    """Outputs after one night, and how that night and the next end undamaged."""

    root: Path
    nursery: Nursery
    night: Job
    following: Job
    expected: dict[str, dict[str, bytes]]  # exports by run

    def copy(self, name: str) -> Path:
        """The outputs after one night, with their hard links: damage of a disk reaches through all of them."""
        target = self.root / name
        subprocess.run(["cp", "-a", str(self.night.outputs), str(target)], check=True)
        return target

    def run(self, job: Job, outputs: Path) -> Done:
        """How the job ended over these outputs: well, and with the exports of an undamaged store."""
        done = self.nursery.run(replace(job, outputs=outputs))
        assert done.error == "", done
        assert exports(outputs, job.run_id) == self.expected[job.run_id]
        check_tidy(outputs)
        return done


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Kept:
    """One store of two days of a small log."""
    root = tmp_path_factory.mktemp("torn")
    write_sample(root / "sample", seed=3, requests=300, days=3)
    log = root / "sample" / "requests"
    last = max(date.fromisoformat(path.name.removeprefix("day=")) for path in log.iterdir())
    night = Job(log, root / "kept", "night", last - DAY)
    following = Job(log, root / "following", "following", last)
    for job in (night, following):
        assert nursery.run(job).error == ""
    expected = {job.run_id: exports(job.outputs, job.run_id) for job in (night, following)}
    return Kept(root, nursery, night, following, expected)


def harm(path: Path, how: str, dice: random.Random) -> None:
    """Nothing; the file is changed in place."""
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[dice.randrange(len(data)) :]
    else:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.chmod(0o644)
    path.write_bytes(data)


def chosen(folder: Path, dice: random.Random, wanted: Callable[[Path], bool] = lambda path: True) -> Path:
    """One of the files below `folder` that are not empty."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and wanted(path))
    return dice.choice(files)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("noun", NOUNS.values())
def test_a_damaged_result_is_made_again_and_its_file_named(kept: Kept, noun: str, how: str) -> None:
    dice = random.Random(f"{SEED} {noun} {how}")
    outputs = kept.copy(f"{noun}-{how}")
    path = chosen(outputs / "store" / "stages" / noun, dice, lambda path: path.name != MANIFEST)
    harm(path, how, dice)
    done = kept.run(kept.night, outputs)
    assert done.computed == tuple(verb for verb, name in NOUNS.items() if name == noun)
    assert [str(path) in note for note in done.notes] == [True]
    check_published(outputs)  # the run's links, too, lead to what is whole
    shutil.rmtree(outputs)


@pytest.mark.parametrize("how", HARMS)
def test_damaged_manifests_of_all_stages(kept: Kept, how: str) -> None:
    dice = random.Random(f"{SEED} manifests {how}")
    outputs = kept.copy(f"manifests-{how}")
    manifests = sorted((outputs / "store" / "stages").glob(f"*/*/{MANIFEST}"))
    assert len(manifests) == len(NOUNS)
    for path in manifests:
        harm(path, how, dice)
    done = kept.run(kept.night, outputs)
    assert done.computed == tuple(NOUNS)
    assert all(any(str(path) in note for note in done.notes) for path in manifests)
    check_published(outputs)
    shutil.rmtree(outputs)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("noun", ["requests", "neighbours", "templates"])
def test_a_single_stage_refuses_a_damaged_input_and_names_the_file(kept: Kept, noun: str, how: str) -> None:
    from refrain.errors import StoreError
    from refrain.progress import NoProgress
    from refrain.runs import open_run, run_stage
    from refrain.settings import load_settings
    from refrain.stages import INPUTS

    dice = random.Random(f"{SEED} input {noun} {how}")
    outputs = kept.copy(f"input-{noun}-{how}")
    path = chosen(outputs / "store" / "stages" / noun, dice, lambda path: path.name != MANIFEST)
    harm(path, how, dice)
    verb = next(verb for verb, nouns in INPUTS.items() if noun in nouns)
    run = open_run(outputs, "night")
    with pytest.raises(StoreError, match=str(path)):
        run_stage(verb, run, load_settings(run=run.config).config, progress=NoProgress())
    shutil.rmtree(outputs)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("what", ["digests.npy", "vectors.npy", "json"])
def test_a_damaged_shard_is_encoded_again(kept: Kept, what: str, how: str) -> None:
    dice = random.Random(f"{SEED} shard {what} {how}")
    outputs = kept.copy(f"shard-{what}-{how}")
    harm(chosen(outputs / "store" / "vectors", dice, lambda path: path.name.endswith(f".{what}")), how, dice)
    kept.run(kept.following, outputs)
    shutil.rmtree(outputs)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("what", ["graphs/days", "graphs/pairs", "staged"])
def test_damage_to_what_a_night_reuses_is_found_by_the_next_night(kept: Kept, what: str, how: str) -> None:
    dice = random.Random(f"{SEED} {what} {how}")
    outputs = kept.copy(f"{what.replace('/', '-')}-{how}")
    for folder in sorted((outputs / "store" / what).iterdir()):
        harm(chosen(folder, dice), how, dice)
    kept.run(kept.following, outputs)
    # What the next night needed is whole again; what it did not need, no reader takes.
    shutil.rmtree(outputs)


@pytest.mark.parametrize("how", HARMS)
@pytest.mark.parametrize("name", [MANIFEST, "timings.json"])
def test_a_damaged_run_is_put_together_again(kept: Kept, name: str, how: str) -> None:
    dice = random.Random(f"{SEED} run {name} {how}")
    outputs = kept.copy(f"run-{name}-{how}")
    harm(outputs / "runs" / "night" / name, how, dice)
    done = kept.run(kept.night, outputs)
    assert done.computed == ()
    check_published(outputs)
    shutil.rmtree(outputs)


def test_a_damaged_key_is_refused_and_named(kept: Kept) -> None:
    outputs = kept.copy("key")
    (outputs / "store" / "key").chmod(0o600)
    (outputs / "store" / "key").write_bytes(b"short")
    done = kept.nursery.run(replace(kept.night, outputs=outputs))
    assert str(outputs / "store" / "key") in done.error
    assert results(outputs) == [outputs / path.relative_to(kept.night.outputs) for path in results(kept.night.outputs)]
    check_published(outputs)
    shutil.rmtree(outputs)
