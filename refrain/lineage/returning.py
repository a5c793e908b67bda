"""Which new things of a night that is run anew are those of the night as it was before."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date

from refrain.config import LineageConfig
from refrain.lineage.assigning import assigned
from refrain.lineage.changes import forgetful
from refrain.lineage.names import mint
from refrain.lineage.overlaps import pairs
from refrain.lineage.signatures import Signature
from refrain.lineage.types import Known


def ids_back(
    new: Mapping[int, Signature], spare: Sequence[Known], day: date, rule: LineageConfig, *, key: bytes, main: str
) -> dict[int, str]:
    """The ids that things of one kind, new on the night of `day`, had before, by their positions; those that had none
    are left out. `spare` are identities of the nights that this one takes the place of, of that kind and in order.

    First what is the same to the last member and was born on the same night, so that the same log has the same ids
    where things are alike; then by the rule that makes two nights' things one.
    """
    names: dict[int, str] = {}
    same: dict[bytes, list[str]] = defaultdict(list)
    for item in spare:
        if item.born == day:
            same[forgetful(item.signature).content()].append(item.id)
    for position, signature in sorted(new.items()):
        own = same.get(signature.content())
        if own:
            minted = (mint(key, day, spare[0].kind, signature, again) for again in range(len(own)))
            names[position] = next((name for name in minted if name in own), own[0])
            own.remove(names[position])
    left = sorted(new.keys() - names.keys())
    others = [item for item in spare if item.id not in names.values()]
    found = pairs([item.signature for item in others], [new[position] for position in left], rule.part, main)
    return names | {left[at]: others[pair.known].id for at, pair in assigned(found, rule).items()}
