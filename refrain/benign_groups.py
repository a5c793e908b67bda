"""Owners of a log who are one product's users or in one place: they are compared with one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from refrain.assessing import Scene, closely_of, spread
from refrain.assessment import Assessment
from refrain.benign import apart_p
from refrain.coordination.controls import with_groups
from refrain.coordination.results import Candidate, Setting, candidate, setting
from refrain.counting import Ints

Judged = tuple[float, int, Candidate, Assessment]  # with the q-value, and the place among all


def benign_groups(scene: Scene, judged: Sequence[Judged]) -> list[Ints]:
    """The users of those candidates, none of which alerts, that one product or place explains."""
    return [own.owners for _, _, own, verdict in judged if _marks(scene, verdict)]


def benign_parts(scene: Scene, alerting: Sequence[Judged], max_p: float) -> list[Ints]:
    """The users of single templates of alerting candidates whom one product or place explains, and who are set apart
    from the candidate's other users.

    A line of the tasks that a product's users and others work through has nearly the users of the product's own
    template, so the two are one candidate, and of all its users together no hypothesis holds. Only templates that most
    of the users send are looked at: of a few users anything holds by chance.
    """
    population = scene.setting.population
    parts: list[tuple[Candidate, Ints]] = []
    beside: list[Ints] = []
    for _, place, own, _ in alerting:
        templates = scene.groups[place].tolist()
        if len(templates) == 1:
            continue
        user = np.zeros(population.owners, bool)
        user[own.owners] = True
        for template in templates:
            rows = scene.uses.of(template)
            part = candidate(rows[user[population.request_owner[rows]]], population)
            others = np.setdiff1d(own.owners, part.owners)
            if len(others) and len(part.owners) >= max(scene.config.min_owners, len(others)):
                parts.append((part, np.array([template])))
                beside.append(others)
    uses = np.array([len(part.requests) for part, _ in parts], np.int64)
    verdicts = spread(scene, closely_of, parts, uses, scene.config.draws)
    return [
        part.owners
        for (part, _), others, verdict in zip(parts, beside, verdicts, strict=True)
        if verdict.p_value > max_p
        and any(apart_p(part.owners, others, population, m) <= scene.config.silent_p for m in _marks(scene, verdict))
    ]


def _marks(scene: Scene, verdict: Assessment) -> list[str]:
    """What the users have in common, where one product or place explains what is unusual about them."""
    return [h.mark for h in verdict.hypotheses if h.holds and h.mark] if verdict.raw <= scene.config.watch_p else []


def matched_by(shared: Setting, groups: Sequence[Ints]) -> Setting:
    """The setting whose controls are matched by benign groups too: users of one product or place with one another.

    What everybody there types has the product's client, or the place's network, and means nothing.
    """
    strata = with_groups(shared.strata, groups)
    return setting(shared.population, strata, shared.draws, shared.seed, shared.bias, by_systems=shared.by_systems)
