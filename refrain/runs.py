"""Runs: a name for one set of stage results, with the folders that people look at.

`outputs/runs/<run id>/manifest.json` lists the address of each stage's result, `<noun>/` holds its files (hard-linked
from the store), `timings.json` seconds and memory, which are no part of the run's identity. `outputs/runs/latest`
points to the run that was written last, `latest-night` to the last night that was published.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from refrain import stages
from refrain.artifacts import (
    MANIFEST,
    Manifest,
    Store,
    aside,
    digest_json,
    link_tree,
    staged,
    sweep,
    trusted_manifest,
    write_text,
)
from refrain.config import Config, speed_fields
from refrain.errors import InputError, StoreError
from refrain.full_disk import told_of_full_disk
from refrain.locks import writer_lock
from refrain.progress import Progress
from refrain.settings import plain
from refrain.slices import Slice

LATEST = "latest"
LATEST_NIGHT = "latest-night"
POINTERS = (LATEST, LATEST_NIGHT)
KIND, ASIDE = "run", "recluster"  # lead the names of runs; one of the other kind never becomes `latest`
TIMINGS = "timings.json"
REPORT = "report.html"
VERSION = 1
ID_DIGITS = 12  # hexadecimal: two of a million runs share an id with probability 0.002
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\Z")
_NAME_CHARACTERS = 100
_CHECK = "check"  # the manifest's digest of itself


@dataclass(frozen=True)
class Run:
    """One run: its folder, the addresses of its stages by noun, and the settings they were computed with."""

    folder: Path
    stages: Mapping[str, str]
    config: Mapping[str, Mapping[str, Any]]

    @property
    def name(self) -> str:
        """The run id."""
        return self.folder.name

    @property
    def aside(self) -> bool:
        """Whether it never becomes `latest`: made on demand, beside the nights."""
        return self.name.startswith(f"{ASIDE}-")

    @property
    def outputs(self) -> Path:
        """The outputs folder that the run lies in."""
        return self.folder.parent.parent

    def result(self, noun: str) -> Path:
        """The folder of a stage's files in this run; StoreError where the stage has not run."""
        if noun not in self.stages:
            verb = next(verb for verb, name in stages.NOUNS.items() if name == noun)
            raise StoreError(f"run {self.name} has no {noun} yet", hint=f"refrain {verb} {self.name}")
        return self.folder / noun


def store_of(outputs: Path) -> Store:
    """The store of an outputs folder."""
    return Store(outputs / "store")


def check_run_id(name: str) -> str:
    """`name` itself; InputError where it could be a path, a flag, or one of POINTERS."""
    if name in POINTERS or len(name) > _NAME_CHARACTERS or not _NAME.match(name):
        raise InputError(
            f"{name!r} cannot name a run", hint=f"letters, digits, - _ and inner dots, at most {_NAME_CHARACTERS}"
        )
    return name


def default_run_id(inputs: Sequence[str], config: Config, kind: str = KIND) -> str:
    """A run id that is the same wherever the same log (by `inputs`, its files' identities) meets the same settings;
    `kind` leads it."""
    return f"{kind}-{digest_json({'inputs': list(inputs), 'config': _settings(config)})[:ID_DIGITS]}"


def open_run(outputs: Path, name: str) -> Run:
    """The run `name` (or one of POINTERS) of an outputs folder; StoreError where there is none, with those that are."""
    runs = outputs / "runs"
    folder = runs / (name if name in POINTERS else check_run_id(name))
    if name in POINTERS and folder.is_symlink():
        folder = runs / folder.readlink().name
    try:
        data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if data["version"] != VERSION:
            raise StoreError(f"run {folder.name} was written by another version of refrain", hint="run it again")
        check = data.pop(_CHECK, None)
        if check is not None and check != digest_json(data):  # none: written before there was one
            raise ValueError("altered")
        return Run(folder, data["stages"], data["config"])
    except (FileNotFoundError, NotADirectoryError) as error:
        names = list_runs(outputs)
        hint = f"there are: {', '.join(names)}" if names else "refrain run LOG makes one"
        raise StoreError(f"no run {name!r} in {outputs}", hint=hint, exit_code=2) from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{folder / MANIFEST} cannot be read as a run", hint="run it again") from error


def list_runs(outputs: Path) -> list[str]:
    """The ids of the runs in an outputs folder, sorted."""
    names = (path.parent.name for path in (outputs / "runs").glob(f"*/{MANIFEST}"))
    return sorted(name for name in names if name not in POINTERS and _NAME.match(name))


def run_all(
    sources: Sequence[str],
    config: Config,
    outputs: Path,
    *,
    run_id: str | None = None,
    part: Slice | None = None,
    kind: str = KIND,
    progress: Progress,
    report: Callable[[stages.Result], None] = lambda result: None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """The finished run of all stages over the log (with `part`, its part); `report` hears of each stage as it ends,
    `tell` of the formats that the log has.

    `kind` leads a name that is not given.
    """
    if run_id is not None:
        check_run_id(run_id)
    with _writing(outputs):
        run, result = run_ingest(
            sources, config, outputs, run_id=run_id, part=part, kind=kind, progress=progress, tell=tell,
            beside=stages.load_encoder_libraries,
        )  # fmt: skip
        report(result)
        for verb in list(stages.NOUNS)[1:]:
            run, result = run_stage(verb, run, config, progress=progress, goes_on=True)
            report(result)
        return run


def run_ingest(
    sources: Sequence[str],
    config: Config,
    outputs: Path,
    *,
    run_id: str | None = None,
    part: Slice | None = None,
    kind: str = KIND,
    progress: Progress,
    tell: Callable[[str], None] = lambda line: None,
    beside: Callable[[], None] = lambda: None,
) -> tuple[Run, stages.Result]:
    """The run after its first stage, and that stage's result; the run's id comes from log and settings if not given.

    `beside` is as in stages.ingest.
    """
    name = None if run_id is None else check_run_id(run_id)
    store = store_of(outputs)
    with _writing(outputs):
        result = stages.ingest(sources, config, store=store, progress=progress, part=part, tell=tell, beside=beside)
        name = name or default_run_id(result.manifest.inputs, config, kind)
        try:
            run = open_run(outputs, name)
        except StoreError:  # new, damaged or of another version: begun anew
            run = Run(outputs / "runs" / name, {}, {})
        return publish(run, result, config), result


def run_stage(
    verb: str, run: Run, config: Config, *, progress: Progress, goes_on: bool = False
) -> tuple[Run, stages.Result]:
    """The run after one stage that is not the first, and that stage's result. With `goes_on` this process runs the
    later stages too, and what they are sure to read may be read beside this one."""
    store = store_of(run.outputs)
    with _writing(run.outputs):
        for noun in stages.INPUTS[verb]:
            run.result(noun)
        inputs = [store.stages / noun / run.stages[noun] for noun in stages.INPUTS[verb]]
        more: dict[str, Any] = {}
        if goes_on and verb == "mine":
            requests, vectors = (store.stages / noun / run.stages[noun] for noun in ("requests", "vectors"))
            more["beside"] = partial(stages.read_sample, requests, vectors, config, store=store)
        result: stages.Result = getattr(stages, verb)(*inputs, config, store=store, progress=progress, **more)
        later = publish(run, result, config)
        if verb == list(stages.NOUNS)[-1]:  # the stage that makes a run whole; the ledger is opened once a run
            from refrain.run_notes import note_run

            note_run(later, config.ledger)
        return later, result


def publish(run: Run, result: stages.Result, config: Config) -> Run:
    """The run with a stage's result in it; later stages that rest on other content are taken out.

    At every instant the manifest lists what is there and nothing else: what is to be replaced is taken out of it
    first, and what is new is entered last.
    """
    noun, address = result.noun, result.manifest.address
    kept = dict(run.stages)
    if kept.get(noun) != address and _content(run.folder / noun) != result.manifest.content:
        for stale in _after(result.verb):
            kept.pop(stale, None)
    kept[noun] = address
    # Settings are kept a section at a time, so a later verb goes on with what the earlier ones ran with.
    config_now = {**_settings(config), **run.config, result.verb: _settings(config)[result.verb]}
    later = replace(run, stages=kept, config=config_now)
    run.folder.mkdir(parents=True, exist_ok=True)
    sweep(run.folder)
    if not _in_place(run.folder / noun, address):
        standing = {name: kept[name] for name in run.stages if name in kept and name != noun}
        if standing != run.stages:
            _write_manifest(replace(run, stages=standing))
        with staged(run.folder / noun) as out:
            link_tree(result.folder, out)
    _write_manifest(later)
    for stale in set(stages.NOUNS.values()) - set(kept):  # also what a killed process had no time to remove
        _remove(run.folder / stale)
    _write_timings(later, result)
    if not later.aside:
        point(later, LATEST)
    return later


@contextmanager
def _writing(outputs: Path) -> Iterator[None]:
    """The writers' lock of an outputs folder; what killed processes left half-written is removed when it is taken, and
    a full disk is told in our words."""
    store = store_of(outputs)
    with told_of_full_disk(outputs), writer_lock(store.root) as first:
        if first:
            sweep_outputs(outputs)
        yield


def sweep_outputs(outputs: Path) -> int:
    """How many half-written things were removed wherever a writer of runs and results leaves them. Call it under the
    writers' lock only."""
    store = store_of(outputs)
    runs = outputs / "runs"
    of_runs = [runs, *runs.glob("[!.]*/"), *runs.glob("[!.]*/[!.]*/")]
    folders = [store.root, store.staged, *of_runs, *store.stages.glob("*/"), *store.graphs.glob("*/")]
    return sum(sweep(folder) for folder in folders if folder.is_dir() and not folder.is_symlink())


def _after(verb: str) -> list[str]:
    """The nouns of the stages that rest on `verb`'s result, directly or not."""
    reached = {stages.NOUNS[verb]}
    for later, inputs in stages.INPUTS.items():
        if reached.intersection(inputs):
            reached.add(stages.NOUNS[later])
    return [noun for noun in stages.NOUNS.values() if noun in reached and noun != stages.NOUNS[verb]]


def _in_place(folder: Path, address: str) -> bool:
    """Whether `folder` holds the whole result with this address."""
    manifest = _trusted(folder)
    return manifest is not None and manifest.address == address


def _content(folder: Path) -> str | None:
    """The content digest of the result in `folder`, None where there is none that can be trusted."""
    manifest = _trusted(folder)
    return None if manifest is None else manifest.content


def _trusted(folder: Path) -> Manifest | None:
    try:
        return trusted_manifest(folder)
    except StoreError:
        return None


def _settings(config: Config) -> dict[str, Any]:
    """The settings that shape results: those of the stages, without what shapes speed alone."""
    settings = {section: values for section, values in plain(config).items() if section in stages.NOUNS}
    for section, values in settings.items():
        for name in speed_fields(getattr(config, section)):
            del values[name]
    return settings


def _write_manifest(run: Run) -> None:
    data = {"version": VERSION, "run_id": run.name, "stages": dict(run.stages), "config": dict(run.config)}
    text = manifest_text(data)
    path = run.folder / MANIFEST
    if not path.exists() or path.read_bytes() != text.encode("ascii"):
        write_text(path, text)


def manifest_text(data: Mapping[str, Any]) -> str:
    """A run's manifest as it stands on disk, with a digest of itself: whoever changes one writes it so."""
    told = {name: value for name, value in data.items() if name != _CHECK}
    return json.dumps({**told, _CHECK: digest_json(told)}, sort_keys=True, indent=1) + "\n"


def _write_timings(run: Run, result: stages.Result) -> None:
    """Nothing; the time of a stage is that of its computation, so an unchanged stage keeps what stands there."""
    path = run.folder / TIMINGS
    try:
        timings = {noun: entry for noun, entry in json.loads(path.read_text()).items() if noun in run.stages}
    except (OSError, ValueError, AttributeError):
        timings = {}
    address = result.manifest.address
    if not result.computed and result.noun in timings and timings[result.noun].get("address") == address:
        return
    timings[result.noun] = {
        "address": address,
        "computed": result.computed,
        **result.told,
        "seconds": round(result.seconds, 3),
        "peak_bytes": result.peak_bytes,
    }
    write_text(path, json.dumps(timings, sort_keys=True, indent=1) + "\n")


def point(run: Run, name: str) -> None:
    """Nothing; `name`, one of POINTERS, then stands for the run."""
    latest = run.folder.parent / name
    if latest.is_symlink() and str(latest.readlink()) == run.name:
        return
    new = aside(latest.parent)
    new.symlink_to(run.name)
    new.replace(latest)


def _remove(folder: Path) -> None:
    """Nothing; `folder` vanishes at once for readers and then from the disk."""
    if folder.exists():
        with staged(folder):
            pass  # an empty folder takes its place in one step
        folder.rmdir()
