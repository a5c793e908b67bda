"""A list of dismissed findings in a file of one's own: entries are added and taken out whole, by one writer at a time.

What `refrain suppress` keeps without --file stands in the ledger (`refrain.dismissals`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from refrain.errors import InputError
from refrain.known import KnownLists, Suppression, list_text, read_list
from refrain.locks import writer_lock
from refrain.private_files import write_private


def add_suppression(path: Path, entry: Suppression) -> bool:
    """Whether the list in `path` changed: it then holds the entry, in the order of names.

    One of the same name is replaced where it is of the same templates; where but the moment is the same it stays.
    InputError where the name is another finding's.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # before the lock would make it for everybody
    with writer_lock(path.parent):
        found = read_list(path)
        if not is_news(next((other for other in found.suppressions if other.name == entry.name), None), entry):
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
            raise no_such(name, str(path), found.suppressions)
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


def is_news(old: Suppression | None, entry: Suppression) -> bool:
    """Whether `entry` says more than the one of its name that is there, the moment aside; InputError where that one is
    another finding's."""
    if old is not None and set(old.texts) != set(entry.texts):
        raise InputError(f"the name {entry.name!r} is another finding's", hint="choose another with --name")
    return old is None or replace(old, when=entry.when) != entry


def no_such(name: str, place: str, entries: Sequence[Suppression]) -> InputError:
    """The error of who takes out what is not there; it names what is."""
    names = ", ".join(sorted(entry.name for entry in entries))
    return InputError(f"no suppression {name!r} in {place}", hint=f"there are: {names}" if names else "")


def _write(path: Path, found: KnownLists, suppressions: list[Suppression]) -> None:
    write_private(path, list_text(found.templates, suppressions))
