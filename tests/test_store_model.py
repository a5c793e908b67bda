"""The store and its runs against a model in dictionaries: whatever is published, harmed, swept or refused for want of
space, in whatever order, what a reader is told is what the model says, and what is harmed is never trusted."""

import errno
import json
import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from refrain.artifacts import MANIFEST, STAGING, read_manifest, trusted_manifest
from refrain.config import IngestConfig
from refrain.errors import StoreError
from refrain.full_disk import DiskFullError, told_of_full_disk
from refrain.intake import Tally
from refrain.kept import KeptTables, Unit
from refrain.locks import writer_lock
from refrain.logs import LogFile
from refrain.runs import Run, list_runs, open_run, publish, store_of, sweep_outputs
from refrain.settings import load_settings
from refrain.stages import INPUTS, NOUNS, Result, complete_stage

CONFIG = load_settings().config
NAMES = st.sampled_from(["a", "b"])
VERBS = st.sampled_from(list(NOUNS))
TEXTS = st.sampled_from(["x", "y"])  # what a stage leaves
SALTS = st.sampled_from(["1", "2"])  # what else is in its address
FILES = st.sampled_from(["part", "deep/part", MANIFEST])
PLACES = st.sampled_from(["store", "store/stages/templates", "runs", "runs/a", "store/staged", "store/graphs/days"])


def harm(path: Path, *, cut: bool) -> None:
    """Nothing; the file is changed in place, as a disk does it, so every link to it is."""
    data = bytearray(path.read_bytes())
    before = path.stat()
    path.chmod(0o644)
    if cut:
        del data[len(data) // 2 :]
    else:
        data[len(data) // 2] ^= 1
    path.write_bytes(data)
    # A clock's tick is longer than a test's step; no step of a person is as short.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


@dataclass
class Body:
    """What lies on the disk under one inode of a result's files."""

    verb: str
    text: str
    salt: str
    whole: bool = True


class StoreAndRuns(RuleBasedStateMachine):
    """Stages and runs, with the real files on one side and `bodies` on the other."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="refrain-model-"))
        self.stored: dict[tuple[str, str, str], Body] = {}
        self.runs: dict[str, dict[str, Body]] = {}
        self.latest: str | None = None
        self.litter: set[Path] = set()

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    def _stage(self, verb: str, text: str, salt: str, *, full: bool = False) -> Result:
        def compute(out: Path) -> dict[str, int]:
            (out / "part").write_text(text)
            (out / "deep").mkdir()
            if full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            (out / "deep/part").write_text(f"{verb} {text}" * 20)
            return {"letters": len(text)}

        with told_of_full_disk(self.root):
            return complete_stage(
                verb, (text, salt), getattr(CONFIG, verb), "refrain.text", compute, store_of(self.root)
            )

    def _swept(self, folder: Path) -> None:
        self.litter = {path for path in self.litter if path.parent != folder}

    @rule(name=NAMES, verb=VERBS, text=TEXTS, salt=SALTS)
    def publish(self, name: str, verb: str, text: str, salt: str) -> None:
        noun, key = NOUNS[verb], (verb, text, salt)
        result = self._stage(verb, text, salt)
        stood = self.stored.get(key)
        assert result.computed == (stood is None or not stood.whole)
        assert bool(result.note) == (stood is not None and not stood.whole)
        if result.computed:
            self.stored[key] = Body(verb, text, salt)
            self._swept(result.folder.parent)
        try:
            run = open_run(self.root, name)
        except StoreError:
            run = Run(self.root / "runs" / name, {}, {})
        publish(run, result, CONFIG)
        self._swept(run.folder)
        entries = self.runs.setdefault(name, {})
        before = entries.get(noun)
        same = before is not None and (before.text, before.salt) == (text, salt)
        if not same and (before is None or not before.whole or before.text != text):
            reached = {noun}
            for later, inputs in INPUTS.items():
                if reached.intersection(inputs):
                    reached.add(NOUNS[later])
                    entries.pop(NOUNS[later], None)
        if not same or before is None or not before.whole:
            entries[noun] = self.stored[key]
        self.latest = name

    @rule(verb=VERBS, text=TEXTS, salt=SALTS)
    def a_full_disk_changes_nothing(self, verb: str, text: str, salt: str) -> None:
        body = self.stored.get((verb, text, salt))
        if body is not None and body.whole:
            assert not self._stage(verb, text, salt, full=True).computed
            return
        with pytest.raises(DiskFullError, match="no space left"):
            self._stage(verb, text, salt, full=True)
        self._swept(store_of(self.root).stages / NOUNS[verb])

    @precondition(lambda self: any(body.whole for body in self.stored.values()))
    @rule(data=st.data(), file=FILES, cut=st.booleans())
    def damage(self, data: st.DataObject, file: str, cut: bool) -> None:
        key = data.draw(st.sampled_from(sorted(key for key, body in self.stored.items() if body.whole)))
        harm(self._folder(self.stored[key]) / file, cut=cut)
        self.stored[key].whole = False

    @rule(place=PLACES, kind=st.sampled_from(["folder", "file", "link"]), number=st.integers(0, 9))
    def a_killed_process_leaves_something(self, place: str, kind: str, number: int) -> None:
        # Its id may be that of this process: in a container all have the same.
        path = self.root / place / f"{STAGING}{os.getpid()}-{number}"
        if (place == "runs/a" and "a" not in self.runs) or path in self.litter:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "folder":
            (path / "deep").mkdir(parents=True)
            (path / "deep" / MANIFEST).write_text("{}")
        elif kind == "file":
            path.write_text("half")
        else:
            path.symlink_to(self.root)
        self.litter.add(path)

    @rule()
    def sweep(self) -> None:
        with writer_lock(store_of(self.root).root):
            assert sweep_outputs(self.root) == len(self.litter)
        self.litter = set()

    def _folder(self, body: Body) -> Path:
        """Where the store has it."""
        return store_of(self.root).stages / NOUNS[body.verb] / address_of(body)

    @invariant()
    def readers_see_what_was_published(self) -> None:
        if not hasattr(self, "root"):
            return
        assert list_runs(self.root) == sorted(self.runs)
        for name, entries in self.runs.items():
            run = open_run(self.root, name)
            assert set(run.stages) == set(entries)
            assert {path.name for path in run.folder.iterdir() if path.is_dir() and path not in self.litter} == set(
                entries
            )
            assert set(json.loads((run.folder / "timings.json").read_text())) == set(entries)
            for noun, body in entries.items():
                if body.whole:
                    assert (run.result(noun) / "part").read_text() == body.text
                    manifest = read_manifest(run.result(noun))
                    assert manifest is not None
                    assert manifest.address == run.stages[noun]
        if self.latest:
            assert open_run(self.root, "latest").name == self.latest

    @invariant()
    def what_is_harmed_is_told_and_nothing_else(self) -> None:
        for body in getattr(self, "stored", {}).values():
            if body.whole:
                assert trusted_manifest(self._folder(body)) is not None
            else:
                with pytest.raises(StoreError, match=str(self._folder(body))):
                    trusted_manifest(self._folder(body))

    @invariant()
    def what_is_left_half_written_is_what_was_left(self) -> None:
        if hasattr(self, "root"):
            found = {path for path in self.root.rglob(f"{STAGING}*") if path.parent.name[0] != "."}
            assert found == self.litter


_addresses: dict[tuple[str, str, str], str] = {}


def address_of(body: Body) -> str:
    """The address of a body's stage, as a store of its own has it."""
    key = (body.verb, body.text, body.salt)
    if key not in _addresses:
        with tempfile.TemporaryDirectory() as folder:
            result = complete_stage(
                body.verb, (body.text, body.salt), getattr(CONFIG, body.verb), "refrain.text", lambda out: {},
                store_of(Path(folder)),
            )  # fmt: skip
            _addresses[key] = result.manifest.address
    return _addresses[key]


class KeptUnits(RuleBasedStateMachine):
    """Staged tables of log files that are kept, used, trimmed and harmed."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="refrain-model-"))
        self.config: IngestConfig = CONFIG.ingest
        self.ages: dict[str, int] = {}  # of units that are kept, by the file's name: larger is used later
        self.whole: dict[str, bool] = {}
        self.folders: dict[str, Path] = {}
        self.used: set[str] = set()
        self.time = 0
        self.open()

    def teardown(self) -> None:
        if hasattr(self, "root"):
            shutil.rmtree(self.root)

    @rule()
    def open(self) -> None:
        """Another run begins: what it has not used may go."""
        self.tables = KeptTables(self.root / "staged", self.config, b"k" * 32, None)
        self.used = set()

    def _unit(self, name: str) -> tuple[Unit, dict[str, str]]:
        return Unit((LogFile(name, Path(name)),), by_day=False), {name: name * 32}

    def _touch(self, name: str) -> None:
        # The order of use as the file system has it, a second apart.
        self.time += 1
        self.ages[name] = self.time
        moment = self.time * 1_000_000_000
        os.utime(self.folders[name] / MANIFEST, ns=(moment, moment))
        self.used.add(name)

    @rule(name=st.sampled_from("abc"), rows=st.integers(1, 3))
    def find_or_keep(self, name: str, rows: int) -> None:
        unit, digests = self._unit(name)
        found = self.tables.find(unit, digests)
        assert (found is not None) == self.whole.get(name, False)
        if found is None:
            work = self.root / "work"
            work.mkdir()
            (work / "rows-00000000.parquet").write_bytes(b"row" * rows)
            tally = Tally(staged=rows, outside=0, naive_times=0, refused=Counter())
            self.folders[name] = self.tables.keep(unit, digests, work, tally, 0)
            work.rmdir()  # all was moved
            self.whole[name] = True
        else:
            assert found[0] == self.folders[name]
            assert (found[0] / "rows-00000000.parquet").read_bytes() == b"row" * found[1].staged
        self._touch(name)

    @rule(limit=st.integers(0, 3000))
    def trim(self, limit: int) -> None:
        sizes = {name: sum(path.stat().st_size for path in self.folders[name].iterdir()) for name in self.ages}
        total, gone = sum(sizes.values()), []
        for name in sorted(self.ages.keys() - self.used, key=self.ages.__getitem__):
            if total <= limit:
                break
            total -= sizes[name]
            gone.append(name)
        assert self.tables.trim(limit) == len(gone)
        for name in gone:
            assert not self.folders[name].exists()
            del self.ages[name], self.whole[name], self.folders[name]

    @precondition(lambda self: any(self.whole.values()))
    @rule(data=st.data(), file=st.sampled_from(["rows-00000000.parquet", MANIFEST]), cut=st.booleans())
    def damage(self, data: st.DataObject, file: str, cut: bool) -> None:
        name = data.draw(st.sampled_from(sorted(name for name, whole in self.whole.items() if whole)))
        harm(self.folders[name] / file, cut=cut)
        self.whole[name] = False
        if file == MANIFEST:
            moment = self.ages[name] * 1_000_000_000
            os.utime(self.folders[name] / MANIFEST, ns=(moment, moment))

    @invariant()
    def nothing_else_is_there(self) -> None:
        if hasattr(self, "root"):
            assert set((self.root / "staged").glob("*")) == set(self.folders.values())


StoreAndRuns.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
KeptUnits.TestCase.settings = settings(max_examples=25, stateful_step_count=20)


class TestStoreAndRuns(StoreAndRuns.TestCase):  # type: ignore[misc, valid-type]
    """The first machine, as pytest finds it."""


class TestKeptUnits(KeptUnits.TestCase):  # type: ignore[misc, valid-type]
    """The second machine, as pytest finds it."""
