"""The version of code: what a module imports counts, what it does not import does not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from refrain import code
from refrain.code import code_digest, import_closure

TREE = {
    "refrain/__init__.py": "",
    "refrain/config.py": "import refrain.loose\n",
    "refrain/campaigns.py": "from refrain import config\nfrom refrain.coordination import tests\nimport numpy\n",
    "refrain/coordination/__init__.py": "def late():\n    from refrain.clocks import tick\n",
    "refrain/coordination/tests.py": "from . import bursts\nfrom ..owners import one\n",
    "refrain/coordination/bursts.py": "",
    "refrain/clocks.py": "import refrain.campaigns\n",
    "refrain/owners.py": "",
    "refrain/loose.py": "",
}


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package in the place of ours, and no digest of it remembered afterwards."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(code, "ROOT", tmp_path)
    code_digest.cache_clear()
    yield tmp_path
    code_digest.cache_clear()


def test_the_closure_follows_imports_at_any_depth_but_not_through_the_frame(tree: Path) -> None:
    assert import_closure("refrain.campaigns") == {
        "refrain",
        "refrain.config",
        "refrain.campaigns",
        "refrain.coordination",
        "refrain.coordination.tests",
        "refrain.coordination.bursts",
        "refrain.clocks",
        "refrain.owners",
    }
    assert tree.exists()


@pytest.mark.parametrize("name", sorted(TREE))
def test_the_digest_changes_with_what_is_imported_and_with_nothing_else(tree: Path, name: str) -> None:
    before = code_digest("refrain.campaigns")
    with (tree / name).open("a", encoding="utf-8") as file:
        file.write("# another line\n")
    code_digest.cache_clear()
    counts = name not in ("refrain/loose.py", "refrain/config.py", "refrain/__init__.py")
    assert (code_digest("refrain.campaigns") != before) == counts


def test_a_module_that_is_not_ours_has_no_version() -> None:
    with pytest.raises(ModuleNotFoundError):
        code_digest("numpy")
