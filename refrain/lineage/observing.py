"""What a run found, as signatures: its campaigns, templates and clusters with their members as keyed digests."""

from __future__ import annotations

from pathlib import Path

from refrain.config import LineageConfig
from refrain.lineage.types import Seen


def observe(run: Path, key: bytes, rule: LineageConfig) -> list[Seen]:
    """Campaigns, templates and clusters of a run's folder, by kind and number; `key` is the store's.

    Needs the stage folders requests, clusters, templates and campaigns. Of the templates and clusters those of a
    campaign and the `rule.followed` with most owners.
    """
    raise NotImplementedError
