"""How far each owner has moved its traffic to the models that are new in the log."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refrain.population import Population

Floats = NDArray[np.float64]


def moved_shares(population: Population) -> list[Floats]:
    """For every new model, in the order of its code, (owners,) the share of an owner's requests that go to it from its
    first use on; NaN for owners without requests before or after: whoever came later simply starts with what is new.

    A model is new where the log's first day does not have it.
    """
    known = np.flatnonzero(population.request_model >= 0)
    order = known[np.argsort(population.request_time[known], kind="stable")]
    models, first = np.unique(population.request_model[order], return_index=True)
    return [
        _shares(population, int(model), int(population.request_time[row]))
        for model, row in zip(models, order[first], strict=True)
        if population.days[row] > 0
    ]


def _shares(population: Population, model: int, release: int) -> Floats:
    since = population.request_time >= release
    owner, owners = population.request_owner, population.owners
    before = np.bincount(owner[~since], minlength=owners)
    after = np.bincount(owner[since & (population.request_model >= 0)], minlength=owners)
    moved = np.bincount(owner[since & (population.request_model == model)], minlength=owners)
    return np.where((before > 0) & (after > 0), moved / np.maximum(after, 1), np.nan)
