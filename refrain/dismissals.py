"""What people dismissed, beside a store: in its ledger. A list that an earlier refrain kept is taken over once.

`benign/suppressed.toml` was that list. Its entries go into the ledger in one transaction and the file becomes
`suppressed.toml.imported`, which nobody reads any longer; a purge changes it as well.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from refrain.config import LedgerConfig
from refrain.figures import counted
from refrain.known import FILE, Suppression, list_text, read_list
from refrain.ledger import find_ledger, open_ledger
from refrain.locks import writer_lock
from refrain.private_files import write_private
from refrain.suppressed_list import change_suppressions

logger = logging.getLogger(__name__)

IMPORTED = f"{FILE}.imported"
"""The list that was taken over, as it was then."""
_WAIT_SECONDS = 10.0  # for another process that takes it over now


def read_dismissed(outputs: Path, config: LedgerConfig) -> list[Suppression]:
    """The suppressions of a store by name, after a list of before was taken over; none where there is no ledger."""
    words = take_over(outputs, config)
    if words:
        logger.warning("%s", words)
    with find_ledger(outputs, config) as ledger:
        return [] if ledger is None else ledger.dismissed.entries()


def take_over(outputs: Path, config: LedgerConfig) -> str:
    """What was taken over into the ledger, in words; empty where nothing was left to be.

    Entries that the ledger has already cost nothing, so whoever is killed between the ledger and the file's new name
    goes on. Templates of one's own in the same file stay there. InputError where the ledger has another finding of a
    name: rename it in the file.
    """
    folder = outputs / "benign"
    path = folder / FILE
    if not path.exists():
        return ""
    with writer_lock(folder, wait=_WAIT_SECONDS):
        found = read_list(path)
        if not found.suppressions:
            return ""
        with open_ledger(outputs, config) as ledger:
            ledger.dismissed.add_missing(found.suppressions)
            name = ledger.name
        if found.templates:
            write_private(path.with_name(IMPORTED), path.read_text(encoding="utf-8"))
            write_private(path, list_text(found.templates, ()))
        else:
            path.replace(path.with_name(IMPORTED))
    return f"{counted(len(found.suppressions), 'dismissal')} of {path} went into {name}; the list is now {IMPORTED}"


def change_dismissed(outputs: Path, config: LedgerConfig, change: Callable[[Suppression], Suppression | None]) -> int:
    """How many suppressions are then as `change` has them, or gone where it has none: in the ledger, and in the list
    of before, taken over or not."""
    changed = change_suppressions(outputs / "benign" / FILE, change)
    change_suppressions(outputs / "benign" / IMPORTED, change)  # the same entries once more, so not counted
    with find_ledger(outputs, config) as ledger:
        return changed if ledger is None else changed + ledger.dismissed.change(change)
