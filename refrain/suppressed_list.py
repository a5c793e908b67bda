"""The list of dismissed findings as a file: entries are added and taken out whole, by one writer at a time."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import tomli_w

from refrain.errors import InputError
from refrain.known import SUPPRESSED, TEMPLATE, KnownLists, Suppression, read_list
from refrain.locks import writer_lock
from refrain.private_files import write_private

FILE = "suppressed.toml"
"""The name of the list that `refrain suppress` keeps."""
_HEAD = """\
# Findings that somebody dismissed. Written by `refrain suppress`, which keeps no other comment. An entry lowers the
# rank of its finding while members and evidence stay what they were, and does nothing else. Members are keyed digests.

"""


def add_suppression(path: Path, entry: Suppression) -> bool:
    """Whether the list in `path` changed: it then holds the entry, in the order of names.

    One of the same name is replaced where it is of the same templates; where but the moment is the same it stays.
    InputError where the name is another finding's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # before the lock would make it for everybody
    with writer_lock(path.parent):
        found = read_list(path)
        old = next((other for other in found.suppressions if other.name == entry.name), None)
        if old is not None and set(old.texts) != set(entry.texts):
            raise InputError(f"the name {entry.name!r} is another finding's", hint="choose another with --name")
        if old is not None and replace(old, when=entry.when) == entry:
            return False
        others = [other for other in found.suppressions if other.name != entry.name]
        _write(path, found, [*others, entry])
        return True


def remove_suppression(path: Path, name: str) -> Suppression:
    """The entry that the list in `path` held under this name and no longer holds; InputError where there is none."""
    if not path.exists():
        raise InputError(f"no suppression {name!r}: there is no list {path}")
    with writer_lock(path.parent):
        found = read_list(path)
        gone = next((entry for entry in found.suppressions if entry.name == name), None)
        if gone is None:
            names = ", ".join(sorted(entry.name for entry in found.suppressions))
            raise InputError(f"no suppression {name!r} in {path}", hint=f"there are: {names}" if names else "")
        _write(path, found, [entry for entry in found.suppressions if entry.name != name])
        return gone


def change_suppressions(path: Path, change: Callable[[Suppression], Suppression | None]) -> int:
    """How many entries of the list in `path` are then as `change` has them, or gone where it has none."""
    if not path.exists():
        return 0
    with writer_lock(path.parent):
        found = read_list(path)
        later = [change(entry) for entry in found.suppressions]
        changed = sum(new != old for new, old in zip(later, found.suppressions, strict=True))
        if changed:
            _write(path, found, [entry for entry in later if entry is not None])
        return changed


def _write(path: Path, found: KnownLists, suppressions: list[Suppression]) -> None:
    tables = {
        TEMPLATE: [{name: value for name, value in asdict(entry).items() if value} for entry in found.templates],
        SUPPRESSED: [asdict(entry) for entry in sorted(suppressions, key=lambda entry: entry.name)],
    }
    write_private(path, _HEAD + tomli_w.dumps({kind: entries for kind, entries in tables.items() if entries}))
