"""SIGKILL to workers of ingest, and to the process that they work for: a clear error, nothing half, the same bytes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aftermath import check_published, check_tidy, tree

from refrain.artifacts import STAGING
from refrain.doctor import examine
from refrain.errors import WorkerLostError
from refrain.locks import writer_lock
from refrain.memory import _family
from refrain.progress import NoProgress, Progress
from refrain.runs import run_ingest, store_of
from refrain.settings import load_settings

pytestmark = pytest.mark.slow

SECRET = "xyzzy"
DAYS, ROWS = 6, 1500  # and rows of each day: some twenty tasks of eight batches
SETTINGS = ("ingest.workers=2", "ingest.worker_mib=0", "ingest.batch_rows=50", "ingest.staged_unit_kib=1")
CONFIG = load_settings(None, SETTINGS).config
ALONE = replace(CONFIG, ingest=replace(CONFIG.ingest, workers=1))
PATIENCE = 120.0  # seconds for what ends by itself


@dataclass
class Killing:
    """Progress of a reading that kills workers with SIGKILL once a share of the log was read."""

    share: float
    most: int  # workers that die
    killed: list[int] = field(default_factory=list)

    @contextmanager
    def task(self, label: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A context whose value kills when its time has come."""
        done = 0

        def advance(units: int) -> None:
            nonlocal done
            done += units
            if self.killed or not label.startswith("reading") or done < self.share * (total or 0):
                return
            for worker in multiprocessing.active_children()[: self.most]:
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                self.killed.append(worker.pid)

        yield advance


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of some days, a file each."""
    root = tmp_path_factory.mktemp("log")
    for day in range(DAYS):
        lines = [
            {
                "request_id": f"r{day}-{at}",
                "account_id": f"{SECRET}-{at % 97}",
                "timestamp": f"2026-05-{day + 1:02d}T{at % 24:02d}:{at % 60:02d}:00Z",
                "prompt": f"Say {SECRET} {at % 501} of day {day}.\nThen go on with part {at % 83}, please.",
            }
            for at in range(ROWS)
        ]
        place = root / f"day=2026-05-{day + 1:02d}"
        place.mkdir()
        (place / "part.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


@pytest.fixture(scope="module")
def whole(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs in which one process ingested the log undisturbed."""
    outputs = tmp_path_factory.mktemp("whole") / "outputs"
    run_ingest([str(log)], ALONE, outputs, run_id="run", progress=NoProgress())
    return outputs


def requests(outputs: Path) -> dict[str, bytes]:
    """The bytes of what ingest found, but for the manifest of how."""
    return tree(outputs / "runs/run/requests")


def new_outputs(whole: Path, tmp_path: Path) -> Path:
    """An outputs folder with the same key, which is part of the bytes."""
    outputs = tmp_path / "outputs"
    (outputs / "store").mkdir(parents=True)
    (outputs / "store/key").write_bytes((whole / "store/key").read_bytes())
    (outputs / "store/key").chmod(0o600)
    return outputs


def ingest(log: Path, outputs: Path, progress: Progress) -> None:
    """Nothing; the log is ingested with two workers."""
    run_ingest([str(log)], CONFIG, outputs, run_id="run", progress=progress)


def check_completes(log: Path, outputs: Path, whole: Path) -> None:
    """Nothing; fails where anything is left half, or the next run does not end as the undisturbed one."""
    check_published(outputs)
    assert not (outputs / "runs/run").exists()
    with writer_lock(store_of(outputs).root) as first:
        assert first  # nobody holds it
    ingest(log, outputs, NoProgress())
    check_published(outputs)
    check_tidy(outputs)
    assert requests(outputs) == requests(whole)
    assert not examine(outputs, repair=False, progress=NoProgress()).faults


@pytest.mark.parametrize("share", [0.0, 0.4, 0.8], ids=["starting", "early", "late"])
@pytest.mark.parametrize("most", [1, 2], ids=["one worker", "both"])
def test_a_killed_worker_is_a_clear_error_and_the_next_run_completes(
    log: Path, whole: Path, tmp_path: Path, share: float, most: int
) -> None:
    """The system's killer of processes that want too much memory sends the same signal, and no other word."""
    outputs, killing = new_outputs(whole, tmp_path), Killing(share, most)
    with pytest.raises(WorkerLostError, match="worker process of ingest was killed") as caught:
        ingest(log, outputs, killing)
    assert len(killing.killed) == most or share == 0.0
    assert "same command again" in caught.value.hint
    assert "ingest.workers=1" in caught.value.hint
    assert SECRET not in f"{caught.value!r} {caught.value.hint} {caught.value.__cause__!r}"
    assert multiprocessing.active_children() == []  # the others ended, too
    assert list(outputs.rglob(f"{STAGING}*")) == []
    check_completes(log, outputs, whole)


def test_files_that_were_staged_before_a_worker_died_are_not_read_again(log: Path, whole: Path, tmp_path: Path) -> None:
    outputs, killing = new_outputs(whole, tmp_path), Killing(0.8, 1)
    with pytest.raises(WorkerLostError):
        ingest(log, outputs, killing)
    kept = sorted(path.name for path in store_of(outputs).staged.iterdir())
    assert 0 < len(kept) < DAYS
    ingest(log, outputs, NoProgress())
    assert sorted(path.name for path in store_of(outputs).staged.iterdir()) == sorted(
        path.name for path in store_of(whole).staged.iterdir()
    )
    assert set(kept) < {path.name for path in store_of(whole).staged.iterdir()}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the workers of a process are looked up in /proc")
def test_workers_end_with_the_process_that_they_work_for(log: Path, whole: Path, tmp_path: Path) -> None:
    outputs = new_outputs(whole, tmp_path)
    command = [sys.executable, "-m", "refrain.cli", "ingest", str(log), "--outputs", str(outputs), "--run-id", "run"]
    sets = [part for setting in SETTINGS for part in ("--set", setting)]
    process = subprocess.Popen([*command, *sets, "--quiet"], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: process.poll() is not None or any(outputs.rglob("unit-*/rows-*.parquet")))
        family = _family(str(process.pid))
        assert process.poll() is None
        assert len(family) >= 3  # itself and two workers
    finally:
        process.kill()
        process.communicate()
    wait_until(lambda: not any(alive(pid) for pid in family))
    check_completes(log, outputs, whole)


def alive(pid: str) -> bool:
    """Whether a process runs: one that ended and was not asked for its end yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def wait_until(holds: Callable[[], bool]) -> None:
    """Nothing; it holds now. Fails where it never does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
