"""What a thing is called that is new on a night."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

from refrain.key import keyed_digest
from refrain.lineage.signatures import Signature
from refrain.lineage.types import Kind

PREFIXES: Mapping[Kind, str] = {"campaign": "c", "template": "t", "cluster": "s"}
_ID_DIGITS = 12  # hexadecimal: of a hundred thousand ids two are equal with probability 0.00002, and then one counts on


def mint(key: bytes, day: date, kind: Kind, signature: Signature, again: int = 0) -> str:
    """The stable id of something born on `day`: `c-`, `t-` or `s-` (cluster) and 12 hexadecimal digits. `again` counts
    the ids of that name that exist already."""
    body = hashlib.blake2b(signature.content()).hexdigest()
    name = f"refrain identity {kind} {day.isoformat()} {body} {again}"
    return f"{PREFIXES[kind]}-{keyed_digest(key, name.encode()).hex()[:_ID_DIGITS]}"
