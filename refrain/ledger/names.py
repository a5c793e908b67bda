"""What a person calls an identity: its stable id, the beginning of one, or its number in the last night."""

import re
from collections.abc import Iterable, Mapping

from refrain.errors import InputError
from refrain.ledger.ledger import Ledger

_NUMBER = re.compile(r"[0-9]{1,9}\Z")
_BEGINNING = re.compile(r"[cts]-[0-9a-f]{1,12}\Z")
_FEW = 5  # ids named where several are meant


def resolve(ledger: Ledger, named: str, *, gone: bool = False) -> str:
    """The one stable id that `named` means: an id, the beginning of one (`c-3f`), or a campaign's number in the last
    night's run; with `gone` also one that no night has any longer. InputError where it is none or several; it quotes
    ids alone."""
    if _NUMBER.match(named):
        last = ledger.last_night()
        seen = [] if last is None else ledger.sightings(day=last.day, kind="campaign")
        for sighting in seen:
            if sighting.local_id == int(named):
                return sighting.identity
        where = "no night was recorded" if last is None else f"the night of {last.day} has no campaign {named}"
        raise InputError(where, hint="give a stable id, such as c-0123456789ab")
    if not _BEGINNING.match(named):
        raise InputError("that is no campaign", hint="give a stable id, such as c-0123456789ab, or its beginning")
    found = ledger.identifiers(named)
    if named in found:
        return named
    aside = ledger.aside()
    without = sorted(name for name in aside if name.startswith(named))
    if gone:
        found = sorted([*found, *without])
    elif not found and without:
        raise InputError(
            f"{without[0]} is {gone_word(without[0], aside)}: no night has it", hint="refrain decisions still names it"
        )
    if not found:
        raise InputError(f"{ledger.name} knows no {named}", hint="refrain decisions and refrain lineage name them")
    if len(found) > 1:
        raise InputError(f"{named} is the beginning of {len(found)} ids", hint=", ".join(found[:_FEW]))
    return found[0]


def gone_word(identity: str, aside: Mapping[str, bool]) -> str:
    """What has become of an id that no night has: retired, where nothing else will have it again; taken back, where the
    nights that had it are being run anew. Nothing where it is not `aside`, which is what the ledger says."""
    if identity not in aside:
        return ""
    return "retired" if aside[identity] else "taken back"


def gone_words(ledger: Ledger, ids: Iterable[str]) -> dict[str, str]:
    """What has become of each of some ids, nothing where a night has it. One that an earlier refrain took back, which
    kept nothing of it, is lost."""
    aside, known = ledger.aside(), frozenset(ledger.identifiers())
    return {name: "" if name in known else gone_word(name, aside) or "lost" for name in ids}
