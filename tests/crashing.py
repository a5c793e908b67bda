"""A process that runs jobs in forks of itself, to be killed or starved of disk: each costs no start of Python.

`Nursery` speaks to it over pipes, one JSON line a job. A fork counts what it does to names below its outputs folder
(open to write, make, link, rename, remove ...) and kills itself with SIGKILL just before the one that the job says, or
after some seconds, when compiled code may be in the middle of a file.

A job that is a night counts from the end of its last stage on: what it does to names, every statement and commit that
it sends to the ledger, and every message to the webhook.
"""

import errno
import functools
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent

SETTINGS = (
    # Less of what takes time and touches no file.
    "score.draws=40",
    "score.screening_draws=20",
    "score.signal_segments=1",
    "embed.probe_sample=5",
    # Small portions, so that a small log has many shards, staged units, days' graphs and pairs.
    "embed.shard_rows=400",
    "ingest.staged_unit_kib=1",
    "index.exact_below=1",
)
CHANGES = frozenset({
    "os.rename", "os.mkdir", "os.link", "os.symlink", "os.remove", "os.rmdir", "os.chmod", "os.truncate", "os.utime",
})  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A run of all stages over `log`, and what befalls it."""

    log: Path
    outputs: Path
    run_id: str
    last: date | None = None  # with a window of `days` that ends here
    days: int = 2
    kill_at: int | None = None  # the change to a name, from 1, before which it dies
    kill_after: float | None = None  # seconds
    largest_file: int | None = None  # bytes that a file may have
    full_at: int | None = None  # the change to a name from which on the disk is full
    settings: tuple[str, ...] = ()
    nightly: bool = False  # the night of `last`, published; without it, the run alone
    again: bool = False  # that night and those after it anew


@dataclass(frozen=True)
class Done:
    """How a job ended: the signal that killed it, else what it said."""

    killed: int
    changes: int = 0
    seconds: float = 0.0
    computed: tuple[str, ...] = ()  # verbs
    notes: tuple[str, ...] = ()  # why results that were there could not be used
    error: str = ""
    hint: str = ""
    kind: str = ""
    steps: tuple[str, ...] = ()  # what each change was
    stages: dict[str, float] = field(default_factory=dict)


class Nursery:
    """The process whose forks run jobs, one after the other."""

    def __init__(self, encoders: Path) -> None:
        environment = {
            **os.environ, "REFRAIN_ENCODERS": str(encoders), "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",  # OpenMP's threads do not survive a fork
        }  # fmt: skip
        command = [sys.executable, str(Path(__file__).resolve())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(self, job: Job) -> Done:
        """How the job ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(job), default=str) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the nursery itself died"
        data = json.loads(answer)
        return Done(**{**data, **{name: tuple(data.get(name, ())) for name in ("computed", "notes", "steps")}})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


def _serve() -> None:
    """Nothing; answers jobs until there are no more."""
    # All that a run imports, but nothing that starts a thread: a fork has none but its own. The encoders are loaded
    # once: what is remembered is the real ones.
    import alembic.op  # noqa: F401
    import faiss  # noqa: F401
    import psycopg  # noqa: F401
    import sentence_transformers  # noqa: F401

    import embeddings.days
    import embeddings.reading
    import embeddings.tiers
    import embeddings.vectors
    import refrain.campaigns
    import refrain.clusters
    import refrain.exports
    import refrain.nights
    import refrain.report
    import refrain.requests
    import refrain.templates  # noqa: F401
    from refrain.artifacts import Store
    from refrain.code import code_digest
    from refrain.settings import load_settings

    for known in (
        "refrain.requests", "refrain.kept", "embeddings.vectors", "embeddings.neighbours", "embeddings.days",
        "embeddings.reading", "refrain.clusters", "refrain.templates", "refrain.campaigns", "refrain.exports",
    ):  # fmt: skip
        code_digest(known)  # is remembered
    for modules, name in (
        ((embeddings.tiers, embeddings.reading), "open_transformer"),
        ((embeddings.vectors,), "open_encoders"),
    ):
        remembered = functools.cache(getattr(modules[0], name))
        for module in modules:
            setattr(module, name, remembered)
    config = load_settings(None, SETTINGS).config
    embeddings.vectors.open_encoders(  # type: ignore[attr-defined]  # as it was replaced above
        config.embed, Store(Path("no store")).encoders
    )  # where $REFRAIN_ENCODERS says
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            os.dup2(2, 1)  # a library that prints must not answer for us
            _run(json.loads(line), writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            told = pipe.read()
        status = os.waitpid(child, 0)[1]
        data = json.loads(told) if told else {}
        data["killed"] = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        assert data["killed"] == signal.SIGKILL or told, f"a fork ended with {status} and no word"
        sys.stdout.write(json.dumps(data) + "\n")
        sys.stdout.flush()


class _Watch:
    """Counts changes below a folder; kills the process, or refuses them for want of space, from some number on."""

    def __init__(self, folder: str, kill_at: int | None, full_at: int | None) -> None:
        self._folder, self._kill_at, self._full_at = folder, kill_at, full_at
        self.steps: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "http.client.send":
            self.step("post")
        if event != "open" and event not in CHANGES:
            return
        # A tree is removed by names relative to its folders, all of them ours; a link's own name comes second.
        of_a_tree = event in ("os.remove", "os.rmdir") and arguments[1] >= 0
        if not of_a_tree and not any(str(name).startswith(self._folder) for name in arguments[:2]):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        self.step(event)
        needs_room = event in ("open", "os.mkdir", "os.link", "os.symlink")
        if self._full_at is not None and self.changes >= self._full_at and needs_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    def step(self, what: str) -> None:
        """Nothing; one change more, unless it is the one before which the process dies."""
        self.steps.append(what)
        if self.changes == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    @property
    def changes(self) -> int:
        """How many there were."""
        return len(self.steps)

    def listen(self) -> None:
        """Nothing; statements and commits of every database are changes from here on."""
        import sqlalchemy as sa

        def statement(connection: Any, cursor: Any, words: str, *rest: Any) -> None:
            self.step(words.split(maxsplit=1)[0].lower())

        sa.event.listen(sa.Engine, "before_cursor_execute", statement)
        sa.event.listen(sa.Engine, "commit", lambda connection: self.step("commit"))


def _run(job: dict[str, Any], pipe: int) -> None:
    """Never returns."""
    from refrain.errors import RefrainError
    from refrain.night_plan import plan_night
    from refrain.nights import run_nights
    from refrain.progress import NoProgress
    from refrain.runs import run_all
    from refrain.settings import load_settings
    from refrain.slices import night
    from refrain.stages import Result

    data: dict[str, Any] = {"computed": [], "notes": [], "stages": {}}
    settings = [*SETTINGS, *job["settings"], *([f"nights.days={job['days']}"] if job["nightly"] else [])]
    config = load_settings(None, settings).config
    last = date.fromisoformat(job["last"]) if job["last"] else None
    watch = _Watch(f"{job['outputs']}{os.sep}", job["kill_at"], job["full_at"])

    def begin() -> float:
        if job["kill_after"] is not None:
            threading.Timer(job["kill_after"], os.kill, (os.getpid(), signal.SIGKILL)).start()
        sys.addaudithook(watch)
        return time.perf_counter()

    def report(result: Result) -> None:
        data["stages"][result.verb] = result.seconds
        if result.computed:
            data["computed"].append(result.verb)
        if result.note:
            data["notes"].append(result.note)
        if job["nightly"] and result.verb == "export" and "start" not in data:
            watch.listen()
            data["start"] = begin()

    if job["largest_file"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["largest_file"], job["largest_file"]))
    place, quiet = Path(job["outputs"]), NoProgress()
    start = 0.0 if job["nightly"] else begin()
    try:
        if job["nightly"]:
            assert last is not None
            choose = functools.partial(_choose, plan_night, last, job["again"])
            run_nights([job["log"]], config, place, choose, progress=quiet, report=report)
        else:
            part = night(last, job["days"]) if last else None
            run_all([job["log"]], config, place, run_id=job["run_id"], part=part, progress=quiet, report=report)
    except RefrainError as error:
        data |= {"error": error.message, "hint": error.hint, "kind": type(error).__name__}
    except BaseException as error:  # noqa: BLE001 (the test is told)
        data |= {"error": str(error), "kind": type(error).__name__}
    seconds = time.perf_counter() - data.pop("start", start)
    data |= {"seconds": seconds, "changes": watch.changes, "steps": watch.steps if job["nightly"] else []}
    os.write(pipe, json.dumps(data).encode())
    os._exit(0)


def _choose(plan_night: Any, day: date, again: bool, nights: Any, torn: date | None) -> Any:
    """The plan of the night of `day`."""
    return plan_night(nights, day, catch_up=7, torn=torn, again=again)


if __name__ == "__main__":
    _serve()
