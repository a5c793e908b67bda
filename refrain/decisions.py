"""Decisions from another tool, and for it: verdicts by stable id, read into the ledger once and once only."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refrain.decision_files import FILE_MIB, read_records
from refrain.decision_form import Bad, FormRule, read_decision
from refrain.errors import InputError
from refrain.ledger import Ledger
from refrain.ledger.rows import NewDecision
from refrain.private_files import write_private

STRANGER = "unknown campaign"


@dataclass(frozen=True)
class Imported:
    """What became of the records of a file: `read` is the sum of `written`, `known` (the ledger or an earlier record
    had the same decision) and the `refused` ones, each with its number, field and reason."""

    written: int
    known: int
    refused: tuple[tuple[int, Bad], ...] = field(repr=False)

    @property
    def counts(self) -> dict[str, int]:
        """The counts, which add up."""
        refused = len(self.refused)
        read = self.written + self.known + refused
        return {"read": read, "written": self.written, "known": self.known, "quarantined": refused}

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many records were refused for each `field: reason`, the most frequent first."""
        counted = Counter(f"{bad.field}: {bad.reason}" if bad.field else bad.reason for _, bad in self.refused)
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def import_decisions(ledger: Ledger, data: bytes, form: str, rule: FormRule, *, dry_run: bool = False) -> Imported:
    """What became of each record; all that is new is written in one transaction, nothing with `dry_run`.

    A decision is known where the ledger has one of the same identity, verdict, person, moment and words, so the same
    file again writes nothing. InputError for a file that is too large, has no header, or holds no usable record.
    """
    if len(data) > FILE_MIB << 20:
        raise InputError(f"a file of decisions has at most {FILE_MIB} MiB", hint="give it in parts")
    good: list[tuple[int, NewDecision]] = []
    refused: list[tuple[int, Bad]] = []
    for number, record in read_records(data, form):
        found = record if isinstance(record, Bad) else read_decision(record, rule)
        if isinstance(found, Bad):
            refused.append((number, found))
        else:
            good.append((number, found))
    entered = ledger.add_decisions([decision for _, decision in good], dry_run=dry_run)
    refused += [
        (number, Bad("campaign", STRANGER))
        for (number, _), state in zip(good, entered, strict=True)
        if state == "stranger"
    ]
    return Imported(entered.count("written"), entered.count("known"), tuple(sorted(refused, key=lambda item: item[0])))


def write_quarantine(path: Path, done: Imported) -> None:
    """Nothing; `path` holds a JSON object for each refused record: its number, the field and the reason, not its
    content. Where none was refused, the file is gone."""
    if not done.refused:
        path.unlink(missing_ok=True)
        return
    lines = (
        json.dumps({"row": number, "field": bad.field, "reason": bad.reason}) + "\n" for number, bad in done.refused
    )
    write_private(path, "".join(lines))
