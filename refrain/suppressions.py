"""Suppressions: what a finding was when somebody dismissed it, and whether it still is that.

A dismissal is a judgement on a template, its members and the evidence. It holds while these stay: where most accounts
are new, or something speaks that did not, the finding reopens and says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refrain.errors import InputError
from refrain.key import keyed_digest
from refrain.known import Suppression
from refrain.shingles import fixed_words
from refrain.skeletons import SLOT
from refrain.text import normalise, repair

_NAME_DIGITS = 12  # hexadecimal, of a name that nobody chose


@dataclass(frozen=True)
class Standing:
    """What a suppression is held against: a finding's members, and what speaks for and against it now. `tests` are
    p-values by name, without those that are off."""

    members: frozenset[str]
    families: frozenset[str]
    tests: Mapping[str, float]
    benign: frozenset[str]


def member_digest(key: bytes, account_id: str) -> str:
    """What stands for an account in a list: keyed, so that nobody can confirm a guess at it."""
    return keyed_digest(key, account_id.encode()).hex()


def reopened(suppression: Suppression, now: Standing, *, stay: float, speaks_p: float) -> str:
    """Why the suppression no longer holds, in words; empty where it does.

    It needs the share `stay` of the members to be those of then, no family that did not speak then, no test with a
    p-value of at most `speaks_p` that did not speak then, and every benign explanation that held then.
    """
    reasons = []
    new = now.members.difference(suppression.members)
    if len(now.members) - len(new) < stay * len(now.members):
        reasons.append(f"{len(new)} of {len(now.members)} accounts are new")
    reasons += [f"{_words(family)} speaks now" for family in sorted(now.families.difference(suppression.families))]
    speaking = (test for test, p_value in now.tests.items() if p_value <= speaks_p)
    reasons += [f"{_words(test)} shows now" for test in sorted(set(speaking).difference(suppression.tests))]
    gone = sorted(set(suppression.benign).difference(now.benign))
    reasons += [f"{_words(hypothesis)} no longer holds" for hypothesis in gone]
    return "; ".join(reasons)


def suppress_finding(
    detail: Mapping[str, Any], key: bytes, *, name: str | None, reason: str, by: str, when: str, silent_p: float
) -> Suppression:
    """The suppression of a finding, given as `refrain.findings.finding` has it.

    A test spoke where its p-value was at most `silent_p`. Without a name it is called after its templates, so that the
    same finding has the same name. InputError where its templates hold no word.
    """
    texts = tuple(dict.fromkeys(map(fixed_text, (row["skeleton"] for row in detail["templates"]))))
    texts = tuple(text for text in texts if fixed_words(text))
    if not texts:
        raise InputError(f"campaign {detail['campaign_id']} has no text to recognise it by")
    tests = (row for row in detail["tests"] if row["p_value"] is not None and row["p_value"] <= silent_p)
    return Suppression(
        name=name or f"finding-{keyed_digest(key, SLOT.join(sorted(texts)).encode()).hex()[:_NAME_DIGITS]}",
        reason=reason,
        by=by,
        when=when,
        texts=texts,
        members=tuple(sorted(member_digest(key, row["account_id"]) for row in detail["members"])),
        families=tuple(sorted(detail["families"])),
        tests=tuple(sorted(f"{row['family']}_{row['test']}" for row in tests)),
        benign=tuple(sorted(detail["benign"])),
    )


def fixed_text(skeleton: str) -> str:
    """The fixed parts of a skeleton with a slot between them, each in normalised form: nothing in it is invisible."""
    return SLOT.join(normalise(repair(part)[0]) for part in skeleton.split(SLOT))


def _words(name: str) -> str:
    return name.replace("_", " ")
