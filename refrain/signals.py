"""High-signal content of templates: the classes of probe sentences that their fixed text is near.

A tag says what is asked for, for rank and filter. It is no evidence of coordination and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from refrain.counting import Ints
from refrain.tables import read_columns


@dataclass(frozen=True)
class Signal:
    """A class that a template is near: its greatest similarity over the segments, and how it was measured."""

    tag: str
    similarity: float
    measure: str  # vector or ngram: the two are not on one scale


def template_signals(vectors: Path, templates: Path) -> dict[int, list[Signal]]:
    """The signals of each template that has any, nearest first, one a class."""
    near = read_columns(vectors / "probes.parquet", ["segment_row", "tag", "similarity", "measure"])
    held = read_columns(templates / "template_segments.parquet", ["template_id", "segment_row"])
    order = np.argsort(near["segment_row"], kind="stable")
    rows = near["segment_row"][order]
    best: dict[tuple[int, str], Signal] = {}
    low, high = np.searchsorted(rows, held["segment_row"], "left"), np.searchsorted(rows, held["segment_row"], "right")
    for template, first, last in zip(held["template_id"].tolist(), low.tolist(), high.tolist(), strict=True):
        for at in order[first:last]:
            signal = Signal(str(near["tag"][at]), float(near["similarity"][at]), str(near["measure"][at]))
            known = best.get((template, signal.tag))
            if known is None or (signal.similarity, signal.measure) > (known.similarity, known.measure):
                best[template, signal.tag] = signal
    out: dict[int, list[Signal]] = {}
    for (template, _), signal in sorted(best.items(), key=lambda item: (item[0][0], -item[1].similarity, item[0][1])):
        out.setdefault(template, []).append(signal)
    return out


def campaign_signals(signals: dict[int, list[Signal]], templates: Ints) -> list[Signal]:
    """The signals of several templates together, nearest first, one a class."""
    best: dict[str, Signal] = {}
    for template in templates.tolist():
        for signal in signals.get(template, []):
            if signal.tag not in best or signal.similarity > best[signal.tag].similarity:
                best[signal.tag] = signal
    return sorted(best.values(), key=lambda s: (-s.similarity, s.tag))
