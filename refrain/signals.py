"""High-signal content of templates: the classes of probe sentences that their fixed text is near.

A tag says what is asked for, for rank and filter. It is no evidence of coordination and decides nothing. So only what a
person may come to see is read: templates that are asked for, and of each the segments that most owners sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refrain.counting import Ints, slices
from refrain.tables import column, read_columns


@dataclass(frozen=True)
class Signal:
    """A class that a text is near: its similarity (of a template: the greatest of its segments), and how it was
    measured."""

    tag: str
    similarity: float
    measure: str  # vector or ngram: the two are not on one scale


NearProbes = Callable[[Ints], Mapping[int, Sequence[Signal]]]
"""The signals of segments, by segment_row, of those at some rows (n,) that have any."""


@dataclass
class TemplateSignals:
    """The signals of templates, read when they are first asked for."""

    near: NearProbes
    segments: Ints  # those that are read, template by template
    bounds: Ints  # of the templates in `segments`
    known: dict[int, list[Signal]] = field(default_factory=dict)
    """Of the templates read that have any, nearest first, one a class."""
    read: set[int] = field(default_factory=set)

    @property
    def tagged(self) -> frozenset[int]:
        """The templates read that have a signal."""
        return frozenset(self.known)

    def ask(self, templates: Iterable[int]) -> None:
        """Nothing; `known` then tells of these templates too."""
        new = sorted(set(templates) - self.read)
        parts = [self.segments[self.bounds[template] : self.bounds[template + 1]] for template in new]
        rows = np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
        near = self.near(rows) if len(rows) else {}
        for template, part in zip(new, parts, strict=True):
            signals = _nearest(signal for row in part.tolist() for signal in near.get(row, []))
            if signals:
                self.known[template] = signals
        self.read.update(new)


def template_signals(requests: Path, templates: Path, near: NearProbes, most: int) -> TemplateSignals:
    """The signals of a folder's templates: of each, the `most` segments that most owners sent are read."""
    held = read_columns(templates / "template_segments.parquet", ["template_id", "segment_row"])
    template, row = held["template_id"], held["segment_row"]
    owners = column(requests / "segments.parquet", "owners")
    order = np.lexsort((row, -owners[row], template))
    template, row = template[order], row[order]
    count = len(column(templates / "templates.parquet", "template_id"))
    kept: NDArray[np.bool_] = np.arange(len(row)) - slices(template, count)[template] < most
    return TemplateSignals(near, row[kept], slices(template[kept], count))


def campaign_signals(signals: Mapping[int, Sequence[Signal]], templates: Ints) -> list[Signal]:
    """The signals of several templates together, nearest first, one a class."""
    return _nearest(signal for template in templates.tolist() for signal in signals.get(template, []))


def _nearest(signals: Iterable[Signal]) -> list[Signal]:
    best: dict[str, Signal] = {}
    for signal in signals:
        known = best.get(signal.tag)
        if known is None or (signal.similarity, signal.measure) > (known.similarity, known.measure):
            best[signal.tag] = signal
    return sorted(best.values(), key=lambda s: (-s.similarity, s.tag))
