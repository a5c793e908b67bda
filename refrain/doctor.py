"""What is damaged in an outputs folder, by every file against its manifest; what can be computed again goes.

A stage's result, staged tables, a shard of vectors and a graph can be computed again from the log, so a repair removes
them. So can a stage of a run: it is linked anew from the store where that has it whole, else taken out of the run with
the stages that rest on it. A key, tombstones, slices, lists and the ledger are nobody's to guess: they are named.
"""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from refrain.artifacts import (
    MANIFEST,
    STAGING,
    Store,
    damaged_files,
    link_tree,
    read_manifest,
    staged,
    write_text,
)
from refrain.config import IN_OUTPUTS, LedgerConfig
from refrain.errors import RefrainError, StoreError
from refrain.figures import counted
from refrain.key import KEY_BYTES, KEY_VARIABLE
from refrain.known import own_lists, read_lists
from refrain.ledger import find_ledger
from refrain.ledger.database import FILE as LEDGER
from refrain.locks import writer_lock
from refrain.progress import Progress
from refrain.purge_search import DATABASES
from refrain.run_notes import settle
from refrain.runs import POINTERS, Run, manifest_text, open_run, store_of
from refrain.slices import list_slices, load_slice
from refrain.tombstones import load_tombstones

Check = Callable[[Path, Store, bool], Iterator["Fault | None"]]
"""What one kind of thing is asked: a fault of it, or None, for each thing that was looked at."""


@dataclass(frozen=True)
class Fault:
    """Something that is not as it should be: where, in words, what to do, and whether the repair dealt with it."""

    path: Path
    what: str
    hint: str = ""
    repaired: bool = False


@dataclass
class Examined:
    """How many things of each kind were looked at, and what was wrong with them, sorted by place."""

    checked: dict[str, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def examine(outputs: Path, *, repair: bool, progress: Progress, ledger: LedgerConfig = IN_OUTPUTS) -> Examined:
    """What is damaged in an outputs folder; with `repair`, what can be computed again is removed.

    Nobody else writes meanwhile: LockHeldError where somebody does.
    """
    store = store_of(outputs)
    seen = Examined()
    with writer_lock(store.root):
        # The ledger after the databases: its file may be damaged.
        checks: dict[str, Check] = {**_CHECKS, "ledger": partial(_ledger, config=ledger)}
        for name, check in checks.items():
            with progress.task(f"checking {name}", None) as advance:
                count, faults = 0, []
                for fault in check(outputs, store, repair):
                    count += 1
                    advance(1)
                    faults += [fault] if fault else []
            seen.checked[name] = count
            seen.faults += sorted(faults, key=lambda fault: str(fault.path))
    return seen


def _results(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    for pattern, root in (("*/*", store.stages), ("*", store.staged), ("*/*", store.graphs)):
        for place in sorted(path for path in root.glob(pattern) if path.is_dir()):
            if place.name.startswith(STAGING):
                continue
            what = _damage(place)
            if what and repair:
                shutil.rmtree(place)
            yield Fault(place, what, "--repair removes it; it is computed again", repair) if what else None


def _damage(place: Path, address: str | None = None) -> str:
    """What is wrong with a sealed folder, empty where nothing is."""
    try:
        manifest = read_manifest(place)
    except StoreError as error:
        return error.message
    if manifest is None:
        return "it has no manifest"
    if manifest.address != (address or place.name):
        return "its manifest is of another result"
    damaged = damaged_files(place, manifest)
    if damaged:
        return f"{damaged[0]} is not what was written" + (f", and {len(damaged) - 1} more" if damaged[1:] else "")
    extra = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()} - {MANIFEST}
    strange = sorted(extra - manifest.files.keys())
    return f"{strange[0]} is no part of it" if strange else ""


def _runs(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    for folder in sorted(path for path in (outputs / "runs").glob("*") if path.is_dir() and path.name not in POINTERS):
        if folder.name.startswith(STAGING):
            continue
        try:
            run = open_run(outputs, folder.name)
        except RefrainError:
            if repair:
                shutil.rmtree(folder)
            yield Fault(folder, "its manifest cannot be read", "--repair removes it; run it again", repair)
            continue
        yield from _stages_of(run, store, repair)
    for pointer in (outputs / "runs" / name for name in POINTERS):
        if pointer.is_symlink() and not pointer.exists():
            if repair:
                pointer.unlink()
            yield Fault(pointer, "it points to no run", "--repair removes it; the next run sets it", repair)


def _stages_of(run: Run, store: Store, repair: bool) -> Iterator[Fault | None]:
    lost: list[str] = []
    for noun, address in run.stages.items():
        place = run.folder / noun
        what = _damage(place, address)
        if not what:
            yield None
            continue
        source = store.stages / noun / address
        there = source.is_dir() and not _damage(source)
        if repair and there:
            with staged(place) as out:
                link_tree(source, out)
        elif repair:
            lost.append(noun)
        hint = "--repair links it from the store" if there else f"--repair takes it out; run {run.name} again"
        yield Fault(place, what, hint, repair)
    if lost:
        _take_out(run, lost)


def _take_out(run: Run, lost: list[str]) -> None:
    """Nothing; the run is without these stages and those that rest on them."""
    from refrain.stages import INPUTS, NOUNS

    gone = set(lost)
    for verb, inputs in INPUTS.items():  # in the order in which they run
        if gone.intersection(inputs):
            gone.add(NOUNS[verb])
    data = json.loads((run.folder / MANIFEST).read_text(encoding="utf-8"))
    data["stages"] = {noun: address for noun, address in data["stages"].items() if noun not in gone}
    write_text(run.folder / MANIFEST, manifest_text(data))
    for noun in gone:
        shutil.rmtree(run.folder / noun, ignore_errors=True)


def _shards(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    from refrain.stages import damaged_vectors

    for path, damaged in damaged_vectors(store, remove=repair):
        hint = "--repair removes it; its texts are encoded again"
        yield Fault(path, "this shard of vectors is damaged", hint, repair) if damaged else None


def _left_over(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    for path in sorted(outputs.rglob(f"{STAGING}*")):
        if not path.exists():
            continue  # inside of another
        if repair:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield Fault(path, "a job that was killed left it", "--repair removes it", repair)


def _key(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    path = store.root / "key"
    hint = "restore it from a backup; with another key every stored digest becomes a stranger"
    if KEY_VARIABLE in os.environ:
        return
    if not path.is_file():
        made = any(store.stages.glob("*/*"))
        yield Fault(path, "the key is missing", hint) if made else None
    elif path.stat().st_size != KEY_BYTES:
        yield Fault(path, f"the key has {path.stat().st_size} bytes instead of {KEY_BYTES}", hint)
    elif path.stat().st_mode & 0o077:
        if repair:
            path.chmod(0o600)
        yield Fault(path, "others can read the key", "--repair sets its mode to 0600", repair)
    else:
        yield None


def _has_key(store: Store) -> bool:
    return (store.root / "key").is_file() or KEY_VARIABLE in os.environ


def _kept(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    """Tombstones, slices and lists: what people decided, which nothing can compute again."""
    if _has_key(store):
        path = store.root / "tombstones.json"
        yield _told(path, lambda: load_tombstones(store.root, store.key))
        try:
            finished = load_tombstones(store.root, store.key).finished
        except RefrainError:
            finished = True
        if not finished:
            yield Fault(path, "a purge was interrupted", "run the same `refrain purge` again")
    for name in list_slices(outputs):
        yield _told(outputs / "slices" / f"{name}.json", lambda name=name: load_slice(outputs, name))  # type: ignore[misc]
    if own_lists(store).is_dir():
        yield _told(own_lists(store), lambda: read_lists(own_lists(store)))


def _told(path: Path, read: Callable[[], object]) -> Fault | None:
    try:
        read()
    except RefrainError as error:
        return Fault(path, error.message, error.hint)
    return None


def _databases(outputs: Path, store: Store, repair: bool) -> Iterator[Fault | None]:
    for path in sorted(path for path in outputs.glob("*") if path.suffix in DATABASES and path.is_file()):
        try:
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                [(said,), *_] = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.Error:
            said = "it cannot be read"
        yield None if said == "ok" else Fault(path, "this database is damaged", "restore it from a backup")


def _ledger(outputs: Path, store: Store, repair: bool, *, config: LedgerConfig) -> Iterator[Fault | None]:
    """The ledger wherever it is: that it can be opened and read, and that what stands in it is of its form."""
    place = outputs / LEDGER
    if any(fault for fault in _key(outputs, store, repair=False)) or not _has_key(store):
        return  # told there; and opening a ledger would make another key
    try:
        with find_ledger(outputs, config) as ledger:
            if ledger is None:
                return
            faults = ledger.faults()
            dismissed = ledger.dismissed.entries()
            strange = settle(outputs, ledger, change=repair)
    except RefrainError as error:
        yield Fault(place, error.message, error.hint)
        return
    yield from (Fault(place, fault, "restore it from a backup") for fault in faults)
    yield None
    if strange:
        what = f"{counted(strange, 'row')} of runs are not as the runs are"
        yield Fault(place, what, "--repair sets them right", repair)
    for entry in dismissed:
        yield _told(place, lambda entry=entry: read_lists(dismissed=[entry]))  # type: ignore[misc]


_CHECKS: dict[str, Check] = {
    "left over": _left_over,
    "key": _key,
    "results": _results,
    "vectors": _shards,
    "runs": _runs,  # after the results, from which they are linked
    "lists": _kept,
    "databases": _databases,
}
