"""What every test stands on: no network, two threads, a Prefect home of its own, and one small finished run."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from crashing import Nursery
from hypothesis import settings

if TYPE_CHECKING:
    from night_arena import NightArena
    from postgres import Server
    from s3 import Service

    from refrain.config import LedgerConfig

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
for _name in ("REFRAIN_KEY", "REFRAIN_DEBUG", "REFRAIN_LEDGER_PASSWORD"):
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
def server() -> Iterator["Server"]:
    """A PostgreSQL server on loopback; tests that need one are skipped where it cannot be."""
    from postgres import running, why_not

    reason = why_not()
    if reason:
        pytest.skip(reason)
    with running() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_config(request: pytest.FixtureRequest) -> "LedgerConfig":
    """Where an empty ledger is to be: in the outputs folder, and in a new database."""
    from refrain.config import LedgerConfig

    if request.param == "sqlite":
        return LedgerConfig(url="", signature_nights=28)
    made: Server = request.getfixturevalue("server")
    return LedgerConfig(url=made.url(made.make_database()), signature_nights=28)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """The process whose forks are killed and starved of disk; it takes seconds to start, and a fork none."""
    with Nursery(Path(os.environ["REFRAIN_ENCODERS"])) as process:
        yield process


@pytest.fixture(scope="session")
def night_arena(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> "NightArena":
    """Nights of a small log whose last is not published yet; tests copy them."""
    from night_arena import NightArena

    return NightArena(tmp_path_factory.mktemp("night_arena"), nursery)


@pytest.fixture(scope="session")
def s3() -> Iterator["Service"]:
    """A service that speaks like S3, and the keys to it in the environment."""
    from s3 import KEYS, serving, why_not

    reason = why_not()
    if reason:
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch, serving() as found:
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield found
