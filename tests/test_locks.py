"""The writers' lock: one process, any number of its threads, and no lock outlives its holder."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from refrain.errors import StoreError
from refrain.locks import writer_lock

HOLD = (
    "import sys\nfrom pathlib import Path\nfrom refrain.locks import writer_lock\n"
    "with writer_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
)


def holder(folder: Path) -> "subprocess.Popen[str]":
    """A process that holds the lock of `folder` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_writes(tmp_path: Path) -> None:
    with holder(tmp_path / "store") as process:
        with pytest.raises(StoreError, match=f"process {process.pid} is writing"), writer_lock(tmp_path / "store"):
            pass
        process.communicate()
    with writer_lock(tmp_path / "store") as first:
        assert first


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    with holder(tmp_path / "store") as process:
        process.kill()
        process.communicate()
    with writer_lock(tmp_path / "store") as first:
        assert first


def test_a_process_enters_again_and_keeps_the_lock_until_it_left_as_often(tmp_path: Path) -> None:
    def refused() -> bool:
        done = subprocess.run(
            [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return done.returncode != 0

    with writer_lock(tmp_path) as first:
        with writer_lock(tmp_path) as second:
            assert (first, second) == (True, False)
        assert refused()
    assert not refused()


def test_whoever_waits_hears_once_who_writes_and_goes_on_when_that_is_done(tmp_path: Path) -> None:
    heard: list[str] = []
    with holder(tmp_path / "store") as process:

        def waiting(words: str) -> None:
            heard.append(words)
            process.communicate()  # ends the holder

        with writer_lock(tmp_path / "store", wait=60, waiting=waiting) as first:
            assert first
    assert len(heard) == 1
    assert f"process {process.pid} is writing" in heard[0]


def test_waiting_ends(tmp_path: Path) -> None:
    with holder(tmp_path / "store") as process:
        refused = pytest.raises(StoreError, match=f"process {process.pid} is writing")
        with refused, writer_lock(tmp_path / "store", wait=0.1):
            pass
        process.communicate()


def test_a_waiting_thread_keeps_no_other_out(tmp_path: Path) -> None:
    """Whoever waits for one store holds nothing that a thread on another store needs."""
    entered = threading.Event()
    with holder(tmp_path / "one") as process:

        def wait(words: str) -> None:
            threading.Thread(target=enter).start()
            assert entered.wait(60)
            process.communicate()

        def enter() -> None:
            with writer_lock(tmp_path / "two"):
                entered.set()

        with writer_lock(tmp_path / "one", wait=60, waiting=wait) as first:
            assert first


def test_threads_share_the_lock(tmp_path: Path) -> None:
    def enter(_: int) -> None:
        with writer_lock(tmp_path):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enter, range(200)))
    with writer_lock(tmp_path) as first:
        assert first
