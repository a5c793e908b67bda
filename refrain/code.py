"""The version of the code that computes a result: a digest over a module and everything of ours that it imports."""

import ast
import functools
import hashlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("refrain", "embeddings", "flows")
# The frame around a stage: it hands over folders and settings and writes no byte of a result. The settings' values are
# in the address already, and an edit here must not recompute every night in the store.
FRAME = frozenset({
    "refrain", "refrain.artifacts", "refrain.config", "refrain.errors", "refrain.progress", "refrain.settings",
})  # fmt: skip


@functools.cache  # a long-lived server runs the code that it loaded, not what the files say by now
def code_digest(module: str) -> str:
    """BLAKE2b-128 in hex over the names and sources of `module` and its first-party imports, however deep."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(import_closure(module) - FRAME):
        source = _source(name)
        if source is not None:
            data = source.read_bytes()
            digest.update(f"{name} {len(data)}\n".encode())
            digest.update(data)
    return digest.hexdigest()


def import_closure(module: str) -> frozenset[str]:
    """`module`, the packages around it, and every first-party module that these import, at any depth of nesting.

    Imports inside functions count: they run too. What the frame imports is not followed. ModuleNotFoundError where
    `module` is none of ours.
    """
    if _source(module) is None:
        raise ModuleNotFoundError(f"no first-party module {module}")
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        source = _source(name)
        if name in seen or source is None:
            continue
        seen.add(name)
        parents = name.split(".")
        waiting += [".".join(parents[:depth]) for depth in range(1, len(parents))]
        if name not in FRAME:
            waiting += first_party_imports(name, source)
    return frozenset(seen)


def first_party_imports(module: str, source: Path) -> list[str]:
    """The first-party modules that the file `source` of `module` names in import statements, sorted."""
    names = imported_names(module, source)
    return sorted({name for name in names if name.split(".")[0] in PACKAGES and _source(name) is not None})


def imported_names(module: str, source: Path) -> set[str]:
    """Every dotted name that an import statement in `source` could load; `from a import b` gives `a` and `a.b`."""
    package = module if source.name == "__init__.py" else module.rpartition(".")[0]
    return set(_names(ast.parse(source.read_bytes(), filename=str(source)), package))


def _names(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                around = package.split(".")
                around = around[: len(around) - node.level + 1]
                base = ".".join([*around, base] if base else around)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _source(module: str) -> Path | None:
    """The file of a first-party module or package; None where there is none."""
    place = ROOT.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None
