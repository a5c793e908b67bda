"""Assessing many candidates, on all cores where they are many.

Every candidate's assessment follows from the candidate and what all share, so who computes it changes no bit. Workers
are joblib's (loky): they are started without a second look at the caller's main module, and read the arrays that all
share from one memory map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from refrain.assessment import Assessment, Instruments, assess
from refrain.config import ScoreConfig
from refrain.coordination.results import Candidate, Setting, candidate
from refrain.cores import core_count
from refrain.counting import Ints
from refrain.progress import Progress
from refrain.regulars import regular_users
from refrain.template_uses import TemplateUses

_ALONE_BELOW = 4000  # candidates that one core assesses sooner than further ones are started
_PARTS = 16  # of the work a core: so many that cores end together, so few that what all share is seldom sent
_TOGETHER = 256  # candidates whose regular users are found together: bounds the memory, changes no verdict


@dataclass(frozen=True)
class Scene:
    """What all candidates are assessed with: their templates, the uses, the controls, the instruments, the rules."""

    groups: list[Ints]
    uses: TemplateUses
    setting: Setting
    instruments: Instruments
    tagged: frozenset[int]  # templates with high-signal content
    config: ScoreConfig

    def system(self, place: int) -> bool:
        """Whether the candidate's template stands in the system prompt."""
        return bool(self.uses.system[self.groups[place][0]])

    def shown(self, place: int, verdict: Assessment) -> bool:
        """Whether a person may come to read it."""
        config = self.config
        most = max(config.listed_p, config.watch_p, config.false_discovery_rate)
        return min(verdict.raw, verdict.p_value) <= most or self.worth_reading(place, verdict)

    def worth_reading(self, place: int, verdict: Assessment) -> bool:
        """Whether one family speaks clearly of a candidate with high-signal content: it alerts never, and a person can
        tell a public template from a wrapper of somebody's."""
        speaks = min(verdict.families.values(), default=1.0) <= self.config.watch_p
        return speaks and not self.tagged.isdisjoint(self.groups[place].tolist())


Assessed = tuple[Candidate, Assessment]


def assess_places(
    scene: Scene, places: Sequence[int], gone: NDArray[np.bool_], progress: Progress
) -> Iterator[tuple[int, Assessed | None]]:
    """The candidates at some places without the owners that are gone (owners,), in their order; None where fewer than
    `score.min_owners` are left."""
    with progress.task("candidates", len(places)) as advance:
        for part, found in _parts(scene, places, gone):
            for place, item in zip(part, found, strict=True):
                yield place, item
                advance(1)


def _parts(
    scene: Scene, places: Sequence[int], gone: NDArray[np.bool_]
) -> Iterator[tuple[Sequence[int], list[Assessed | None]]]:
    if len(places) < _ALONE_BELOW:
        for start in range(0, len(places), _TOGETHER):
            part = places[start : start + _TOGETHER]
            yield part, _assess_some(_only(scene, part), gone)
        return
    import joblib

    workers = core_count()
    size = -(-len(places) // (workers * _PARTS))
    parts = [places[start : start + size] for start in range(0, len(places), size)]
    number = next(_SCENES)
    found: Iterator[list[Assessed | None]] = joblib.Parallel(workers, return_as="generator")(
        joblib.delayed(_assess_part)(number, replace(scene, groups=[]), [scene.groups[p] for p in part], gone)
        for part in parts
    )
    yield from zip(parts, found, strict=True)


_SCENES = count()
_held: dict[int, Scene] = {}  # of a worker: the scene of the parts before, with all that was computed once for it


def _only(scene: Scene, places: Sequence[int]) -> Scene:
    """The scene with some of its candidates."""
    return replace(scene, groups=[scene.groups[place] for place in places])


def _assess_part(number: int, scene: Scene, groups: list[Ints], gone: NDArray[np.bool_]) -> list[Assessed | None]:
    """A worker's part. Every part brings the scene; the first one is kept, so that what a scene computes once (rhythms
    of controls, who holds a value) is computed once a worker."""
    if number not in _held:
        _held.clear()
        _held[number] = scene
    return _assess_some(replace(_held[number], groups=groups), gone)


def _assess_some(scene: Scene, gone: NDArray[np.bool_]) -> list[Assessed | None]:
    out: list[Assessed | None] = []
    for start in range(0, len(scene.groups), _TOGETHER):
        some = range(start, min(start + _TOGETHER, len(scene.groups)))
        found = [_users(scene, place, gone) for place in some]
        left = [own for own in found if own is not None]
        instruments = scene.instruments
        cores = iter(regular_users(left, scene.setting, instruments.reference, instruments.regular))
        out.extend(
            None if own is None else (own, _assess(scene, place, own, next(cores)))
            for place, own in zip(some, found, strict=True)
        )
    return out


def _users(scene: Scene, place: int, gone: NDArray[np.bool_]) -> Candidate | None:
    """The candidate at a place without the owners that are gone; None where too few are left."""
    rows = scene.uses.of_all(scene.groups[place])
    population = scene.setting.population
    own = candidate(rows[~gone[population.request_owner[rows]]], population)
    return own if len(own.owners) >= scene.config.min_owners else None


def _assess(scene: Scene, place: int, own: Candidate, core: Candidate) -> Assessment:
    """A candidate's assessment: with few draws first, with all where there is any sign."""
    quick = replace(scene.setting, draws=scene.config.screening_draws, told=False)
    system = scene.system(place)
    first = assess(own, quick, scene.instruments, system=system, closely=False, core=core)
    if min(first.raw, first.p_value) <= scene.config.screening_p:
        return assess(own, scene.setting, scene.instruments, system=system, core=core)
    if scene.shown(place, first):
        return assess(own, replace(quick, told=True), scene.instruments, system=system, closely=False, core=core)
    return first
