"""All tests of one candidate, by family, the benign explanations, and what is left when they are taken off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from refrain.benign import BenignRule, Hypothesis, benign_hypotheses
from refrain.coordination import adoption, identity, rhythm, synchrony, use
from refrain.coordination.combine import cauchy_combination, partial_conjunction
from refrain.coordination.controls import draw
from refrain.coordination.results import FAMILIES, Candidate, Setting, TestResult
from refrain.coordination.rhythm import RhythmRule, Rhythms
from refrain.coordination.use import UseReference


@dataclass(frozen=True)
class Instruments:
    """What every assessment of a run shares beside the setting."""

    reference: UseReference
    rhythms: Rhythms
    rhythm: RhythmRule
    minute_bins: int
    shift_hours: int
    benign: BenignRule
    families: int  # that must speak


@dataclass(frozen=True)
class Assessment:
    """A candidate's tests and verdicts.

    `families` are p-values by family of all tests, `unexplained` the same without the tests that a benign hypothesis
    explains. `p_value` is the partial conjunction of the unexplained, `filter` the same for one family less, `raw` the
    partial conjunction of all.
    """

    results: dict[str, TestResult]
    hypotheses: list[Hypothesis]
    families: dict[str, float]
    unexplained: dict[str, float]
    raw: float
    p_value: float
    filter: float


def assess(candidate: Candidate, setting: Setting, instruments: Instruments, *, system: bool) -> Assessment:
    """The assessment of a candidate; `system` says whether its template stands in the system prompt."""
    sets = draw(setting.strata, candidate.owners, setting.draws, setting.rng(candidate, 0))
    results = [test(candidate, setting) for test in identity.TESTS]
    results += [test(candidate, setting, sets) for test in identity.TESTS_BY_DRAWS]
    results.append(rhythm.round_the_clock(candidate, setting, instruments.rhythms, instruments.rhythm))
    controls = synchrony.drawn_requests(candidate, setting, sets)
    results.append(synchrony.same_minutes(candidate, setting, controls, instruments.minute_bins))
    results.append(synchrony.same_instants(candidate, setting, controls, instruments.shift_hours))
    results.append(adoption.adopted_together(candidate, setting))
    results += [test(candidate, setting, instruments.reference) for test in use.TESTS]
    by_key = {r.key: r for r in results}
    hypotheses = benign_hypotheses(candidate, setting, by_key, system, instruments.benign)
    explained = {key for h in hypotheses if h.holds for key in h.explains}
    families = _families(results, set())
    unexplained = _families(results, explained)
    needed = instruments.families
    # A family that is explained away stays in the count, as one that says nothing.
    said = [unexplained.get(f, 1.0) for f in families]
    ordered = np.sort(said)
    p = partial_conjunction(said, needed)
    weaker = (len(said) - needed + 1) * float(ordered[needed - 2]) if len(said) >= needed > 1 else p
    raw = partial_conjunction(list(families.values()), needed)
    return Assessment(by_key, hypotheses, families, unexplained, raw, p, min(p, weaker))


def _families(results: list[TestResult], without: set[str]) -> dict[str, float]:
    out = {}
    for family in FAMILIES:
        values = [r.p_value for r in results if r.family == family and r.p_value is not None and r.key not in without]
        if values:
            out[family] = cauchy_combination(values)
    return out
