"""What every test stands on: no network, two threads, a Prefect home of its own, and one small finished run."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from crashing import Nursery
from hypothesis import settings

# Before anything imports torch, transformers or prefect: they read these when they load.
_home = tempfile.mkdtemp(prefix="refrain-tests-prefect-")
_encoders = tempfile.mkdtemp(prefix="refrain-tests-encoders-")  # distilled once for all stores of the tests
for _folder in (_home, _encoders):
    atexit.register(shutil.rmtree, _folder, ignore_errors=True)
os.environ.update({
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "2",
    "PREFECT_HOME": _home,
    "REFRAIN_ENCODERS": _encoders,
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "TOKENIZERS_PARALLELISM": "false",
})  # fmt: skip
# What a developer's shell has set must not decide a test.
for _name in ("REFRAIN_KEY", "REFRAIN_DEBUG"):
    os.environ.pop(_name, None)

# A slow or busy machine is no failure, and a test says the same thing twice.
settings.register_profile("refrain", deadline=None, derandomize=True)
settings.load_profile("refrain")

SAMPLE_SEED = 0
SAMPLE_REQUESTS = 2000


@dataclass(frozen=True)
class SmallRun:
    """A finished run over a simulated log. Tests read it and leave it as it is."""

    outputs: Path
    run: Path
    log: Path
    truth: Path


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """All stages, with the real encoder, over a small sample."""
    from refrain.progress import NoProgress
    from refrain.runs import run_all
    from refrain.settings import load_settings
    from refrain.simulate import write_sample

    root = tmp_path_factory.mktemp("small_run")
    write_sample(root / "sample", seed=SAMPLE_SEED, requests=SAMPLE_REQUESTS)
    log = root / "sample" / "requests"
    outputs = root / "outputs"
    run = run_all([str(log)], load_settings().config, outputs, run_id="small", progress=NoProgress())
    return SmallRun(outputs, run.folder, log, root / "sample" / "truth.parquet")


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process whose forks are killed and starved of disk; it takes seconds to start, and a fork none."""
    with Nursery(Path(os.environ["REFRAIN_ENCODERS"])) as process:
        yield process
