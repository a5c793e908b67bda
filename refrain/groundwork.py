"""Groundwork: what a log's candidates are made of, read side by side, as each part of it runs on one core."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refrain.assessing import start_workers
from refrain.candidates import JoinRule, TemplateOwners, join_templates, template_owners
from refrain.config import ScoreConfig
from refrain.counting import Ints
from refrain.population import Population, read_population, read_senders
from refrain.signals import NearProbes, TemplateSignals, template_signals
from refrain.template_uses import TemplateUses, read_uses


@dataclass(frozen=True)
class Groundwork:
    """A log's population, the uses of its templates and who uses each, which of them are `eligible` (templates,), the
    candidates as `groups` of these, and what tells the templates' signals."""

    population: Population
    uses: TemplateUses
    pairs: TemplateOwners
    eligible: NDArray[np.bool_]
    groups: list[Ints]
    signals: TemplateSignals


def read_groundwork(requests: Path, templates: Path, config: ScoreConfig, near: NearProbes) -> Groundwork:
    """The groundwork of an ingested log with its templates; `near` tells the signals of segments."""
    with ThreadPoolExecutor() as beside:
        population = beside.submit(read_population, requests, config.ipv4_prefix, config.ipv6_prefix)
        uses = read_uses(templates)
        senders = read_senders(requests)
        pairs = template_owners(uses.templates, senders.request_owner[uses.requests], len(uses.words))
        eligible = (uses.words >= config.min_words) & (np.diff(pairs.bounds) >= config.min_owners)
        workers = beside.submit(start_workers, int(np.diff(uses.bounds)[eligible].sum()), config.screening_draws)
        signals = beside.submit(template_signals, requests, templates, near, config.signal_segments)
        rule = JoinRule(config.join_jaccard, config.join_p, config.join_owners)
        groups = join_templates(pairs, np.flatnonzero(eligible), senders.activity, rule)
        workers.result()
        return Groundwork(population.result(), uses, pairs, eligible, groups, signals.result())
