"""Which of tonight's campaigns, templates and clusters are those of earlier nights, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from refrain.config import LineageConfig
from refrain.lineage.signatures import Signature
from refrain.lineage.types import Kind, Known, Lineage, Seen

LineageRule = LineageConfig


def mint(key: bytes, day: date, kind: Kind, signature: Signature, again: int = 0) -> str:
    """The stable id of something born on `day`: `c-`, `t-` or `s-` (cluster) and 12 hexadecimal digits. `again` counts
    the ids of that name that exist already."""
    raise NotImplementedError


def match(known: Sequence[Known], seen: Sequence[Seen], day: date, rule: LineageRule, *, key: bytes) -> Lineage:
    """What became of each known identity and which id each seen thing has on the night of `day`.

    `known` holds all identities of all kinds and states as the night before left them. The order of neither matters.
    """
    raise NotImplementedError
