"""Assessing many candidates, on all cores where they are many.

Every candidate's assessment follows from the candidate and what all share, so who computes it changes no bit. Workers
are joblib's (loky): they are started without a second look at the caller's main module, and read the arrays that all
share from one memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import TypeVar

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

_ALONE_BELOW = 4000  # first looks at candidates that one core takes sooner than further ones are started
_PARTS = 16  # of the work a core: so many that cores end together, so few that what all share is seldom sent
_TOGETHER = 256  # candidates whose regular users are found together: bounds the memory, changes no verdict


@dataclass(frozen=True)
class Scene:
    """What all candidates are assessed with: their templates, the uses, the controls, the instruments, the rules.

    In a worker there are no `groups`: it is told whom to look at.
    """

    groups: list[Ints]
    uses: TemplateUses
    setting: Setting
    instruments: Instruments
    tagged: frozenset[int]  # templates with high-signal content
    config: ScoreConfig

    def system(self, templates: Ints) -> bool:
        """Whether a candidate's template stands in the system prompt."""
        return bool(self.uses.system[templates[0]])

    def shown(self, templates: Ints, verdict: Assessment) -> bool:
        """Whether a person may come to read of a candidate."""
        config = self.config
        most = max(config.listed_p, config.watch_p, config.false_discovery_rate)
        return min(verdict.raw, verdict.p_value) <= most or self.worth_reading(templates, verdict)

    def speaks(self, verdict: Assessment) -> bool:
        """Whether one family speaks clearly."""
        return min(verdict.families.values(), default=1.0) <= self.config.watch_p

    def worth_reading(self, templates: Ints, verdict: Assessment) -> bool:
        """Whether one family speaks clearly of a candidate with high-signal content: it alerts never, and a person can
        tell a public template from a wrapper of somebody's."""
        return self.speaks(verdict) and not self.tagged.isdisjoint(templates.tolist())


Assessed = tuple[Candidate, Assessment]
Item = TypeVar("Item")
Out = TypeVar("Out")
Work = Callable[[Scene, Sequence[Item]], list[Out]]


def assess_places(
    scene: Scene, places: Sequence[int], gone: NDArray[np.bool_], progress: Progress, looks: int = 1
) -> Iterator[tuple[int, Assessed | None]]:
    """The candidates at some places without the owners that are gone (owners,), in their order; None where fewer than
    `score.min_owners` are left. `looks` is as `spread` has it."""
    groups = [scene.groups[place] for place in places]
    with progress.task("candidates", len(places)) as advance:
        for place, item in zip(places, spread(scene, partial(_assess_some, gone=gone), groups, looks), strict=True):
            yield place, item
            advance(1)


def spread(scene: Scene, work: Work[Item, Out], items: Sequence[Item], looks: int) -> Iterator[Out]:
    """What `work` makes of the items, in their order, on all cores where they are much work: an item is as much as so
    many first looks at a candidate."""
    if len(items) * looks < _ALONE_BELOW:
        yield from _in_portions(scene, work, items)
        return
    import joblib

    workers = core_count()
    size = -(-len(items) // (workers * _PARTS))
    number, shared = next(_SCENES), replace(scene, groups=[])
    for found in joblib.Parallel(workers, return_as="generator")(
        joblib.delayed(_part)(number, shared, work, items[start : start + size]) for start in range(0, len(items), size)
    ):
        yield from found


_SCENES = count()
_held: dict[int, Scene] = {}  # of a worker: the scene of the parts before, with all that was computed once for it


def _part(number: int, scene: Scene, work: Work[Item, Out], items: Sequence[Item]) -> list[Out]:
    """A worker's part. Every part brings the scene; the first one is kept, so that what a scene computes once (rhythms
    of controls, who holds a value) is computed once a worker."""
    if number not in _held:
        _held.clear()
        _held[number] = scene
    return list(_in_portions(_held[number], work, items))


def _in_portions(scene: Scene, work: Work[Item, Out], items: Sequence[Item]) -> Iterator[Out]:
    for start in range(0, len(items), _TOGETHER):
        yield from work(scene, items[start : start + _TOGETHER])


def _assess_some(scene: Scene, groups: Sequence[Ints], gone: NDArray[np.bool_]) -> list[Assessed | None]:
    found = [_users(scene, group, gone) for group in groups]
    left = [own for own in found if own is not None]
    instruments = scene.instruments
    cores = iter(regular_users(left, scene.setting, instruments.reference, instruments.regular))
    return [
        None if own is None else (own, _assess(scene, group, own, next(cores)))
        for group, own in zip(groups, found, strict=True)
    ]


def _users(scene: Scene, templates: Ints, gone: NDArray[np.bool_]) -> Candidate | None:
    """The candidate of some templates without the owners that are gone; None where too few are left."""
    rows = scene.uses.of_all(templates)
    population = scene.setting.population
    own = candidate(rows[~gone[population.request_owner[rows]]], population)
    return own if len(own.owners) >= scene.config.min_owners else None


def _assess(scene: Scene, templates: Ints, own: Candidate, core: Candidate) -> Assessment:
    """A candidate's assessment: with few draws first, with all where there is any sign."""
    quick = replace(scene.setting, draws=scene.config.screening_draws, told=False)
    system = scene.system(templates)
    first = assess(own, quick, scene.instruments, system=system, closely=False, core=core)
    if min(first.raw, first.p_value) <= scene.config.screening_p:
        return assess(own, scene.setting, scene.instruments, system=system, core=core)
    if scene.shown(templates, first):
        return assess(own, replace(quick, told=True), scene.instruments, system=system, closely=False, core=core)
    return first
