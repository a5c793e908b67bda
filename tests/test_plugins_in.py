"""A format of another package: the documented example is installed and read with, and its version counts."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refrain.code import ROOT
from refrain.dialects import BUILT_IN

EXAMPLE = ROOT / "docs" / "examples" / "refrain-acme"
TURNS = [{"by": "u", "said": "Hello there."}]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the example is installed in."""
    target, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source") / EXAMPLE.name
    shutil.copytree(EXAMPLE, source)  # a build leaves its traces beside what is built
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *offline, "--target", target, source], check=True)
    return target


def refrain(installed: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    command = [sys.executable, "-m", "refrain.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_example_reads_its_logs_and_its_version_is_in_the_identity(installed: Path, tmp_path: Path) -> None:
    records = [{"acme": 2, "who": f"a{at}", "at": f"2026-01-01T10:00:0{at}", "turns": TURNS} for at in range(3)]
    records += [{"acme": 1, "turns": []}, {"acme": 2, "kind": "health check", "turns": []}]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(record) + "\n" for record in records))
    loose = ("--set", "ingest.max_structural_error_share=0.5", "--outputs", tmp_path / "out", "--json")
    done = refrain(installed, "ingest", log, *loose, "--set", "ingest.workers=2", "--set", "ingest.worker_mib=0")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    counts = told["stages"][0]["counts"]
    assert [counts[name] for name in ("read", "kept", "quarantined", "passed", "files_as_acme")] == [5, 3, 1, 1, 1]
    (inputs,) = json.loads((Path(told["stages"][0]["folder"]) / "manifest.json").read_text())["inputs"]
    assert inputs.endswith(" log.jsonl as acme 1 refrain-acme 1.2.0")
    shown = refrain(installed, "inspect", log)
    assert "acme: Acme gateway logs" in shown.stdout


def test_without_the_package_the_log_is_of_no_known_format(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps({"acme": 2, "who": "a", "at": "2026-01-01", "turns": TURNS}) + "\n")
    done = refrain(tmp_path, "ingest", log, "--outputs", tmp_path / "out")
    assert done.returncode == 2 and "log.jsonl is not known" in done.stderr
    named = refrain(tmp_path, "ingest", log, "--outputs", tmp_path / "out", "--set", "ingest.format=acme")
    assert named.returncode == 2 and all(name in named.stderr for name in BUILT_IN)


def test_the_documentation_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    for name in ("pyproject.toml", "refrain_acme.py"):
        assert (EXAMPLE / name).read_text(encoding="utf-8").strip() in page


def test_two_formats_of_one_name_and_a_package_that_gives_none_are_errors(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text("DIALECT = 7\n")
    info = tmp_path / "wrong-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wrong\nVersion: 1\n")
    log = tmp_path / "log.jsonl"
    log.write_text('{"a": 1}\n')
    for name, told in (("wrong", "gives no Dialect"), ("openai", "two formats are called")):
        (info / "entry_points.txt").write_text(f"[refrain.dialects]\n{name} = wrong:DIALECT\n")
        done = refrain(tmp_path, "ingest", log, "--outputs", tmp_path / "out")
        assert done.returncode == 2 and told in done.stderr
