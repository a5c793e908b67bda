"""The registry of formats: ours load, another package's comes by entry point, and what is wrong with one is told."""

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from exported import IDENTITIES, make_run, options_for

from refrain.errors import InputError
from refrain.exporters import registry
from refrain.exporters.registry import BUILT_IN, export_run, exporter_names, find_exporter

DOCUMENT = Path(__file__).parents[1] / "docs" / "exports.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_format_loads_under_its_name_and_is_documented(name: str) -> None:
    exporter = find_exporter(name)
    assert exporter.name == name
    text = DOCUMENT.read_text(encoding="utf-8")
    assert re.search(rf"^\|.*`{name}`.*\|", text, re.MULTILINE)
    assert f"--format {name}" in text or name in {"csv", "jsonl", "graphml"}
    for key in exporter.settings:
        assert f"{key}=" in text, key


def test_a_format_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(InputError, match="no export format 'xls'") as caught:
        find_exporter("xls")
    assert all(name in caught.value.hint for name in BUILT_IN)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the document's example, offline."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## Formats of your own")[2]
    package = tmp_path_factory.mktemp("package")
    for name, language in (("pyproject.toml", "toml"), ("refrain_wiki.py", "python")):
        [body] = re.findall(rf"`{re.escape(name)}`\n```{language}\n(.*?)```", text, re.DOTALL)
        (package / name).write_text(body, encoding="utf-8")
    target = tmp_path_factory.mktemp("installed")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(package)]
    subprocess.run(command, check=True, capture_output=True)
    return target


@pytest.fixture
def plugged(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example's package can be imported and found."""
    monkeypatch.syspath_prepend(str(installed))
    yield
    sys.modules.pop("refrain_wiki", None)


@pytest.mark.usefixtures("plugged")
def test_the_documents_package_gives_a_format(run: Path, tmp_path: Path) -> None:
    assert exporter_names() == [*BUILT_IN, "wiki"]
    assert export_run(run, tmp_path / "alerts.md", "wiki", options_for(run)) == {"alerts": 1}
    assert (tmp_path / "alerts.md").read_text() == (
        f"| campaign | accounts | last seen |\n|---|---|---|\n| {IDENTITIES[0]} | 8 | 2026-03-02 |\n"
    )
    with pytest.raises(InputError, match="wiki has no option 'colour'"):
        export_run(run, tmp_path / "x", "wiki", options_for(run, more={"colour": "red"}))


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, registry.GROUP)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([entry("wrong", "refrain.exporters.escapes:MARK")], "no refrain Exporter"),
        ([entry("wrong", "refrain.exporters.duckdb_file:EXPORTER")], "has another name"),
        ([entry("wrong", "refrain.no_such_module:EXPORTER")], "cannot be loaded: ModuleNotFoundError"),
        ([entry("wrong", "a:b"), entry("wrong", "c:d")], "2 packages give an export format 'wrong'"),
    ],
    ids=["no exporter", "another name", "no module", "two of a name"],
)
def test_a_package_that_is_wrong_is_told(monkeypatch: pytest.MonkeyPatch, points: list[EntryPoint], said: str) -> None:
    monkeypatch.setattr(registry, "_plugins", lambda: points)
    with pytest.raises(InputError, match=re.escape(said)):
        find_exporter("wrong")


def test_a_package_cannot_take_the_name_of_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", lambda: [entry("csv", "refrain.exporters.duckdb_file:EXPORTER")])
    assert find_exporter("csv").kind == "folder"
    assert exporter_names() == list(BUILT_IN)


def test_a_run_without_exports_and_its_own_folder_are_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no exports"):
        export_run(tmp_path / "nothing", tmp_path, "csv")
    with pytest.raises(InputError, match="not written over"):
        export_run(run, run / "exports", "parquet")
