"""Assessing many candidates, on all cores where they are many.

Every candidate's assessment follows from the candidate and what all share, so who computes it changes no bit. Workers
are joblib's (loky): they are started without a second look at the caller's main module, and read the arrays that all
share from one memory map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from refrain.assessed import Assessed, AssessedSome, Runs
from refrain.assessment import Assessment, Assessments, Instruments, Known, Look, assess, beforehand
from refrain.config import ScoreConfig
from refrain.coordination.results import Candidate, Candidates, Setting, TestResult
from refrain.cores import core_count
from refrain.counting import Ints, group_starts, portions, ranges
from refrain.heap import keep_freed
from refrain.population import Population
from refrain.progress import Progress
from refrain.template_uses import TemplateUses

_ALONE_BELOW = 1 << 24  # requests of candidates, times draws, that one core takes sooner than further ones are started
_EACH = 40  # requests that a candidate takes as long as beside its own
_PARTS = 16  # of the work a core: so many that cores end together, so few that what all share is seldom sent
_SENT = 4  # of the parts a core that come first: they bring what all share, and the others find it there
_TOGETHER = 1 << 18  # requests of candidates, times draws, looked at together: some MiB; it changes no verdict
_SURE = 1e-6  # p-value up to which results are read at once: to look again takes longer; speed, no result
_SCENES = count()


@dataclass(frozen=True)
class Scene:
    """What all candidates are assessed with: their templates, the uses, the controls, the instruments, the rules.

    In a worker there are no `groups`: it is told whom to look at.
    """

    groups: list[Ints]
    uses: TemplateUses
    setting: Setting
    instruments: Instruments
    config: ScoreConfig
    round: int  # from 0
    number: int = field(default_factory=lambda: next(_SCENES), init=False, compare=False)  # in this process

    def system(self, templates: Ints) -> bool:
        """Whether a candidate's template stands in the system prompt."""
        return bool(self.uses.system[templates[0]])

    def shown(self, verdict: Assessment) -> bool:
        """Whether a person may come to read of a candidate, whatever its templates ask for."""
        config = self.config
        most = max(config.listed_p, config.watch_p, config.false_discovery_rate)
        return min(verdict.raw, verdict.p_value) <= most or self.speaks(verdict)

    def signalled(self, verdict: Assessment) -> bool:
        """Whether a candidate has a signal for its content not to matter: it is watched, or listed."""
        return verdict.raw <= self.config.watch_p or verdict.p_value <= self.config.listed_p

    def speaks(self, verdict: Assessment) -> bool:
        """Whether one family speaks clearly."""
        return min(verdict.families.values(), default=1.0) <= self.config.watch_p


Item = TypeVar("Item")
Out = TypeVar("Out")
Work = Callable[[Scene, Sequence[Item]], Iterable[Out]]


def assess_places(
    scene: Scene, places: Sequence[int], gone: NDArray[np.bool_], progress: Progress, *, close: bool = False
) -> Iterator[tuple[int, Assessed | None]]:
    """The candidates at some places without the owners that are gone (owners,), in their order; None where fewer than
    `score.min_owners` are left. `close` says that most of them are worth a close look: speed, no result."""
    groups = Runs.of([scene.groups[place] for place in places])
    uses = np.diff(scene.uses.bounds)
    many = groups.sums(uses[groups.values])
    draws = scene.config.draws if close else scene.config.screening_draws
    with progress.task("candidates", len(places)) as advance:
        for place, item in zip(
            places, spread(scene, partial(_assess_some, gone=gone), groups, many, draws), strict=True
        ):
            yield place, item
            advance(1)


def spread(scene: Scene, work: Work[Item, Out], items: Sequence[Item], uses: Ints, draws: int) -> Iterator[Out]:
    """What `work` makes of the items, in their order, on all cores where they are much work: an item has so many
    requests (n,), compared with so many draws."""
    cost = (uses + _EACH) * draws
    total = int(cost.sum())
    if total < _ALONE_BELOW:
        yield from work(scene, items)
        return
    import joblib

    workers = core_count()
    scene.setting.population.complete(scene.config.seed)
    shared = replace(scene, groups=[])
    parts = list(portions(cost, total // (workers * _PARTS)))
    asked = (
        joblib.delayed(_part)(scene.number, shared if place < workers * _SENT else None, work, items[part])
        for place, part in enumerate(parts)
    )
    for part, found in zip(parts, joblib.Parallel(workers, return_as="generator")(asked), strict=True):
        yield from work(scene, items[part]) if found is None else found


def start_workers(uses: int, draws: int) -> None:
    """Nothing; where candidates of so many requests, compared with so many draws, are sure to be spread, the workers
    are there: each takes a second to import what it needs."""
    if uses * draws >= _ALONE_BELOW:
        import joblib

        workers = core_count()
        joblib.Parallel(workers, batch_size=1)(joblib.delayed(_imported)() for _ in range(workers))


def _imported() -> None:
    """Nothing; who looks this up has imported this module."""


_held: dict[int, Scene] = {}  # of a worker: the scene of the parts before, with all that was computed once for it


def _part(number: int, scene: Scene | None, work: Work[Item, Out], items: Sequence[Item]) -> Iterable[Out] | None:
    """A worker's part of what is made of the scene of this number; None where it does not have it. The first parts
    bring the scene, and it is kept, so that what a scene computes once (rhythms of controls, who holds a value) is
    computed once a worker."""
    if number not in _held:
        if scene is None:
            return None
        keep_freed()
        _held.clear()
        _held[number] = scene
    return work(_held[number], items)


def _assess_some(scene: Scene, groups: Runs, gone: NDArray[np.bool_]) -> AssessedSome:
    own, left = candidates_of(groups, scene.uses, scene.setting.population, gone, scene.config.min_owners)
    quick = replace(scene.setting, draws=scene.config.screening_draws)
    verdicts: list[Assessment] = []
    if not len(own):
        return AssessedSome.of(own, verdicts, left, len(groups), scene.setting.population)
    known = beforehand(own, quick, scene.instruments)  # of all together: of a few it is mostly overhead
    for part in portions(np.diff(own.request_bounds), _TOGETHER // quick.draws):
        places = np.arange(part.start, part.stop)
        own_groups = [groups[i] for i in left[places].tolist()]
        verdicts += _verdicts(scene, quick, own.only(places), own_groups, known.only(places))
    return AssessedSome.of(own, verdicts, left, len(groups), scene.setting.population)


def candidates_of(
    groups: Runs, uses: TemplateUses, population: Population, gone: NDArray[np.bool_], min_owners: int
) -> tuple[Candidates, Ints]:
    """The candidates of groups of templates without the owners that are gone (owners,), and which groups they are:
    those with at least so many owners."""
    many, templates = np.diff(groups.bounds), groups.values
    of_template = uses.bounds[templates + 1] - uses.bounds[templates]
    rows = uses.requests[uses.by_template[np.repeat(uses.bounds[templates], of_template) + ranges(of_template)]]
    group = np.repeat(np.repeat(np.arange(len(groups)), many), of_template)
    kept = ~gone[population.request_owner[rows]]
    rows, group = rows[kept], group[kept]
    # Requests stand owner by owner in `by_owner`, each owner's in time order.
    total = len(population.request_owner)
    keys = np.sort(group * total + population.bounds[population.request_owner[rows]] + population.position[rows])
    group, place = np.divmod(keys[group_starts(keys)], max(total, 1))
    rows = population.by_owner[place]
    owner = population.request_owner[rows]
    users = group_starts(group, owner)
    counts = np.diff(np.append(users, len(rows)))
    sizes = np.bincount(group[users], minlength=len(groups))
    left = np.flatnonzero(sizes >= max(min_owners, 1))
    held = sizes[group] >= max(min_owners, 1)
    held_users = held[users]
    bounds = np.concatenate([[0], np.cumsum(sizes[left])])
    return Candidates.made(rows[held], owner[users][held_users], counts[held_users], bounds), left


def _verdicts(scene: Scene, quick: Setting, own: Candidates, groups: Sequence[Ints], known: Known) -> list[Assessment]:
    """The assessments of candidates: with few draws first, as `quick` has them, with all where there is any sign."""
    system = np.array([scene.system(group) for group in groups], bool)
    first = assess(own, quick, scene.instruments, system=system, closely=False, known=known)
    signs = np.minimum(first.raw, first.p_values) <= scene.config.screening_p
    chosen = np.flatnonzero(signs)
    own_groups = [groups[place] for place in chosen.tolist()]
    closer = iter(closely(scene, own.only(chosen), own_groups, known.only(chosen), tell=True))
    look = Look(scene.round, closely=False)
    return [next(closer) if sign else _noted(scene, first, place, look) for place, sign in enumerate(signs.tolist())]


def closely(
    scene: Scene, own: Candidates, groups: Sequence[Ints], known: Known | None = None, *, tell: bool = False
) -> list[Assessment]:
    """The assessments of candidates with all draws, looked at closely; `known` of a first look in the same scene. With
    `tell`, those that are published as a rule come with the results of their tests."""
    look = Look(scene.round, closely=True)
    looks = _looks(scene, own, groups, closely=True, known=known)
    return [_noted(scene, found, place, look, tell=tell) for found, place in looks]


def closely_of(scene: Scene, items: Sequence[tuple[Candidate, Ints]]) -> list[Assessment]:
    """The assessments of candidates with their templates, with all draws, looked at closely."""
    own = Candidates.of([candidate for candidate, _ in items])
    return closely(scene, own, [templates for _, templates in items])


def told(scenes: Sequence[Scene], assessed: Sequence[Assessed], groups: Sequence[Ints]) -> list[Assessment]:
    """The assessments, made in these rounds of these groups of templates, with the results of their tests."""
    out = [verdict for _, verdict in assessed]
    for look in sorted({verdict.look for verdict in out if verdict.look}):
        scene = scenes[look.round]
        places = [place for place, verdict in enumerate(out) if verdict.look == look and not verdict.results]
        items = [(assessed[place][0], groups[place]) for place in places]
        uses = np.array([len(own.requests) for own, _ in items], np.int64)
        found = spread(scene, partial(_results, closely=look.closely), items, uses, scene.config.draws)
        for place, results in zip(places, found, strict=True):
            out[place] = replace(out[place], results=results)
    return out


def _results(scene: Scene, items: Sequence[tuple[Candidate, Ints]], *, closely: bool) -> list[dict[str, TestResult]]:
    """What each test finds of candidates with their templates."""
    own = Candidates.of([candidate for candidate, _ in items])
    looks = _looks(scene, own, [templates for _, templates in items], closely=closely)
    return [found.read(place) for found, place in looks]


def _looks(
    scene: Scene, own: Candidates, groups: Sequence[Ints], *, closely: bool, known: Known | None = None
) -> Iterator[tuple[Assessments, int]]:
    """The assessments that each candidate is among, and its place there."""
    system = np.array([scene.system(group) for group in groups], bool)
    shared = scene.setting if closely else replace(scene.setting, draws=scene.config.screening_draws)
    for part in portions(np.diff(own.request_bounds), _TOGETHER // shared.draws):
        places = np.arange(part.start, part.stop)
        before = known.only(places) if known else None
        found = assess(own.only(places), shared, scene.instruments, system=system[part], closely=closely, known=before)
        yield from ((found, at) for at in range(len(places)))


def _noted(scene: Scene, found: Assessments, place: int, look: Look, *, tell: bool = False) -> Assessment:
    """One of several assessments, with its tests and hypotheses where a person may come to read of it."""
    verdict = found.bare(place)
    if not scene.shown(verdict):
        return verdict
    results = found.read(place) if tell and verdict.p_value <= _SURE else {}
    return replace(found.noted(place), look=look, results=results)
