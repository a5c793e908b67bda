"""What must hold of an outputs folder, whatever befell who wrote it."""

import json
from pathlib import Path

from embeddings.shards import PARTS, RECORD, TEMPORARY, open_shards
from refrain.artifacts import MANIFEST, STAGING, damaged_files, read_manifest
from refrain.runs import list_runs, open_run


def tree(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below `folder`, links not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def results(outputs: Path) -> list[Path]:
    """Every folder that passes for a result: of a stage, of a staged unit, of a day or a pair."""
    store = outputs / "store"
    folders = [*store.glob("stages/*/*/"), *store.glob("staged/*/"), *store.glob("graphs/*/*/")]
    return sorted(folder for folder in folders if not folder.name.startswith(STAGING))


def check_published(outputs: Path) -> None:
    """Nothing; fails where anything that a reader would take for whole is not. Holds at every instant."""
    for folder in results(outputs):
        manifest = read_manifest(folder)
        assert manifest is not None, f"{folder} has no manifest"
        assert damaged_files(folder, manifest) == (), folder
        assert manifest.address == folder.name
    for folder in (outputs / "store" / "vectors").glob("*/"):
        opened = open_shards(folder)
        assert opened.damaged == 0
        assert all(shard.is_intact() for shard in opened.shards)
    for name in list_runs(outputs):
        run = open_run(outputs, name)
        for noun, address in run.stages.items():
            manifest = read_manifest(run.folder / noun)
            assert manifest is not None, f"{run.folder / noun} is listed and not there"
            assert manifest.address == address, f"{run.folder / noun} is not what the run lists"
            assert damaged_files(run.folder / noun, manifest) == (), run.folder / noun
            assert tree(run.folder / noun) == tree(outputs / "store" / "stages" / noun / address)
    latest = outputs / "runs" / "latest"
    assert not latest.is_symlink() or (latest / MANIFEST).is_file()


def check_tidy(outputs: Path) -> None:
    """Nothing; fails where something half-written was left. Holds after every run that ended well."""
    half = [
        path for path in outputs.rglob("*") if path.name.startswith((STAGING, ".spill-", ".work", ".latest-", ".key"))
    ]
    assert half == []
    for folder in (outputs / "store" / "vectors").glob("*/"):
        assert list(folder.glob(f"*{TEMPORARY}")) == []
        records = {path.stem for path in folder.glob(f"*{RECORD}")}
        assert {path.name.split(".")[0] for path in folder.iterdir()} == records
        assert len(list(folder.iterdir())) == len(records) * (1 + len(PARTS))
    for name in list_runs(outputs):
        run = open_run(outputs, name)
        assert {path.name for path in run.folder.iterdir() if path.is_dir()} == set(run.stages)
        assert set(json.loads((run.folder / "timings.json").read_text())) == set(run.stages)


def exports(outputs: Path, run_id: str) -> dict[str, bytes]:
    """The bytes of a run's exports, without their manifest: it names what they rest on, under the folder's own key."""
    found = tree(open_run(outputs, run_id).result("exports"))
    return {name: content for name, content in found.items() if name != MANIFEST}
