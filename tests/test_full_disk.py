"""A full disk at any stage: a clear message, nothing half published, and the same command ends well with more room."""

import errno
import random
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aftermath import check_published, check_tidy, exports
from crashing import Done, Job, Nursery

from refrain.errors import InputError
from refrain.full_disk import DiskFullError, is_full, told_of_full_disk
from refrain.simulate import write_sample

SEED = 7


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError("4096 requested and 0 written"), True),  # numpy
        (RuntimeError("Error in fwrite: No space left on device"), True),  # faiss
        (OSError(errno.ENOENT, "No such file or directory", "x"), False),
        (ValueError("a prompt: no space left on device"), False),  # what a log says is no news of the disk
    ],
)
def test_what_tells_of_a_full_disk(error: Exception, full: bool) -> None:
    assert is_full(error) == full
    with pytest.raises(DiskFullError if full else type(error)) as caught, told_of_full_disk(Path("outputs")):
        raise error
    assert not full or "prompt" not in str(caught.value)


def test_an_error_of_ours_passes() -> None:
    with pytest.raises(InputError, match="ours"), told_of_full_disk(Path("outputs")):
        raise InputError("ours")


def test_an_error_that_was_made_of_a_full_disk_is_one() -> None:
    with pytest.raises(DiskFullError), told_of_full_disk(Path("outputs")):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("cannot write") from error


@dataclass(frozen=True)
class Room:
    """A small log, the nursery, and an undisturbed run."""

    root: Path
    nursery: Nursery
    job: Job
    whole: Done
    size: int  # bytes that it left, links counted once

    def check(self, outputs: Path, done: Done) -> None:
        """Nothing; fails unless it was told that there is no room, and the same command ends well when there is."""
        assert done.kind == "DiskFullError", done
        assert done.error == f"there is no space left to write in {outputs}"
        assert "make room" in done.hint
        if outputs.exists():
            check_published(outputs)

    def complete(self, outputs: Path) -> None:
        """Nothing; fails unless the same command now leaves what an undisturbed run does."""
        done = self.nursery.run(replace(self.job, outputs=outputs))
        assert done.error == "", done
        check_published(outputs)
        check_tidy(outputs)
        assert exports(outputs, self.job.run_id) == exports(self.job.outputs, self.job.run_id)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, nursery: Nursery) -> Room:
    """One undisturbed run."""
    root = tmp_path_factory.mktemp("full")
    write_sample(root / "sample", seed=3, requests=300, days=3)
    job = Job(root / "sample" / "requests", root / "whole", "full")
    whole = nursery.run(job)
    assert whole.error == ""
    files = {path.stat().st_ino: path.stat().st_size for path in job.outputs.rglob("*") if path.is_file()}
    return Room(root, nursery, job, whole, sum(files.values()))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("number", range(8))
def test_a_disk_that_is_full_from_some_change_on(room: Room, number: int) -> None:
    dice = random.Random(f"{SEED} {number}")
    outputs = room.root / f"change-{number}"
    # One in each eighth, so that each stage has its turn.
    share = (number + dice.random()) / 8
    done = room.nursery.run(replace(room.job, outputs=outputs, full_at=1 + int(share * (room.whole.changes - 1))))
    room.check(outputs, done)
    room.complete(outputs)
    shutil.rmtree(outputs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("largest", [100, 1_000, 10_000, 50_000, 150_000])
def test_files_that_may_grow_no_further(room: Room, largest: int) -> None:
    """The system itself refuses: also to the compiled code that writes tables, arrays and indexes."""
    outputs = room.root / f"file-{largest}"
    room.check(outputs, room.nursery.run(replace(room.job, outputs=outputs, largest_file=largest)))
    room.complete(outputs)
    shutil.rmtree(outputs)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("share", [0.05, 0.2, 0.4, 0.6, 0.8])
def test_a_file_system_that_is_too_small(room: Room, share: float) -> None:
    outputs = room.root / f"small-{share}"
    outputs.mkdir()
    size = f"size={int(room.size * share)}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(outputs)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a file system of some size can be mounted by root alone")
    try:
        room.check(outputs, room.nursery.run(replace(room.job, outputs=outputs)))
        subprocess.run(["mount", "-o", "remount,size=1g", str(outputs)], check=True)
        room.complete(outputs)
    finally:
        subprocess.run(["umount", str(outputs)], check=True)
