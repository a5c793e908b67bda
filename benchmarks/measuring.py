"""What the speed benchmarks share: a function alone in a process, the machine, the vectors, the result file.

`alone` runs a function of a benchmark module in a fresh interpreter and says how long the process lived, the most
memory that it and its own workers held, and what the function returned. Peak memory is VmHWM of the process: its
ru_maxrss would begin at what the parent had when it started it. Where a method has workers, the sum over them is
sampled.
"""

import argparse
import contextlib
import importlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refrain.cores import core_count
from refrain.memory import peak_bytes

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SAMPLE_SECONDS = 0.5  # between looks at a process and its workers
MEMORY_GIB = 16.0
BLOCK_ROWS = 65536
RAISE = "MEASURING_RAISE"  # set in the environment: show a failure whole
MIB = 2**20
# Packages whose version moves these figures, and what of the processor does.
PACKAGES = (
    "numpy", "faiss-cpu", "torch", "sentence-transformers", "hdbscan", "fast-hdbscan", "umap-learn", "pynndescent",
    "numba", "scikit-learn",
)  # fmt: skip
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "sve")

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What became of a function that ran alone."""

    seconds: float  # of the whole process, imports and reading included
    peak_mib: int
    value: Any  # None where it did not end well
    failure: str  # nothing where it did

    def needed(self, what: str) -> dict[str, Any]:
        """`plain()` of what nothing can be said without; the program ends where it failed."""
        if self.failure:
            sys.exit(f"{what} {self.failure}")
        return self.plain()

    def plain(self) -> dict[str, Any]:
        """As JSON knows it: the value's figures with the peak, or the failure."""
        if self.failure:
            return {"failure": self.failure, "peak_mib": self.peak_mib}
        return {**self.value, "peak_mib": self.peak_mib}


def alone(
    module: str,
    function: str,
    arguments: dict[str, Any],
    *,
    limit: float | None = None,
    memory_gib: float = MEMORY_GIB,
    environment: dict[str, str] | None = None,
) -> Outcome:
    """What `module.function(**arguments)` came to in a process of its own; ended after `limit` seconds or at
    `memory_gib`. Arguments and value are what JSON knows."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "outcome.json"
        command = [sys.executable, __file__, module, function, json.dumps(arguments), str(out)]
        start = time.monotonic()
        process = subprocess.Popen(command, start_new_session=True, env={**os.environ, **(environment or {})})
        peak, failure = 0, ""
        try:
            while not failure:
                try:
                    process.wait(SAMPLE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    held = _session_bytes(process.pid)
                    peak = max(peak, held)
                    if limit is not None and time.monotonic() - start > limit:
                        failure = f"did not end in {limit:.0f} s"
                    elif held > memory_gib * 2**30:
                        failure = f"passed {memory_gib:.0f} GiB"
        finally:
            _end(process)
        seconds = time.monotonic() - start
        if not failure and not out.exists():
            failure = f"ended with exit code {process.returncode}"
        if failure:
            return Outcome(seconds, round(peak / MIB), None, failure)
        told = json.loads(out.read_text(encoding="utf-8"))
        return Outcome(seconds, round(max(peak, told["peak_bytes"]) / MIB), told["value"], told["failure"])


def _session_bytes(leader: int) -> int:
    """Resident bytes of the process and of those that it started, pages that they share counted for each."""
    pages = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended
        if int(fields[3]) == leader:  # the fourth after the name: session
            pages += int(fields[21])  # rss
    return pages * os.sysconf("SC_PAGE_SIZE")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing; neither the process nor a worker of its group is left."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _child(module: str, function: str, arguments: str, out: str) -> None:
    """Nothing; the outcome lies in `out`."""
    told: dict[str, Any] = {"value": None, "failure": ""}
    try:
        told["value"] = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    except ModuleNotFoundError as error:
        told["failure"] = f"{error.name} is not installed"
    except Exception as error:  # one method's failure is a row of the table; its text may quote a prompt
        if os.environ.get(RAISE):
            raise
        told["failure"] = f"failed with {type(error).__name__}"
    told["peak_bytes"] = peak_bytes()
    Path(out).write_text(json.dumps(told), encoding="utf-8")


def open_source(source: Path) -> tuple[int, Any]:
    """The number of vectors of a run's folder or of a .npy file, and what gives those (m, d) at some positions."""
    if source.suffix == ".npy":
        vectors: Vectors = np.load(source, mmap_mode="r", allow_pickle=False)
        return len(vectors), lambda positions: np.asarray(vectors[positions])
    from embeddings.vectors import open_vectors
    from refrain.runs import open_run, store_of

    outputs = source.parent.parent
    opened = open_vectors(open_run(outputs, source.name).result("vectors"), store_of(outputs))
    return len(opened.segment_rows), opened.gather


def write_subset(source: Path, n: int, seed: int, target: Path) -> int:
    """How many random vectors of `source` the file `target` then holds, in their order: n, or all where fewer."""
    total, gather = open_source(source)
    n = min(n, total)
    positions = np.sort(np.random.default_rng(seed).choice(total, n, replace=False))
    out = None
    for start in range(0, n, BLOCK_ROWS):
        block = gather(positions[start : start + BLOCK_ROWS])
        if out is None:
            out = np.lib.format.open_memmap(target, "w+", np.float32, (n, block.shape[1]))
        out[start : start + len(block)] = block
    if out is None:
        np.save(target, np.empty((0, 1), np.float32))
    else:
        out.flush()
    return n


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    info = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = info.get("flags", info.get("Features", "")).split()
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "machine": platform.machine(),
        "processor": info.get("model name", platform.processor()),
        "vector_instructions": [flag for flag in FLAGS if flag in flags],
        "cores": core_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "accelerator": accelerator(),
        "python": platform.python_version(),
        "packages": versions,
    }


def accelerator() -> str | None:
    """What torch would compute on beside the processor, by its name; None where there is nothing."""
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with what every benchmark here takes: where its result goes, and the seed of what is drawn."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that `alone` leaves nothing behind
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--name", default=name, help=f"of the result file, default: {name}")
    made.add_argument("--out", type=Path, default=RESULTS, help="folder of the result file, default: the repository's")
    made.add_argument("--seed", type=int, default=0, help="of what is drawn at random, default 0")
    return made


def result_file(arguments: argparse.Namespace) -> Path:
    """Where the result goes."""
    return Path(arguments.out) / f"{arguments.name}.json"


def write_result(arguments: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Nothing; the result file holds the command, the machine, the load at the end and the figures."""
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    text = json.dumps(
        {
            "command": "benchmarks/" + " ".join(words),
            **machine(),
            "load": [round(x, 1) for x in os.getloadavg()],
            **figures,
        },
        indent=1,
    )
    path = result_file(arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    aside.write_text(text + "\n", encoding="utf-8")
    aside.replace(path)


def say(text: str) -> None:
    """Nothing; a line for whoever waits, at once."""
    print(text, flush=True)


if __name__ == "__main__":
    _child(*sys.argv[1:])
